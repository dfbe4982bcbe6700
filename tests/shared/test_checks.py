"""Bounds of a configuration: what passes, and the one line that names what does not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import checks
from shared.errors import UserError


@dataclass(frozen=True)
class Given:
    count: int = 1
    rate: float = 0.1
    limit: int | None = None
    out: Path | None = None
    resume: bool = False


def test_what_is_in_its_bounds_passes():
    passed = [
        checks.at_least(Given(), 1, "count", "limit"),  # a limit that is not given limits nothing
        checks.at_least(Given(count=0), 0, "count"),
        checks.positive(Given(), "rate", "count"),
        checks.resumable(Given()),
        checks.resumable(Given(resume=True, out=Path("run"))),
    ]
    assert passed == [None] * 5  # a refusal is raised


@pytest.mark.parametrize("value", [0, -3, float("nan")])
def test_too_little_is_named(value):
    with pytest.raises(UserError, match=rf"^--count {value}: must be at least 1$"):
        checks.at_least(Given(count=value), 1, "limit", "count")


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_is_positive_and_finite(value):
    with pytest.raises(UserError, match=r"^--rate .*: must be a positive number$"):
        checks.positive(Given(rate=value), "count", "rate")


def test_the_limit_is_checked_where_it_is_given():
    with pytest.raises(UserError, match=r"^--limit 0: must be at least 1$"):
        checks.at_least(Given(limit=0), 1, "count", "limit")


def test_resuming_needs_the_run():
    with pytest.raises(UserError, match="--resume needs --out"):
        checks.resumable(Given(resume=True))
