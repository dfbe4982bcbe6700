"""A page's subscription to a conversation that may be at home at another replica."""

import secrets
from dataclasses import dataclass, field

from projects.ws_chat.live import Listen
from projects.ws_chat.protocol import Shown


@dataclass(eq=False)
class Subscription:
    """A page of this replica that shows a conversation, wherever that is at home."""

    user: str
    conversation: str
    listen: Listen
    seq: int
    home: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    def __call__(self, frame: Shown) -> None:
        """Show a frame, and remember up to where."""
        self.seq = getattr(frame, "seq", self.seq)
        self.listen(frame)


def nobody(_: Shown) -> None:
    """A page that has left before it was subscribed."""
