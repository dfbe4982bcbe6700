"""What a run can be told. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from projects.news_cls.balance.losses import Balance
from projects.news_cls.models.lengths import Kind, LengthPolicy
from shared import checks
from shared.devices import Precision
from shared.errors import UserError

Arm = Literal["majority", "svm", "frozen", "head", "tuned", "contrastive"]
FASTEST = 1.0
"""No learning rate is meant to be higher."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a classifier of news by topic and test it."""

    dataset: str = "bbc"
    """bbc, outlets, r8, r52, 20newsgroups, spanish, a .csv/.tsv/.jsonl/.json file, or a hub id (ag_news)."""
    text_column: str = "text"
    """Column of a file or a hub set that holds the text."""
    label_column: str = "label"
    """Column that holds the topic."""
    labels: int | None = None
    """Labelled articles of each topic that are learned from; by default all of training."""
    unlabelled: bool = False
    """With --labels: the rest of training, without its labels, is learned from too (self-training)."""

    arm: Arm = "tuned"
    """majority; svm on TF-IDF; frozen encoder with logistic regression, or with a head trained by --balance; tuned
    (fine-tuning); contrastive (SetFit's way)."""
    model: str = "minilm"
    """Encoder: embedded name, local folder, or Hugging Face id (distilbert-base-uncased)."""
    policy: Kind = "head"
    """What is read of a long article: head, ends (beginning and end), windows (averaged)."""
    tokens: int = 128
    """Tokens of a piece."""
    upper: int = 2
    """Layers that are trained, from the top; what lies below is computed once."""
    balance: Balance = "none"
    """What is done about rare topics: none, weights, over, under, focal, logit."""

    lr: float = 1e-4
    """Learning rate of layers; the head's is ten times as high."""
    c: float = 1.0
    """Inverse strength of regularisation: svm, frozen, and the head from which tuning starts."""
    epochs: int = 4
    """Passes over training; with --labels all of them are made, else validation ends it early."""
    patience: int = 2
    """Epochs without a better macro-F1 on validation after which training stops."""
    batch_size: int = 32
    """Articles of an optimizer step."""
    micro: int = 32
    """Articles that are computed at once; smaller ones accumulate to the same step."""
    precision: Precision = "auto"
    """What matrix products are computed in: bfloat16 where the processor multiplies in it, else float32."""
    seed: int = 0
    """Seeds the division of the corpus, which labels are known, dropout and order."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/news_cls/."""
    resume: bool = False
    """Go on with the run in --out from its last epoch."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "labels", "epochs", "patience", "batch_size", "micro")
        checks.at_least(self, 0, "upper")
        checks.positive(self, "lr", "c")
        checks.at_most(self, FASTEST, "lr")
        checks.at_most(self, 4096, "batch_size", "micro")
        checks.at_most(self, 1000, "epochs")
        LengthPolicy(self.policy, self.tokens)
        if self.unlabelled and (self.labels is None or self.arm in ("majority", "head")):
            raise UserError("--unlabelled: goes with --labels, and with --arm svm, frozen, tuned or contrastive")
        if self.arm == "tuned" and self.upper == 0:
            raise UserError("--upper 0: tuning trains at least one layer; --arm frozen trains none")
        checks.resumable(self)

    @property
    def length_policy(self) -> LengthPolicy:
        """What is read of an article."""
        return LengthPolicy(self.policy, self.tokens)

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        few = f"-{self.labels}{'u' if self.unlabelled else ''}" if self.labels else ""
        balance = f"-{self.balance}" if self.balance != "none" else ""
        return f"{self.dataset.replace('/', '_')}-{self.arm}{few}{balance}-seed{self.seed}"


SMOKE = replace(Config(), tokens=16, upper=1, epochs=1, batch_size=8, micro=4, precision="float32")
"""The real configuration, smaller: for tests."""
