"""Who is next: whoever was served least of late; one who asks ten times keeps nobody waiting ten times.

Fair share over users (Kay and Lauder 1988, "A fair share scheduler", CACM 31(1)): each user has a line of their own and
an account of answers, in which old ones fade; the line of whoever has the smallest account is served next. Taking turns
alone (Nagle 1987, RFC 970) would give the one who always waits a turn whenever somebody else comes again.
"""

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")
FADING = 0.98  # of an account is left when another answer was begun: some fifty answers are remembered
FORGOTTEN = 0.01


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
        self._lines: dict[str, deque[Item]] = {}  # of equal users, the first is next
        self._served: dict[str, float] = {}

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
        """The next item.

        Raises:
            IndexError: If nothing waits.
        """
        if not self._lines:
            raise IndexError("nothing waits")
        return _pop(self._lines, self._served)

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
        lines, served = {user: deque(line) for user, line in self._lines.items()}, dict(self._served)
        return [_pop(lines, served) for _ in range(len(self))]


def _pop(lines: dict[str, deque[Item]], served: dict[str, float]) -> Item:
    """Take the next item from the lines, and note in the accounts whose it was."""
    user = min(lines, key=lambda user: served.get(user, 0.0))
    line = lines.pop(user)
    item = line.popleft()
    if line:
        lines[user] = line  # behind those that are equal to it
    for each in tuple(served):
        served[each] *= FADING
        if served[each] < FORGOTTEN:
            del served[each]
    served[user] = served.get(user, 0.0) + 1
    return item
