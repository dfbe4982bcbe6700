"""What the hub needs of whatever keeps conversations."""

from typing import Protocol, runtime_checkable

from projects.ws_chat.protocol import Stored


class GoneError(Exception):
    """The conversation was deleted meanwhile."""


@runtime_checkable
class Store(Protocol):
    """Where conversations are kept."""

    async def messages(self, user: str, conversation: str) -> list[Stored] | None:
        """All of a conversation, oldest first; None if there is none of this user."""

    async def reserve(self, conversation: str, count: int) -> int:
        """Numbers for events that nobody has had or will have: the one before the first. Raises GoneError."""

    async def add(self, conversation: str, message: Stored) -> bool:
        """Keep a message, on disk when this returns; False if its id is there already. Raises GoneError."""

    async def remove_from(self, conversation: str, message: str, instead: Stored | None = None) -> list[str]:
        """Take away a message and all after it, and keep another instead, or do neither; the ids of what is gone."""
