"""What a training run of this project can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from projects.adapters.models.adapter import Gain, Init
from shared import checks
from shared.errors import UserError

AdapterType = Literal["bottleneck", "parallel", "none", "lora"]
OPTIMIZERS = ("adamw", "sgd", "adafactor")

# Both sublayers of every block of our encoder (models/transformer_base.py).
SUBLAYERS = ("blocks.*.attention", "blocks.*.feed_forward")

FULL = "full fine-tuning"
BENCH_NAMES = {
    "bottleneck": "bottleneck adapters on hooks",
    "inline": "the same, written into the blocks",
    "parallel": "parallel adapters on hooks",
    "lora": "PEFT's LoRA",
    "peer": "`adapters` library",
    "full": FULL,
}
"""What the README calls an arm of the benchmark."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which texts a run learns from, and how they are read."""

    model: str = "minilm"
    """An embedded model, a local folder, or a Hugging Face id; a BERT."""
    dataset: str = "trec"
    """trec, movie_reviews, ...; ner-1 to ner-3 (synthetic); a CSV or JSONL file; a folder of CoNLL files; a hub id."""
    text_column: str = "text"
    """Column that holds the text."""
    label_column: str = "label"
    """Column that holds the class."""
    max_length: int = 64
    """Tokens of a text; the rest is cut."""
    limit: int | None = None
    """Use only so many training texts."""


@dataclass(frozen=True, kw_only=True)
class Config(DataConfig):
    """Train an encoder to classify texts or to tag entities, by adapters or whole."""

    adapter_type: AdapterType = "bottleneck"
    """What is put into the encoder: our bottleneck or parallel adapters, none, or PEFT's LoRA for comparison."""
    freeze_base: bool = True
    """Keep the pretrained weights; --no-freeze_base with --adapter_type none is full fine-tuning."""
    pretrained: bool = True
    """Start from the pretrained weights; --no-pretrained starts the same network from random ones."""

    bottleneck: int = 64
    """Inner size m of each adapter; of LoRA the rank."""
    init: Init = "zero_up"
    """zero_up starts as the base exactly; he and xavier draw both projections."""
    down_init: Gain = "he"
    """Distribution of the down-projection under zero_up."""
    scale: float = 1.0
    """Factor on what an adapter adds; He et al. 2022 use 4 for the parallel one."""
    targets: tuple[str, ...] = SUBLAYERS
    """Patterns of the names of the modules that get an adapter."""
    train_norms: bool = True
    """Train the norms of the blocks beside the adapters (Houlsby et al. 2019)."""
    dropout: float = 0.1
    """Dropout inside the adapters; the frozen base has none."""

    optimizer: str = "adamw"
    """adamw, sgd (momentum 0.9) or adafactor (its rate is relative to each parameter's size)."""
    lr: float = 1e-3
    """Learning rate of the adapters, or of the whole encoder where nothing is frozen."""
    head_lr: float = 5e-3
    """Learning rate of the head."""
    weight_decay: float = 0.01
    """On the matrices of the adapters only (where there are none: of the encoder); never on norms and biases."""
    warmup: float = 0.06
    """Share of the steps over which the rates rise."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    epochs: int = 3
    """Passes over the training texts."""
    batch_size: int = 32
    """Texts a step."""
    log_every: int = 5
    """Steps whose mean loss is one line of the log."""
    eval_every: int = 20
    """Steps between two points of the convergence curve."""
    curve_rows: int = 256
    """Validation texts that such a point is measured on; an epoch ends with all of them, and that decides."""

    seed: int = 0
    """Seeds initial weights, order and dropout; the split is always the same."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/adapters/."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(
            self, 1, "bottleneck", "epochs", "batch_size", "max_length", "log_every", "eval_every", "curve_rows"
        )
        checks.positive(self, "lr", "head_lr", "scale", "max_norm")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout {self.dropout}: must be in [0, 1)")
        if self.weight_decay < 0:
            raise UserError(f"--weight_decay {self.weight_decay}: must not be negative")
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"--optimizer {self.optimizer}: there is none; use {', '.join(OPTIMIZERS)}")
        if self.limit is not None and self.limit < self.batch_size:
            raise UserError(f"--limit {self.limit}: must be at least one batch ({self.batch_size})")
        if self.freeze_base and not self.pretrained:
            raise UserError("--no-pretrained trains from random weights: it needs --no-freeze_base")
        if self.adapter_type == "lora" and not self.freeze_base:
            raise UserError("--adapter_type lora keeps the base frozen: leave --no-freeze_base out")
        checks.resumable(self)

    @property
    def adapted(self) -> bool:
        """Whether our adapters are in the encoder."""
        return self.adapter_type in ("bottleneck", "parallel")

    @property
    def arm(self) -> str:
        """What is trained, in one word: bottleneck, parallel, lora, full, scratch or head."""
        if self.adapter_type != "none":
            return self.adapter_type
        if self.freeze_base:
            return "head"
        return "full" if self.pretrained else "scratch"

    @property
    def size(self) -> int:
        """Inner size of what is put into the encoder, or LoRA's rank; 0 where nothing is."""
        return 0 if self.adapter_type == "none" else self.bottleneck

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        size = f"-m{self.size}" if self.size else ""
        return f"{Path(self.dataset).stem}-{self.arm}{size}-seed{self.seed}"


SMOKE = Config(limit=64, epochs=1, bottleneck=2, batch_size=16, max_length=16, eval_every=2, curve_rows=32)
"""The real configuration, smaller: for tests."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Both kinds of adapter on movie reviews and on synthetic entities, checked before and after."""

    model: str = "minilm"
    """An embedded model, a local folder, or a Hugging Face id; a BERT."""
    bottleneck: int = 64
    """Inner size m of each adapter."""
    limit: int = 1200
    """Training texts of each task."""
    epochs: int = 2
    """Passes over them."""
    seed: int = 0
    """Seeds initial weights, order and dropout."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the runs; by default a new one below runs/adapters/."""


def method(arm: str, size: int) -> str:
    """What the README calls a run of an arm and a size."""
    names = {
        "full": FULL,
        "scratch": "from scratch",
        "lora": f"PEFT's LoRA, r = {size}",
        "peer": f"`adapters` library, m = {size}",
    }
    return names.get(arm, f"{arm}, m = {size}")
