"""Bounds of a configuration: what passes, and the one line that names what does not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import checks
from shared.errors import UserError, command


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


def test_too_much_is_named():
    assert checks.at_most(Given(count=8), 8, "count", "limit") is None
    for value in (9, float("nan")):
        with pytest.raises(UserError, match=rf"^--count {value}: must be at most 8$"):
            checks.at_most(Given(count=value), 8, "limit", "count")


def test_a_share_is_less_than_all():
    assert checks.share(Given(rate=0.0), "rate") is None
    for value in (-0.1, 1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=rf"^--rate {value}: must be in \[0, 1\)$"):
            checks.share(Given(rate=value), "rate")


@dataclass(frozen=True)
class Inner:
    rates: tuple[float, ...] = (0.1,)


@dataclass(frozen=True)
class Typed:
    """What no project checks by itself."""

    count: int = 1
    rate: float = 0.1
    seed: int | None = 0
    data_seed: int = 0
    limit: int | None = None
    inner: Inner = Inner()
    flag: bool = True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--rate nan", "--rate nan: must be a finite number"),
        ("--rate=-inf", "--rate -inf: must be a finite number"),
        ("--inner.rates 0.5 inf", "--rates inf: must be a finite number"),
        ("--seed=-1", "--seed -1: must be in 0 to 2³² − 1"),
        ("--data_seed 4294967296", "--data_seed 4294967296: must be in 0 to 2³² − 1"),
        ("--limit 100000000000000000000", "--limit 100000000000000000000: must be at most 2147483647"),
        ("--count=-2147483648", "--count -2147483648: must be at most 2147483647"),
    ],
)
def test_numbers_that_no_option_means_are_refused_on_the_command_line(words, said, capsys):
    with pytest.raises(SystemExit) as left:
        command(lambda _: pytest.fail("work has begun"), Typed, words.split())
    assert (left.value.code, capsys.readouterr().err) == (2, f"error: {said}\n")


def test_numbers_at_their_bounds_pass():
    words = "--seed 4294967295 --count 2147483647 --limit None --rate 1e300 --inner.rates 0 --no-flag"
    assert command(lambda config: config.seed, Typed, words.split()) == 2**32 - 1


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("alloc_cpu.cpp: DefaultCPUAllocator: can't allocate memory: 9")]
)
def test_no_memory_is_one_line_and_another_fault_keeps_its_traceback(error, capsys):
    def work(_):
        raise error

    with pytest.raises(SystemExit) as left:
        command(work, Typed, [])
    assert (left.value.code, capsys.readouterr().err.count("\n")) == (2, 1)

    def fault(_):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        command(fault, Typed, [])


def test_resuming_needs_the_run():
    with pytest.raises(UserError, match="--resume needs --out"):
        checks.resumable(Given(resume=True))
