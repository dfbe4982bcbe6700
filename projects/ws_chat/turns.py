"""Who is next: users take turns, so that one who asks ten times does not keep the others waiting ten times.

Round robin over users (Nagle 1987, RFC 970, §6): each user has a line of their own, and the lines are served in turn.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FullError(Exception):
    """Nobody else can wait."""


class FairQueue(Generic[Item]):
    """Items of users.

    Args:
        most: Items that may wait.
        most_of_one: Items of one user that may wait.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self.most, self.most_of_one = most, most_of_one
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()  # the first user is next

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def push(self, user: str, item: Item) -> None:
        """Let an item wait.

        Raises:
            FullError: If too many wait, or too many of this user.
        """
        if len(self) >= self.most or len(self._lines.get(user, ())) >= self.most_of_one:
            raise FullError
        self._lines.setdefault(user, deque()).append(item)

    def pop(self) -> Item:
        """The next item; its user's other items come after everybody else's turn.

        Raises:
            IndexError: If nothing waits.
        """
        if not self._lines:
            raise IndexError("nothing waits")
        user, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[user] = line
        return item

    def remove(self, item: Item) -> bool:
        """Take an item out; whether it waited."""
        for user, line in self._lines.items():
            if item in line:
                line.remove(item)
                if not line:
                    del self._lines[user]
                return True
        return False

    def in_order(self) -> list[Item]:
        """What waits, in the order in which it will be served if nobody else comes."""
        lines = [deque(line) for line in self._lines.values()]
        served: list[Item] = []
        while lines:
            served += [line.popleft() for line in lines]
            lines = [line for line in lines if line]
        return served
