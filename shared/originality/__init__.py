"""Originality of Python code: evidence of common origin by structure, which renaming and reshuffling do not erase.

`reading` takes in files, folders and notebooks; `tokens`, `trees` and `oddities` are the three channels; `evidence`
weighs them against pairs known to be independent; `compare` handles whole sets; `report` writes what was found.
Nothing that is read is ever run. The core needs the standard library alone.
"""
