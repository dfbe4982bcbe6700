"""What a pretraining run can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass
from pathlib import Path

from projects.pretrain_lm.data.clean_corpus import CorpusConfig
from projects.pretrain_lm.data.collator import Objective
from projects.pretrain_lm.data.tokenizer import Kind
from projects.pretrain_lm.models.transformer_lm import ModelConfig, Positions
from shared import checks, devices
from shared.devices import Precision
from shared.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Pretrain a small language model on a corpus that is cleaned first."""

    dataset: str = "news"
    """news (embedded), a file (.txt, .md, .csv, .tsv, .jsonl) or a folder of such files."""
    text_column: str = "text"
    """Column of tables that holds the text."""
    limit: int | None = None
    """Read only so many documents; by default all."""
    tokenizer: Kind = "bpe"
    """bpe (byte-level, learned here) or char."""
    vocabulary: int = 4096
    """Size of a BPE vocabulary."""
    context: int = 128
    """Tokens of a chunk, and the model's longest sequence."""
    corpus: Path | None = None
    """Folder of the cleaned corpus; by default one below runs/pretrain_lm/ that is named after the settings above."""

    objective: Objective = "causal"
    """causal (next token), dynamic (masks drawn anew in each epoch) or static (one mask a chunk, for ever)."""
    mask_ratio: float = 0.15
    """Share of the tokens that is masked."""
    whole_words: bool = False
    """Mask words whole."""

    layers: int = 4
    """Blocks."""
    heads: int = 4
    """Attention heads of a block."""
    width: int = 128
    """Width of the hidden states."""
    positions: Positions = "rotary"
    """learned or rotary."""
    bias: bool = True
    """Biases in linear layers and norms."""
    dropout: float = 0.0
    """Probability, after embeddings, in attention and after each sublayer."""

    lr: float = 3e-3
    """Highest learning rate, reached after the warm-up."""
    last_lr: float = 0.1
    """Share of it at the end of the cosine."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises."""
    weight_decay: float = 0.1
    """Decoupled weight decay, on matrices only."""
    beta2: float = 0.95
    """AdamW's second coefficient; the first is 0.9."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    batch_size: int = 16
    """Chunks a step, over all processes."""
    accumulation: int = 1
    """Micro-batches that a process's share of a batch is split into."""
    epochs: int = 1
    """Passes over the training chunks."""
    steps: int | None = None
    """Stop after so many steps; the schedule then ends there."""
    save_every: int = 400
    """Steps between two checkpoints inside an epoch; at its end there is always one."""
    log_every: int = 1
    """Steps between two lines of loss, gradient norm and rate in the log."""
    precision: Precision = "auto"
    """Precision of the matrix products: float32, bfloat16 (autocast), or auto: bfloat16 where the processor has it."""
    workers: int = 0
    """Processes that read chunks ahead; the batches are the same for any number."""

    seed: int = 0
    """Seeds initial weights, order, masks and dropout."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/pretrain_lm/."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "layers", "heads", "width", "batch_size", "accumulation", "epochs")
        checks.at_least(self, 1, "save_every", "log_every", "steps")
        checks.at_least(self, 0, "weight_decay", "workers")
        checks.positive(self, "lr", "max_norm")
        checks.resumable(self)
        for name in ("dropout", "beta2", "warmup", "last_lr"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be in [0, 1)")
        if not 0 < self.mask_ratio < 1:
            raise UserError(f"--mask_ratio {self.mask_ratio}: must be in (0, 1)")
        self.model_config(self.cleaning.vocabulary)  # both refuse what does not fit, before a corpus is cleaned

    @property
    def bfloat16(self) -> bool:
        """Whether matrix products are done in bfloat16."""
        return devices.use_bfloat16(self.precision, devices.pick(self.device))

    @property
    def cleaning(self) -> CorpusConfig:
        """How the corpus is made."""
        name = f"{Path(self.dataset).stem}-{self.tokenizer}{self.vocabulary if self.tokenizer == 'bpe' else ''}"
        some = f"-first{self.limit}" if self.limit else ""
        return CorpusConfig(
            dataset=self.dataset,
            text_column=self.text_column,
            limit=self.limit,
            tokenizer=self.tokenizer,
            vocabulary=self.vocabulary,
            context=self.context,
            out=self.corpus or Path("runs/pretrain_lm/corpora") / f"{name}{some}-c{self.context}",
        )

    def model_config(self, vocab_size: int) -> ModelConfig:
        """The shapes of the model, for a tokenizer of so many tokens."""
        return ModelConfig(
            vocab_size=vocab_size,
            context_length=self.context,
            num_layers=self.layers,
            num_heads=self.heads,
            hidden_size=self.width,
            causal=self.objective == "causal",
            positions=self.positions,
            bias=self.bias,
            dropout=self.dropout,
        )

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        ratio = "" if self.objective == "causal" else f"-{self.mask_ratio:g}"
        return f"{Path(self.dataset).stem}-{self.objective}{ratio}-c{self.context}-seed{self.seed}"


SMOKE = Config(
    vocabulary=300, context=16, layers=1, heads=2, width=16, batch_size=4, epochs=2, precision="float32", save_every=7
)
"""The real configuration, smaller: for tests."""
