"""What the agent can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from shared import checks
from shared.errors import UserError

Method = Literal["hybrid", "rrf", "vectors", "bm25"]
RouterName = Literal["rules", "model"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Answer questions from documents, with tools and memory."""

    dataset: str = "film_articles"
    """film_articles (embedded), or a folder of .txt, .md and .pdf files."""
    encoder: str = "minilm"
    """Embeds passages and questions: an embedded model, a local folder, or a Hugging Face id."""
    model: str = "smollm2"
    """Writes the answers: an embedded model, a local folder, or a Hugging Face id."""
    backend: Literal["transformers", "engine"] = "transformers"
    """Runs it: transformers, or ONNX Runtime in float32 (shared/engine; needs the extra `engine`)."""
    out: Path | None = None
    """Folder of the index; by default one below runs/rag_agent/ that is named after the documents."""
    limit: int | None = None
    """Use only so many documents."""

    passage_tokens: int = 128
    """Tokens of a passage with its title, for the encoder; MiniLM was trained on 128."""
    overlap: int = 1
    """Sentences that a passage repeats from the one before it."""
    hnsw: bool = False
    """Search by a graph, approximate, instead of comparing with every vector."""
    method: Method = "hybrid"
    """Find passages by vectors, by words (bm25), or by both, fused by their scores (hybrid) or by their ranks (rrf)."""
    k: int = 1
    """Passages that are retrieved for a question; chosen on held-out films: the small model reads one best."""
    constant: float = 10.0
    """Constant c of reciprocal rank fusion, 1 / (c + rank)."""
    weight: float = 0.3
    """Weight of the vectors in the fusion, that of the words is 1 − weight; chosen on held-out films."""

    threshold: float = 0.5473
    """Confidence below which the answer is "not in the documents"; chosen on held-out questions."""
    cosine_share: float = 0.7
    """Weight of the cosine in the confidence; the rest is the share of the question's words that a passage holds."""
    template: Literal["answer", "answer_turns"] = "answer_turns"
    """Prompt of an answer, by its name in prompts.py; chosen on held-out films."""
    budget: int = 1024
    """Tokens of a prompt: passages that do not fit are dropped whole, the question never."""
    answer_tokens: int = 24
    """Longest answer, in tokens."""
    history_tokens: int = 0
    """Tokens of the conversation that a prompt may repeat; the small model rather repeats its last answer."""
    router: RouterName = "rules"
    """Who chooses a tool: the tools' own patterns, or the model, by comparing the log-probabilities of their names."""
    max_steps: int = 4
    """Actions that the agent takes on one message, at most."""

    device: str = "auto"
    """auto, cpu, cuda, ..."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "k", "answer_tokens", "max_steps", "budget", "limit")
        checks.at_least(self, 0, "overlap", "history_tokens")
        checks.at_least(self, 16, "passage_tokens")
        for name in ("weight", "threshold", "cosine_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be in [0, 1]")
        checks.positive(self, "constant")

    @property
    def base(self) -> "Config":
        """These settings alone, of a command whose configuration adds its own."""
        return Config(**{field.name: getattr(self, field.name) for field in fields(Config)})

    @property
    def ranking(self) -> dict[str, Any]:
        """How a retriever ranks: method, constant, weight."""
        return {"method": self.method, "constant": self.constant, "weight": self.weight}

    @property
    def folder(self) -> Path:
        """Where the index and the conversation are kept."""
        return self.out or Path("runs/rag_agent") / Path(self.dataset).name


SMOKE = Config(limit=12, passage_tokens=64, k=2, answer_tokens=4)
"""The real configuration, smaller: for tests."""
