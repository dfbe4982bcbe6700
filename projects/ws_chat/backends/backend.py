"""What a chat needs of whoever writes its answers."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol, runtime_checkable

from projects.ws_chat.context import Turn

Finish = Literal["end", "length"]


class BackendError(Exception):
    """The answer cannot go on; says why in a sentence that a person may read."""


@runtime_checkable
class Answering(Protocol):
    """An answer on its way.

    Attributes:
        finish: Why it ended, None before or when it was cancelled.
    """

    finish: Finish | None

    def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of the text. Raises BackendError."""

    def cancel(self) -> None:
        """Compute no further token; the iteration ends."""


@runtime_checkable
class Backend(Protocol):
    """Writes answers.

    Attributes:
        budget: Tokens of a prompt.
        at_once: Answers that it writes at the same time; the others wait their turn.
        computed: Tokens that it has computed so far, to be seen standing still.
    """

    budget: int
    at_once: int
    computed: int

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of the prompt that turns make, with the system text and all markers."""

    def answer(self, turns: Sequence[Turn]) -> Answering:
        """Begin an answer to the last turn."""

    async def close(self) -> None:
        """Cancel all answers and free what is held."""
