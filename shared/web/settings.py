"""Settings of a server: a frozen dataclass, each field read from an environment variable."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from shared.errors import UserError

S = TypeVar("S")
KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "1 or 0"}


def from_environment(kind: type[S], prefix: str, environment: Mapping[str, str]) -> S:
    """The settings that the variables <prefix><FIELD> give, defaults for the rest.

    Args:
        kind: A dataclass with fields of int, float, bool, str and Path.
        prefix: For example "QA_API_".

    Raises:
        UserError: If a variable of this prefix is no field, or its value does not fit.
    """
    fields = get_type_hints(kind)
    values: dict[str, Any] = {}
    for variable in sorted(name for name in environment if name.startswith(prefix)):
        name = variable.removeprefix(prefix).lower()
        if name not in fields:
            known = ", ".join(prefix + field.upper() for field in fields)
            raise UserError(f"{variable} is no setting; there are {known}")
        values[name] = _read(variable, environment[variable], fields[name])
    return kind(**values)


def check_ranges(settings: Any, prefix: str, **ranges: tuple[float, float]) -> None:
    """Refuse values outside of their ranges, bounds included.

    Raises:
        UserError: With the name of the variable.
    """
    names = {field.name for field in dataclasses.fields(settings)}
    for name, (low, high) in ranges.items():
        assert name in names, name
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UserError(f"{prefix}{name.upper()}={value}: must be from {low:g} to {high:g}")


def _read(variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text not in ("0", "1"):
            raise UserError(f"{variable}={text}: must be {KINDS[bool]}")
        return text == "1"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise UserError(f"{variable}={text}: must be {KINDS[kind]}") from None
    return Path(text) if kind is Path else text
