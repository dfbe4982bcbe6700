"""Spanish or English for what a person reads in the terminal: --lang, else the environment's own LANG."""

import os
from typing import Literal

Language = Literal["en", "es"]
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in this order, as POSIX has it; one that is empty counts as not set


def terminal() -> Language:
    """The language of the environment: Spanish where it says so, else English."""
    said = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    return "es" if said.lower().startswith("es") else "en"
