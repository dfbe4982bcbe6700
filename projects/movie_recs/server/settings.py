"""Settings of the server, from environment variables that begin with MOVIE_RECS_."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.web.settings import check_ranges

PREFIX = "MOVIE_RECS_"
DATASETS = ("dslabs", "ml-100k", "none")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server; each field is read from MOVIE_RECS_<NAME>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        data: Folder of the store and of the administrators' keys.
        dataset: Films and ratings that a new store begins with: dslabs, ml-100k, or none.
        model: Encoder of texts and wishes; e5 understands Spanish and English.
        qdrant: URL of a Qdrant that is searched instead of the index in memory.
        at_once: Requests that compute at the same time.
        waiting: Requests that may wait for them; more are told to come back.
        rate: Requests a second that an address may keep up.
        most_films: Films that the catalogue may hold.
        most_people: Profiles that the store may hold.
        refresh: Changed opinions after which the model is brought up to date, in the background.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path("runs/movie_recs/server")
    dataset: str = "dslabs"
    model: str = "e5"
    qdrant: str = ""
    at_once: int = 2
    waiting: int = 32
    rate: float = 20.0
    most_films: int = 200_000
    most_people: int = 100_000
    refresh: int = 20

    def __post_init__(self) -> None:
        """Refuse values that no server works with."""
        if self.dataset not in DATASETS:
            raise UserError(f"{PREFIX}DATASET={self.dataset}: choose one of {', '.join(DATASETS)}")
        check_ranges(
            self,
            PREFIX,
            port=(0, 65_535),
            at_once=(1, 64),
            waiting=(0, 10_000),
            rate=(0.01, 1e6),
            most_films=(1, 10_000_000),
            most_people=(1, 100_000_000),
            refresh=(1, 1_000_000),
        )
