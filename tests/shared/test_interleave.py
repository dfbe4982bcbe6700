"""Arms in turn: who is asked when, what is left out, and what happens if one dies."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.interleave import Measured, Turns, commands, in_turn, ratio, serve, spawned, step_ms


def counted(pipe, setting):
    """An arm whose steps allocate what it was told to keep."""
    kept = []
    serve(pipe.recv, pipe.send, lambda: kept.append(bytearray(setting)))


def dies(pipe, setting):
    """An arm that ends in its second round."""
    taken = []

    def step():
        taken.append(1)
        if len(taken) > setting:
            sys.exit(1)

    serve(pipe.recv, pipe.send, step)


def test_the_order_turns_round_and_the_first_round_is_left_out():
    asked = []

    def arm(name, factor):
        def ask(steps):
            asked.append((name, steps))
            return factor * len(asked) if steps else [100.0, 10.0 * factor]

        return ask

    measured = in_turn({"a": arm("a", 1.0), "b": arm("b", 2.0)}, rounds=3, steps=4)
    order = [name for name, steps in asked if steps]
    assert order == ["b", "a", "a", "b", "b", "a"] and {steps for _, steps in asked} == {4, 0}
    assert measured["a"] == Measured([3.0, 6.0], 100.0, 10.0)
    assert measured["b"] == Measured([8.0, 10.0], 100.0, 20.0)


def test_ratios_are_taken_round_by_round():
    """The machine is ten times slower in the last round: the ratio does not notice."""
    measured = {"a": Measured([1.0, 2.0, 10.0], 0, 0), "b": Measured([2.0, 4.0, 20.0], 0, 0)}
    found = ratio(measured, "a", "b")
    assert (found.median, found.q1, found.q3) == (0.5, 0.5, 0.5)
    assert step_ms(measured["b"]) == 4.0


def test_processes_have_memory_of_their_own():
    """Also where the process that starts them has been larger than they ever get."""
    bytearray(600_000_000)[::4096] = b"\1" * len(range(0, 600_000_000, 4096))
    with spawned(counted, {"small": 1, "large": 50_000_000}) as arms:
        measured = in_turn(arms, rounds=2, steps=2)
    assert measured["large"].growth_mb > 100 > measured["small"].growth_mb
    assert measured["small"].peak_mb < 600
    assert all(each.ms[0] >= 0 and len(each.ms) == 1 for each in measured.values())


def test_a_command_is_an_arm_too():
    word = "from shared.interleave import serve_lines; serve_lines(lambda: None)"
    with commands({"one": [sys.executable, "-c", word]}) as arms:
        measured = in_turn(arms, rounds=3, steps=2)
    assert len(measured["one"].ms) == 2 and measured["one"].peak_mb > 1


def test_an_arm_that_dies_is_one_line():
    with pytest.raises(UserError, match="ended early"), spawned(dies, {"one": 2}) as arms:
        in_turn(arms, rounds=3, steps=2)
    with pytest.raises(UserError, match="ended early"), commands({"one": [sys.executable, "-c", ""]}) as arms:
        in_turn(arms, rounds=2, steps=1)


@pytest.mark.parametrize(("rounds", "steps"), [(1, 1), (2, 0)])
def test_no_round_behind_the_warm_up(rounds, steps):
    with pytest.raises(UserError, match="rounds"):
        in_turn({}, rounds=rounds, steps=steps)


@pytest.mark.parametrize("gone_after", ["ready", "a step"])
def test_an_arm_whose_asker_is_gone_ends_without_a_word(gone_after):
    """A closed pipe answers a read with EOFError and a write with BrokenPipeError."""
    steps, questions = [], [] if gone_after == "ready" else [3]

    def receive():
        if questions:
            return questions.pop()
        raise EOFError

    def send(value):
        if value != "ready":
            raise BrokenPipeError

    serve(receive, send, lambda: steps.append(1))
    assert len(steps) == (0 if gone_after == "ready" else 3)


def test_an_error_of_a_step_is_not_taken_for_a_closed_pipe():
    def step():
        raise BrokenPipeError("of the step")

    with pytest.raises(BrokenPipeError, match="of the step"):
        serve(lambda: 1, lambda _: None, step)


@dataclass(frozen=True, kw_only=True)
class Trained:
    rank: int = 1

    def __post_init__(self):
        if self.rank < 1:
            raise UserError("--rank")


@dataclass(frozen=True, kw_only=True)
class Both(Turns, Trained):
    rounds: int = 4
    steps: int = 1
    out: Path = Path("results")


def test_turns_refuse_what_measures_nothing_and_so_does_the_configuration_beside_them():
    assert Both().rounds == 4
    for settings, said in (({"rounds": 1}, "--rounds 1"), ({"steps": 0}, "--steps 0"), ({"rank": 0}, "--rank")):
        with pytest.raises(UserError, match=said):
            Both(**settings)
