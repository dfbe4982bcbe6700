"""The adversary is honest: a disguised program still does what it did."""

import ast
import contextlib
import io
from random import Random

import pytest

from shared.lab.originality.attacks import ATTACKS, HELD_OUT, TUNED_ON, apply, functions


def answer(text: str) -> list[object]:
    """What the program's own globals hold, by value: the test's program is ours, and it is meant to be run."""
    scope: dict[str, object] = {"__name__": "program"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, "program", "exec"), scope)
    return sorted((value for value in scope.values() if isinstance(value, str) and ": [" in value), key=str)


SAME_OUTPUT = sorted(set(ATTACKS) - {"literals"})  # rewording messages is meant to change what is printed


@pytest.mark.parametrize("attack", SAME_OUTPUT)
def test_disguised_programs_do_the_same(attack, program):
    expected = answer(program)
    assert expected
    for seed in range(8):
        disguised = apply((attack,), program, Random(seed))
        assert answer(disguised) == expected, f"seed {seed}"
        if attack != "copy":
            assert ast.dump(ast.parse(disguised)) != ast.dump(ast.parse(program)) or attack == "comments and format"
            assert disguised != program
        assert disguised == apply((attack,), program, Random(seed))


def test_three_disguises_in_a_row_do_the_same(program):
    rng = Random(1)
    for _ in range(60):
        names = tuple(rng.sample(SAME_OUTPUT, 3))
        assert answer(apply(names, program, rng)) == answer(program), names


@pytest.mark.parametrize(
    ("attack", "share"), [("dead code 25 %", 0.25), ("dead code 50 %", 0.5), ("dead code 100 %", 1.0)]
)
def test_dead_code_is_as_long_as_it_says(attack, share, program):
    before = len(apply(("annotations",), program, Random(0)).splitlines())
    after = len(ATTACKS[attack](program, Random(0)).splitlines())
    assert before * (1 + share) <= after <= before * (1 + share) * 1.35


def test_stolen_share_is_about_what_it_says(program):
    host = "\n".join(f"def own{i}(x):\n    y = x + {i}\n    return y * {i}\n" for i in range(20))
    mixed = functions.partial(program, host, Random(0), share=0.25)
    lines = len(mixed.splitlines())
    own = sum("own" in line or "x + " in line or "y * " in line for line in mixed.splitlines())
    assert 0.15 < 1 - own / lines < 0.6
    assert "class Corpus" not in mixed or "def own3" in mixed


def test_held_out_disguises_are_the_others():
    assert not set(HELD_OUT) & set(TUNED_ON)
    assert set(HELD_OUT) | set(TUNED_ON) == set(ATTACKS)
