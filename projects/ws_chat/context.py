"""What of a conversation the model reads: the newest whole messages that fit, and the system text always.

A message is never cut: half a question has another answer. What is left out is left out from the oldest on, so that the
model sees an unbroken end of the conversation; an answer whose question does not fit goes with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from projects.ws_chat.protocol import Role
from shared.errors import UserError


@dataclass(frozen=True)
class Turn:
    """A message as the model reads it."""

    role: Role
    text: str


@dataclass(frozen=True)
class Context:
    """What is read.

    Attributes:
        turns: The end of the conversation, oldest first.
        tokens: Length of the prompt that they make, system text and markers included.
        left_out: Turns before them.
    """

    turns: tuple[Turn, ...]
    tokens: int
    left_out: int


class TooLongError(UserError):
    """The last message alone is longer than the budget."""


def fit(turns: Sequence[Turn], budget: int, count: Callable[[Sequence[Turn]], int]) -> Context:
    """The longest end of a conversation that fits a budget and begins with the user.

    Args:
        turns: The whole conversation, oldest first; the last is the user's.
        budget: Tokens of the prompt.
        count: Tokens of the prompt that turns make, with the system text; more turns never make fewer tokens.

    Raises:
        TooLongError: If not even the last message fits.
    """
    beginnings = [place for place, turn in enumerate(turns) if turn.role == "user"]
    low, high = 0, len(beginnings) - 1  # of the beginnings, the first that fits: found by halving
    needed = count(turns[beginnings[-1] :])
    if needed > budget:
        raise TooLongError(f"the message has {needed} tokens with the system text, of at most {budget}")
    while low < high:
        middle = (low + high) // 2
        if count(turns[beginnings[middle] :]) <= budget:
            high = middle
        else:
            low = middle + 1
    kept = tuple(turns[beginnings[high] :])
    return Context(kept, count(kept), len(turns) - len(kept))
