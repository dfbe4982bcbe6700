"""What the hub needs of whatever keeps conversations."""

from typing import Protocol, runtime_checkable

from projects.ws_chat.protocol import Stored


@runtime_checkable
class Store(Protocol):
    """Where conversations are kept."""

    async def messages(self, user: str, conversation: str) -> list[Stored] | None:
        """All of a conversation, oldest first; None if there is none of this user."""

    async def reserve(self, conversation: str, count: int) -> int:
        """Numbers for events that no process has had or will have: the one before the first of them."""

    async def add(self, conversation: str, message: Stored) -> bool:
        """Keep a message; False if its id is there already. It is on disk when this returns."""

    async def remove_from(self, conversation: str, message: str) -> list[str]:
        """Take away a message and all after it; their ids."""
