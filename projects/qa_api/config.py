"""The configuration of one training of a reader. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass
from pathlib import Path

from shared import checks
from shared.devices import Precision
from shared.errors import UserError

RESULTS = Path("projects/qa_api/results")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a reader: an encoder that finds answers in documents, and says when there is none."""

    model: str = "e5"
    """e5 (English and Spanish), minilm (English), a folder or a hub id."""
    dataset: str = "introductions"
    """What questions are made from: introductions; else squad or another hub id (HF_HUB_OFFLINE=0), or a .json file."""
    facts: bool = True
    """Whether questions about stated facts are learned from."""
    described: int = 700
    """Questions for a name by its description."""
    cloze: int = 1300
    """Sentences with something taken out."""
    missing: float = 0.5
    """Questions without an answer, for each with one: half of another document's, half of facts that are not there."""
    upper: int = 3
    """Layers that are trained, from the top."""
    epochs: int = 2
    """Times that each question is seen."""
    batch: int = 16
    """Windows of a batch."""
    lr: float = 2e-4
    """Highest learning rate; it rises over a twentieth of the steps and falls to a tenth as a cosine."""
    tokens: int = 112
    """Length of a training window, which holds the answer; questions are answered with longer ones."""
    precision: Precision = "auto"
    """float32, bfloat16, or auto: bfloat16 where the processor multiplies it faster."""
    seed: int = 0
    """Seeds the head's start, the order of the questions, and dropout."""
    out: Path | None = None
    """Directory of the run; by default a new one under runs/qa_api."""
    resume: bool = False
    """Go on from the last checkpoint of `out`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        checks.at_least(self, 1, "epochs", "batch", "upper")
        checks.at_least(self, 64, "tokens")
        checks.at_least(self, 0, "cloze", "described", "seed")
        checks.resumable(self)
        if not 0 < self.lr < 1:
            raise UserError(f"--lr {self.lr}: must be above 0 and below 1")
        if not 0 <= self.missing <= 3:
            raise UserError(f"--missing {self.missing}: must be 0 to 3")
        if not self.facts and not self.cloze + self.described:
            raise UserError("--no-facts --described 0 --cloze 0: nothing is left to learn from")


@dataclass(frozen=True, kw_only=True)
class Quick(Config):
    """Train a small reader, fit what its scores are worth, and ask it the English questions written by hand."""

    model: str = "minilm"
    """e5 (English and Spanish), minilm (English), a folder or a hub id."""
    epochs: int = 1
    """Times that each question is seen."""
    described: int = 400
    """Questions for a name by its description."""
    cloze: int = 600
    """Sentences with something taken out."""


SMOKE = Config(model="minilm", cloze=24, described=8, facts=False, upper=1, epochs=1, batch=8, precision="float32")
