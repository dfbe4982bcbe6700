"""What a project is shown and graded with: notebook, recorded demo, grade, dashboard; one verb each.

    python -m shared.course notebook|demo|grade|dashboard <project>

A project takes part by adding by_hand.py, notebook.py and demo.toml; nothing here knows a project by name.
"""
