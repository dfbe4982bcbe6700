"""What a training run of this project can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from projects.lora.models.lora import Scaling
from shared import checks
from shared.errors import UserError

Arm = Literal["lora", "peft", "full", "head"]

# Suffixes of the six linear layers of a BERT block; output.dense is in the attention and in the feed-forward part.
BERT_LINEAR = ("query", "key", "value", "output.dense", "intermediate.dense")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune a pretrained encoder to classify text."""

    arm: Arm = "lora"
    """What is trained: our LoRA, PEFT's LoRA, every weight (full), or the linear head alone."""
    model: str = "minilm"
    """An embedded model, a local folder, or a Hugging Face id."""
    dataset: str = "trec"
    """An embedded dataset (trec, movie_reviews, ...), a CSV or JSONL file, or a Hugging Face id."""
    text_column: str = "text"
    """Column that holds the text."""
    label_column: str = "label"
    """Column that holds the class."""

    rank: int = 16
    """Rank r of the update."""
    alpha: float = 16.0
    """Numerator of the scale."""
    scaling: Scaling = "alpha/r"
    """Rule for the scale: alpha/r, or alpha/sqrt(r) (rank-stabilised)."""
    targets: tuple[str, ...] = BERT_LINEAR
    """Last parts of the names of the linear layers that get an update."""
    lora_dropout: float = 0.05
    """Dropout on the input of each update."""

    lr: float = 1e-3
    """Learning rate of A (arms lora, peft) or of the encoder (arm full)."""
    lr_ratio: float = 4.0
    """Learning rate of B over that of A (LoRA+, Hayou et al. 2024)."""
    head_lr: float = 5e-3
    """Learning rate of the linear head."""
    weight_decay: float = 0.01
    """Decoupled weight decay, on matrices only."""
    warmup: float = 0.06
    """Share of the steps over which the rates rise."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    epochs: int = 3
    """Passes over the training questions."""
    batch_size: int = 32
    """Texts a step."""
    accumulation: int = 1
    """Micro-batches that a batch is split into: less memory, the same gradient."""
    patience: int = 2
    """Epochs without a better validation accuracy after which training stops."""
    max_length: int = 64
    """Tokens of a text; the rest is cut."""
    limit: int | None = None
    """Use only so many training texts."""

    seed: int = 0
    """Seeds initial weights, order and dropout; the split is always the same."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/lora/."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "epochs", "batch_size", "accumulation", "patience", "max_length", "rank")
        checks.positive(self, "lr", "lr_ratio", "head_lr", "alpha", "max_norm")
        if not 0 <= self.lora_dropout < 1:
            raise UserError(f"--lora_dropout {self.lora_dropout}: must be in [0, 1)")
        if self.limit is not None and self.limit < self.batch_size:
            raise UserError(f"--limit {self.limit}: must be at least one batch ({self.batch_size})")
        if self.batch_size < self.accumulation:
            raise UserError(
                f"--accumulation {self.accumulation}: a batch of {self.batch_size} cannot be split so often"
            )
        checks.resumable(self)

    @property
    def base(self) -> "Config":
        """These settings alone, of a command whose configuration adds its own."""
        return Config(**{field.name: getattr(self, field.name) for field in fields(Config)})

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        detail = f"-r{self.rank}" if self.arm in ("lora", "peft") else ""
        return f"{Path(self.dataset).stem}-{self.arm}{detail}-seed{self.seed}"


def method(arm: str, rank: int, scaling: str) -> str:
    """Name of a method in the README."""
    names = {"full": "full fine-tuning", "head": "frozen encoder, linear head", "peft": f"PEFT's LoRA, r = {rank}"}
    return names.get(arm, f"LoRA, r = {rank}{', α/√r' if scaling == 'alpha/sqrt(r)' else ''}")


SMOKE = Config(limit=64, epochs=2, rank=2, batch_size=16, max_length=16)
"""The real configuration, smaller: for tests."""
