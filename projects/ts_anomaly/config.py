"""The configuration of one training. One dataclass is configuration, help text and types at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared import checks
from shared.errors import UserError

Arm = Literal["contrast", "forecast", "masked", "association", "mixed"]
ARMS: tuple[Arm, ...] = ("contrast", "forecast", "masked", "association")
RESULTS = Path("projects/ts_anomaly/results")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a Transformer on the prefix of a series, and judge what follows."""

    dataset: str = "mitdb"
    """An embedded series (data/series.toml), or a CSV file."""
    arm: Arm = "contrast"
    """contrast forecasts and is trained against injected anomalies; forecast is the same without them; masked hides
    patches and reconstructs them; association is an Anomaly Transformer; mixed is contrast with all channels in
    a token."""
    steps: int = 600
    """Optimizer steps."""
    lr: float = 2e-3
    """Highest learning rate; it rises over a twentieth of the steps and falls to 0 as a cosine."""
    batch: int = 8
    """Sequences of a batch (contrast, forecast); eight times as many windows (masked, association)."""
    sequence: int = 512
    """Points of a sequence (contrast, forecast)."""
    window: int = 64
    """Tokens that a token sees; of masked and association, points of a window."""
    patch: int = 4
    """Points of a token."""
    width: int = 64
    """Width d of the states."""
    layers: int = 2
    """Blocks."""
    trim: float = 0.0
    """Share of a batch, its worst sequences, that forecast and reconstruction do not learn from: a robust fit."""
    seed: int = 0
    """Seed of weights, batches and injections."""
    out: Path | None = None
    """Directory of the run; by default a new one in runs/ts_anomaly."""
    resume: bool = False
    """Continue from the last checkpoint (every hundredth step): what comes out is what an unstopped training gives."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "steps", "batch", "window", "patch", "width", "layers")
        checks.positive(self, "lr")
        if self.width % 4:
            raise UserError(f"--width {self.width}: must be a multiple of 4, the number of heads")
        if self.sequence % self.patch or self.window % self.patch:
            raise UserError("--sequence and --window: must be multiples of --patch")
        if not 0 <= self.trim < 0.9:
            raise UserError(f"--trim {self.trim}: must be from 0 to below 0.9")


SMOKE = Config(steps=12, batch=2, sequence=64, window=8, width=16, layers=1)
