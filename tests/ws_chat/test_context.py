"""Whole messages, the newest that fit, and never an answer without its question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.ws_chat.context import Context, TooLongError, Turn, fit

SYSTEM = 7


def count(turns):
    """A token a word, two markers a turn, and the system text."""
    return SYSTEM + sum(2 + len(turn.text.split()) for turn in turns)


def by_trying(turns, budget):
    """The definition: of all ends that begin with the user and fit, the longest."""
    ends = [turns[place:] for place, turn in enumerate(turns) if turn.role == "user"]
    return next((tuple(end) for end in ends if count(end) <= budget), None)


conversations = st.lists(st.integers(0, 12), min_size=1, max_size=24).map(
    lambda lengths: [
        Turn("user" if place % 2 == 0 else "assistant", "w " * length) for place, length in enumerate(lengths)
    ]
)


@given(conversations, st.integers(0, 200))
def test_it_is_the_longest_end_that_fits(turns, budget):
    turns = turns if len(turns) % 2 else turns[:-1]
    expected = by_trying(turns, budget)
    if expected is None:
        with pytest.raises(TooLongError, match=f"of at most {budget}"):
            fit(turns, budget, count)
    else:
        found = fit(turns, budget, count)
        assert found == Context(expected, count(expected), len(turns) - len(expected))


def test_questions_in_a_row_are_each_a_beginning():
    turns = [Turn("user", "a b c"), Turn("user", "d"), Turn("assistant", "e"), Turn("user", "f")]
    assert fit(turns, SYSTEM + 9, count).turns == tuple(turns[1:])
    assert fit(turns, SYSTEM + 3, count).turns == (turns[3],)


def test_a_message_is_never_cut():
    with pytest.raises(TooLongError, match="the message has 109 tokens with the system text, of at most 50"):
        fit([Turn("user", "w " * 100)], 50, count)
