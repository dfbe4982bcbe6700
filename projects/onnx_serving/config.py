"""The configuration of a training run. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass
from pathlib import Path

from shared import checks
from shared.devices import Precision
from shared.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune an encoder to answer questions about films from their articles, or to say that they do not answer."""

    model: str = "minilm"
    """Encoder: an embedded model, a local folder, or a Hugging Face id of a BERT."""
    window: int = 96
    """Tokens of a window: question, special tokens, and a piece of the article."""
    overlap: int = 28
    """Tokens that neighbouring windows of an article share."""

    lr: float = 2e-4
    """Largest learning rate, of encoder and head."""
    weight_decay: float = 0.01
    """Decoupled weight decay, on matrices only."""
    warmup: float = 0.1
    """Share of the steps over which the rate rises."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    epochs: int = 4
    """Passes over the training films; each draws its own wordings and other films."""
    batch_size: int = 32
    """Windows a step."""
    precision: Precision = "auto"
    """Precision of the matrix products: float32, bfloat16 (autocast), or auto: bfloat16 where the processor has it."""
    limit: int | None = None
    """Use only so many films of each split."""

    seed: int = 0
    """Seeds initial weights, wordings, order and dropout; the split of the films is always the same."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/onnx_serving/."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "epochs", "batch_size")
        checks.at_least(self, 2, "limit")
        checks.positive(self, "lr", "max_norm")
        checks.resumable(self)
        if not 0 <= self.weight_decay < float("inf"):
            raise UserError(f"--weight_decay {self.weight_decay}: must be 0 or a positive number")
        if not 0 <= self.warmup <= 1:
            raise UserError(f"--warmup {self.warmup}: must be in [0, 1]")
        if self.overlap < 1 or self.window < 2 * self.overlap + 32:
            raise UserError(f"--window {self.window}: must be at least twice --overlap {self.overlap} plus 32")

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        return f"qa-seed{self.seed}"


SMOKE = Config(limit=6, epochs=2, batch_size=8, window=64, overlap=16)
"""The real configuration, smaller: for tests."""
