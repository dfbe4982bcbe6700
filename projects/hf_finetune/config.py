"""What a training run of this project can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from shared import checks
from shared.errors import UserError

ARMS = ("plain", "mixout", "AWP", "AWP + mixout")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which texts a run learns from, and how they are read."""

    model: str = "minilm"
    """An embedded encoder, a local folder, or a Hugging Face id."""
    dataset: str = "product_reviews"
    """An embedded dataset (product_reviews, movie_reviews, ...), a CSV or JSONL file, or a Hugging Face id."""
    text_column: str = "text"
    """Column that holds the text."""
    label_column: str = "label"
    """Column that holds the class, or with --scores a number."""
    scores: bool = False
    """The label column holds scores around zero, cut into classes at --neutral_band (product_reviews always does)."""
    neutral_band: float = 0.5
    """Scores in [-band, band] are neutral, below it negative, above it positive."""
    max_length: int = 64
    """Tokens of a text; the rest is cut."""
    limit: int | None = None
    """Train on so many sentences, drawn from all training reviews; the draw is the same for every seed."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "limit")
        if not 0 <= self.neutral_band < float("inf"):
            raise UserError(f"--neutral_band {self.neutral_band}: must be 0 or a positive number")


@dataclass(frozen=True, kw_only=True)
class Config(DataConfig):
    """Fine-tune a pretrained encoder to tell the tone of a text, with AWP, mixout, both or neither."""

    awp: float = 0.0
    """Size γ of the adversarial weight perturbation, relative to each weight's norm; 0 turns it off."""
    mixout: float = 0.0
    """Probability p with which a weight is replaced by its pretrained value in a step; 0 turns it off."""

    lr: float = 2e-4
    """Highest learning rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay, on matrices only."""
    warmup: float = 0.1
    """Share of the steps over which the rate rises; then it falls linearly to zero."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    epochs: int = 4
    """Passes over the training sentences."""
    batch_size: int = 16
    """Sentences a step: the effective batch, which running out of memory does not change."""
    accumulation: int = 1
    """Micro-batches that a batch is split into at first; doubled whenever memory runs out."""
    patience: int = 2
    """Epochs without a better validation macro-F1 after which training stops."""
    save_every: int = 0
    """Steps between two checkpoints inside an epoch; 0 saves at the end of each epoch only."""
    memory_gb: float | None = None
    """Address space of the training process (10⁹ bytes); more is refused to it, which is running out of memory."""

    seed: int = 0
    """Seeds the head's weights, the order, dropout and mixout; the split is always the same."""
    device: str = "auto"
    """auto, cpu or cuda."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/hf_finetune/."""
    resume: bool = False
    """Continue the run in --out from its last whole checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        super().__post_init__()
        checks.at_least(self, 1, "epochs", "batch_size", "accumulation", "patience")
        checks.positive(self, "lr", "max_norm")
        if not 0 <= self.awp < float("inf"):
            raise UserError(f"--awp {self.awp}: must be 0 (off) or a positive number; start with 0.0001")
        if not 0 <= self.mixout < 1:
            raise UserError(f"--mixout {self.mixout}: is a probability, in [0, 1)")
        if not 0 <= self.warmup < 1:
            raise UserError(f"--warmup {self.warmup}: is a share of the steps, in [0, 1)")
        if self.batch_size % self.accumulation:
            raise UserError(f"--accumulation {self.accumulation}: does not divide the batch of {self.batch_size}")
        if self.save_every < 0:
            raise UserError(f"--save_every {self.save_every}: must be 0 (epochs only) or more")
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise UserError(f"--memory_gb {self.memory_gb}: must be a positive number")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: must be in 0 to 2³² − 1")
        checks.resumable(self)

    @property
    def data(self) -> dict[str, Any]:
        """The settings that say which texts are learned from: the fields of DataConfig."""
        return {field.name: getattr(self, field.name) for field in fields(DataConfig)}

    @property
    def arm(self) -> str:
        """What the tables call a run: one of ARMS."""
        return " + ".join(name for name, on in (("AWP", self.awp), ("mixout", self.mixout)) if on) or "plain"

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        awp = f"-awp{self.awp:g}" if self.awp else ""
        mixout = f"-mixout{self.mixout:g}" if self.mixout else ""
        return f"{Path(self.dataset).stem}{awp}{mixout}-seed{self.seed}"


SMOKE = Config(limit=64, epochs=2, max_length=16, awp=0.0001, mixout=0.2)
"""The real configuration, smaller: for tests."""
