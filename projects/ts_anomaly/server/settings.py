"""Settings of the server, from environment variables that begin with TS_ANOMALY_."""

from dataclasses import dataclass
from pathlib import Path

from shared.web.settings import check_ranges

PREFIX = "TS_ANOMALY_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server; each field is read from TS_ANOMALY_<NAME>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        model: Directory of a run (arm contrast); by default one is trained when the server starts first, and kept.
        data: Folder of what was accepted and of states.
        demo: Embedded series that is replayed as if it came now, "" for none.
        pace: Points a second of the demonstration.
        warm: Points of a new series that its scale and threshold come from, before it is judged.
        chance: How likely a false alarm at a step may be.
        memory: Points of a series that a new fit sees, and that are kept for it; 0 never fits again.
        series: Series at most.
        waiting: Pushes that may wait for their turn.
        webhook: URL that alerts are posted to.
        rate: Requests a second that an address may keep up.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = ""
    data: Path = Path("runs/ts_anomaly/server")
    demo: str = ""
    pace: float = 20.0
    warm: int = 512
    chance: float = 1 / 10_080
    memory: int = 2048
    series: int = 200
    waiting: int = 16
    webhook: str = ""
    rate: float = 50.0

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        check_ranges(
            self,
            PREFIX,
            port=(0, 65535),
            pace=(0.1, 1000),
            warm=(128, 2048),
            chance=(1e-9, 0.4),
            memory=(0, 100_000),
            series=(1, 10_000),
            waiting=(1, 1000),
            rate=(0.1, 100_000),
        )
