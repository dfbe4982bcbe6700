"""A store in memory, for measures in which nothing must outlive the process."""

from collections import defaultdict

from projects.ws_chat.protocol import Stored


class Kept:
    """Every conversation is there, and everybody's."""

    def __init__(self) -> None:
        self.all: defaultdict[str, list[Stored]] = defaultdict(list)
        self.numbers: defaultdict[str, int] = defaultdict(int)

    async def messages(self, user: str, conversation: str) -> list[Stored] | None:
        """As the store's."""
        return list(self.all[conversation]) if user else None

    async def reserve(self, conversation: str, count: int) -> int:
        """As the store's."""
        self.numbers[conversation] += count
        return self.numbers[conversation] - count

    async def add(self, conversation: str, message: Stored) -> bool:
        """As the store's."""
        self.all[conversation].append(message)
        return True

    async def remove_from(self, conversation: str, message: str, instead: Stored | None = None) -> list[str]:
        """As the store's."""
        kept = self.all[conversation]
        place = next(n for n, each in enumerate(kept) if each.id == message)
        self.all[conversation], removed = kept[:place], kept[place:]
        self.all[conversation] += [] if instead is None else [instead]
        return [each.id for each in removed]
