"""He against Xavier: how far an adapter starts from the base, and whether training survives it.

Two questions are kept apart: (i) which distribution fills the down-projection while the up-projection starts at zero,
and (ii) what happens when both projections are drawn. Each setting is trained for a few steps over five seeds and three
learning rates, from one that is usual to one that is far too high.
"""

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from projects.adapters.assembly import build, make_optimizer, read_corpus, read_encoder
from projects.adapters.config import Config
from projects.adapters.data import Batch, Corpus
from projects.adapters.hooks.forward_hooks import disabled
from projects.adapters.models.adapter import Gain, Init
from projects.adapters.models.transformer_base import TransformerEncoder
from projects.adapters.train import loss_of, training_step
from shared.files import write_json
from shared.progress import track
from shared.runs import Run, read_json
from shared.seeding import seed_everything
from shared.study import complete

STEPS, SEEDS, RATES = 50, (0, 1, 2, 3, 4), (1e-3, 1e-2, 1e-1)
# What is drawn → (init, down_init) of the adapters.
SETTINGS: dict[str, tuple[Init, Gain]] = {
    "he, up zero": ("zero_up", "he"),
    "xavier, up zero": ("zero_up", "xavier"),
    "he, both": ("he", "he"),
    "xavier, both": ("xavier", "xavier"),
}
BASE = Config(dataset="trec", batch_size=8, limit=1600, epochs=1, max_norm=1e9, warmup=0.0)
PROBE = 64  # validation texts on which deviation and loss are measured


@dataclass(frozen=True)
class Cell:
    """One setting, rate and seed."""

    setting: str
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"init-{self.setting.replace(', ', '-').replace(' ', '-')}-lr{self.lr:g}-seed{self.seed}"

    def config(self, base: Config) -> Config:
        """What is trained."""
        init, down = SETTINGS[self.setting]
        return replace(base, init=init, down_init=down, lr=self.lr, seed=self.seed)


def cells() -> list[Cell]:
    """Every cell of the study."""
    return [Cell(setting, lr, seed) for setting in SETTINGS for lr in RATES for seed in SEEDS]


def study(runs: Path, base: Config = BASE, *, steps: int = STEPS) -> list[dict[str, Any]]:
    """Run every cell that is not done. Returns a row a cell."""
    encoder, tokenizer = read_encoder(base)
    corpus = read_corpus(base, tokenizer)
    rows = []
    for cell in track(cells(), description="initialisations", total=len(cells())):
        config = cell.config(base)

        def train(place: Path, _: bool, config: Config = config) -> None:
            one(place, config, corpus, copy.deepcopy(encoder), steps)

        directory = complete(runs / cell.name, config, train, project="adapters", data=corpus.digest())
        rows.append({"cell": directory.name, **vars(cell), **read_json(directory / "result.json")})
    return rows


def one(directory: Path, config: Config, corpus: Corpus, encoder: TransformerEncoder, steps: int) -> dict[str, float]:
    """Measure the deviation, train, measure the loss. Writes result.json and returns it."""
    seed_everything(config.seed)
    model = build(config, encoder, len(corpus.classes), tagging=corpus.tagging)
    probe = corpus.validation.batch(list(range(min(PROBE, len(corpus.validation)))))
    with Run(directory, project="adapters", config=config, data=corpus.digest()) as run:
        started = deviation(model, probe)
        run.log(0, deviation=started, loss_before=probe_loss(model, probe))
        last, taken = take_steps(config, model, corpus, steps)
        diverged = not math.isfinite(last) or last > math.log(len(corpus.classes))
        kept = min(last, 1e6) if math.isfinite(last) else 1e6  # a log holds no infinity
        run.log(taken, loss_after=kept, diverged=int(diverged))
        result = {"deviation": started, "loss_after": kept, "diverged": int(diverged)}
    write_json(directory / "result.json", result)
    return result


def take_steps(config: Config, model: nn.Module, corpus: Corpus, steps: int) -> tuple[float, int]:
    """Train without a schedule. Returns (loss on the probe afterwards, steps taken before a number was not finite)."""
    optimizer = make_optimizer(config, model)
    probe = corpus.validation.batch(list(range(min(PROBE, len(corpus.validation)))))
    for taken, batch in enumerate(corpus.train.shuffled(config.batch_size, seed=config.seed, epoch=0)):
        if taken == steps:
            break
        loss, norm = training_step(config, model, optimizer, batch)
        if not math.isfinite(loss) or not math.isfinite(norm):
            return math.inf, taken
    return probe_loss(model, probe), steps


@torch.no_grad()
def deviation(model: nn.Module, batch: Batch) -> float:
    """‖adapted − base‖ / ‖base‖ of the encoder's hidden states on real tokens: 0 is the identity."""
    model.eval()
    with disabled(model):
        base = real_tokens(model, batch)
    adapted = real_tokens(model, batch)
    return ((adapted - base).norm() / base.norm()).item()


def real_tokens(model: nn.Module, batch: Batch) -> Float[Tensor, "n d"]:
    """Hidden states of a batch without its padding."""
    encoder = model.get_submodule("encoder")
    return encoder(batch.input_ids, batch.attention_mask)[batch.attention_mask.bool()]


@torch.no_grad()
def probe_loss(model: nn.Module, batch: Batch) -> float:
    """Mean cross-entropy in evaluation mode."""
    model.eval()
    return loss_of(model, batch).item()
