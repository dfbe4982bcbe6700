"""Settings of the server, from environment variables that begin with NEWS_CLS_."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.web.settings import check_ranges

PREFIX = "NEWS_CLS_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the server is told.

    Attributes:
        host: Address to listen on.
        port: 0 takes a free one.
        model: The run whose encoder and first head are served.
        backend: torch, or onnx (int8; export it first).
        precision: What torch computes in: auto, float32 or bfloat16.
        data: Folder of uploads and their results.
        database: URL of versions, decisions and feedback; by default SQLite in `data`.
        token: Allows updates and going back; without it nobody may.
        at_once: Articles in a batch of the model.
        waiting: Articles that may wait; beyond them 503.
        characters: Most that an article may have.
        rows: Most that an uploaded file may have.
        rate: Requests a second that a client may keep up.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: Path = Path("runs/news_cls/served")
    backend: str = "torch"
    precision: str = "auto"
    data: Path = Path("runs/news_cls/service")
    database: str = ""
    token: str = ""
    at_once: int = 32
    waiting: int = 256
    characters: int = 100_000
    rows: int = 20_000
    rate: float = 20.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_ranges(self, PREFIX, port=(0, 65535), at_once=(1, 1024), waiting=(1, 100_000), rate=(0.1, 1e6))
        check_ranges(self, PREFIX, characters=(100, 1_000_000), rows=(1, 1_000_000))
        if self.backend not in ("torch", "onnx"):
            raise UserError(f"{PREFIX}BACKEND={self.backend}: must be torch or onnx")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise UserError(f"{PREFIX}PRECISION={self.precision}: must be auto, float32 or bfloat16")
        if self.token and len(self.token) < 16:
            raise UserError(f"{PREFIX}TOKEN: must have 16 characters or more")

    @property
    def url(self) -> str:
        """The database."""
        return self.database or f"sqlite:///{self.data / 'news.sqlite'}"
