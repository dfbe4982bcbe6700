"""The configuration of the main job. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass, replace
from pathlib import Path

from shared import checks
from shared.errors import UserError

RESULTS = Path("projects/ws_chat/results")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Start the chat, talk to it, stop it, cut its lines, and say what was lost and what it cost."""

    stops: int = 40
    """Answers of the local model that are stopped."""
    cuts: int = 200
    """Connections that are cut at random points, at two replicas."""
    pages: int = 20
    """Pages whose connections are cut, each in a conversation of its own."""
    streams: tuple[int, ...] = (1, 32)
    """Answers at once, whose tokens are timed; a run for each number."""
    tokens: int = 100
    """Tokens of each of these answers."""
    sockets: int = 200
    """Sockets that only wait, whose memory is measured."""
    rounds: int = 1
    """Rounds of thirty questions whose first token is timed."""
    churn: float = 10.0
    """Seconds in which pages come, chat and go."""
    load: float = 15.0
    """Seconds of load at twice the capacity, for each seed and size of the queue."""
    seeds: int = 1
    """Seeds of this load."""
    seed: int = 0
    """Seeds the random points of cuts and stops."""
    out: Path = RESULTS
    """Where `study` puts its CSV files; the main job only prints."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "stops", "cuts", "pages", "tokens", "sockets", "rounds", "seeds")
        checks.positive(self, "churn", "load")
        if not self.streams or min(self.streams) < 1:
            raise UserError("--streams: needs whole numbers of 1 or more")


FULL = Config(
    stops=200, cuts=1000, streams=(1, 32, 200), tokens=200, sockets=1000, rounds=4, churn=600.0, load=40.0, seeds=3
)
SMOKE = replace(Config(), stops=2, cuts=8, pages=2, streams=(2,), tokens=5, sockets=10, churn=0.5, load=4.0)
