"""The rubric: criteria, points, who judges. One TOML file, checked when it is read."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.errors import UserError

RUBRIC = Path(__file__).parent / "rubric.toml"
TOLERANCE = 1e-9  # when points are added


@dataclass(frozen=True)
class Criterion:
    """One line of the rubric. Titles are by language."""

    id: str
    group: str
    points: float
    judge: Literal["machine", "person"]
    title: dict[str, str]


@dataclass(frozen=True)
class Limits:
    """What a child process may use; see the rubric for the units."""

    seconds: float
    cpu_seconds: int
    memory_gb: float
    demo_key_share: float


@dataclass(frozen=True)
class Rubric:
    """All of it.

    Attributes:
        groups: Points and title of each group, by its id.
        criteria: In the rubric's order.
        limits: What each child process may use.
        references: Parts of installed packages with which code is compared, as "package/part".
    """

    groups: dict[str, dict]
    criteria: tuple[Criterion, ...]
    limits: Limits
    references: tuple[str, ...]


def load(path: Path = RUBRIC) -> Rubric:
    """Read the rubric.

    Raises:
        UserError: If it is malformed, or the criteria of a group do not add up to its points.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        criteria = tuple(Criterion(**each) for each in raw["criterion"])
        rubric = Rubric(raw["groups"], criteria, Limits(**raw["limits"]), tuple(raw["originality"]["references"]))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path.name}: {error}") from None
    for name, group in rubric.groups.items():
        total = sum(each.points for each in criteria if each.group == name)
        if abs(total - group["points"]) > TOLERANCE:
            raise UserError(f"{path.name}: the criteria of {name!r} add up to {total:g}, not {group['points']:g}")
    ids = [each.id for each in criteria]
    wrong = [each.id for each in criteria if each.group not in rubric.groups or each.judge not in ("machine", "person")]
    if wrong or len(set(ids)) < len(ids):
        raise UserError(f"{path.name}: {wrong or ids}: an unknown group or judge, or one id twice")
    return rubric
