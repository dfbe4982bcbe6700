"""Settings of the server, from environment variables that begin with ONNX_SERVING_."""

from dataclasses import dataclass
from pathlib import Path

from projects.onnx_serving.paths import EXPORTED, GRAPHS
from shared.errors import UserError
from shared.web.settings import check_ranges

PREFIX = "ONNX_SERVING_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server; each field is read from ONNX_SERVING_<NAME>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        models: Folder that the export wrote.
        precision: int8 or float32 graphs.
        threads: Threads of each of the two models.
        batching: 1 runs what waits together, 0 one request after the other.
        rows: Requests that one batch may hold.
        budget: Padded tokens that one batch may hold; a larger request goes alone.
        waiting: Requests that may wait for each model; the next one is refused with 503.
        body: Largest body of a request, in bytes.
        prompt_tokens: Longest prompt, in tokens.
        grace: Seconds that running requests get when the server is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    models: Path = EXPORTED
    precision: str = "int8"
    threads: int = 1
    batching: int = 1
    rows: int = 8
    budget: int = 2048
    waiting: int = 32
    body: int = 65536
    prompt_tokens: int = 512
    grace: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        if self.precision not in GRAPHS:
            raise UserError(f"{PREFIX}PRECISION={self.precision}: must be int8 or float32")
        check_ranges(
            self,
            PREFIX,
            port=(0, 65535),
            threads=(1, 256),
            batching=(0, 1),
            rows=(1, 1024),
            budget=(1, 2**20),
            waiting=(1, 2**16),
            body=(256, 2**26),
            prompt_tokens=(1, 4096),
            grace=(0, 3600),
        )
