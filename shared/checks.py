"""Checks of a configuration's fields, each a UserError of one line that names the option."""

from typing import Any

from shared.errors import UserError

WIDEST = 2**14
"""Wider than any layer here is meant to be: more is a typing error, and would end the process for want of memory."""


def at_least(config: Any, low: float, *names: str) -> None:
    """Every named field is `low` or more; one that is None is not given, and passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= low:
            raise UserError(f"--{name} {value}: must be at least {low}")


def at_most(config: Any, high: float, *names: str) -> None:
    """Every named field is `high` or less; one that is None is not given, and passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value <= high:
            raise UserError(f"--{name} {value}: must be at most {high}")


def share(config: Any, *names: str) -> None:
    """Every named field is a share or a probability that may not be all: in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise UserError(f"--{name} {value}: must be in [0, 1)")


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
