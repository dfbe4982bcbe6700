"""Points against the rubric, with a reason for each, whatever a project does: checks run in children with limits."""
