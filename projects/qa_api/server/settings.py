"""What the server is told, from variables of the environment."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.web.settings import check_ranges

PREFIX = "QA_API_"
DATASETS = ("sample", "introductions", "none")
RUNTIMES = ("auto", "onnx", "int8", "torch")


@dataclass(frozen=True)
class Settings:
    """Settings of the server; each field is read from QA_API_<NAME>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        data: Folder of the store, of the keys and of the secret of follow-ups.
        dataset: What the tenant "demo" begins with: sample (2,000 introductions), introductions (all 16,160), or none.
        encoder: What makes vectors of documents and questions: e5 or minilm.
        reader: Directory of a trained reader; "" takes the one that `make run-qa_api` left.
        runtime: What computes: onnx (float32) or int8, as `python -m projects.qa_api.export` wrote it, torch, or auto:
            onnx where the reader has been exported.
        threads: How many one window of a document gets; ONNX Runtime reads as many windows at once as there are cores.
        elastic: URL of Elasticsearch or OpenSearch for the index; "" keeps it in memory.
        at_once: Questions that are answered at the same time.
        waiting: Questions that may wait for them; more are told to come back.
        rate: Requests a second that a key may keep up; an address may have ten times as many.
        largest: Bytes of a document's request.
        most: Documents that a tenant may have.
        valid: Seconds in which a question back can be answered.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path("runs/qa_api/server")
    dataset: str = "sample"
    encoder: str = "e5"
    reader: str = ""
    runtime: str = "auto"
    threads: int = 1
    elastic: str = ""
    at_once: int = 2
    waiting: int = 12
    rate: float = 20.0
    largest: int = 1_000_000
    most: int = 200_000
    valid: int = 600

    def __post_init__(self) -> None:
        """Refuse values that no server works with."""
        if self.dataset not in DATASETS:
            raise UserError(f"{PREFIX}DATASET={self.dataset}: choose one of {', '.join(DATASETS)}")
        if self.runtime not in RUNTIMES:
            raise UserError(f"{PREFIX}RUNTIME={self.runtime}: choose one of {', '.join(RUNTIMES)}")
        if self.elastic and not self.elastic.startswith(("http://", "https://")):
            raise UserError(f"{PREFIX}ELASTIC={self.elastic}: must begin with http:// or https://")
        check_ranges(self, PREFIX, port=(0, 65_535), threads=(1, 64), at_once=(1, 64), waiting=(0, 10_000),
                     rate=(0.1, 1e6), largest=(1_000, 50_000_000), most=(1, 10_000_000), valid=(1, 86_400))  # fmt: skip
