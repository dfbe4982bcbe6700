"""Checks of a configuration's fields, each a UserError of one line that names the option."""

from typing import Any

from shared.errors import UserError


def at_least(config: Any, low: float, *names: str) -> None:
    """Every named field is `low` or more; one that is None is not given, and passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= low:
            raise UserError(f"--{name} {value}: must be at least {low}")


def positive(config: Any, *names: str) -> None:
    """Every named field is above 0 and finite."""
    for name in names:
        value = getattr(config, name)
        if not 0 < value < float("inf"):
            raise UserError(f"--{name} {value}: must be a positive number")


def resumable(config: Any) -> None:
    """Who resumes says what."""
    if config.resume and config.out is None:
        raise UserError("--resume needs --out, the directory of the run to continue")
