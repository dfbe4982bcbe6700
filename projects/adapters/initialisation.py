"""He against Xavier: how far an adapter starts from the base, and whether training survives it.

Two questions are kept apart: (i) which distribution fills the down-projection while the up-projection starts at zero,
and (ii) what happens when both projections are drawn. Each setting is trained for a few steps over five seeds and three
learning rates, from one that is usual to one that is far too high.
"""

import copy
import math
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from projects.adapters.arms import build_model, load_base, make_optimizer
from projects.adapters.config import Config
from projects.adapters.data import Batch, Corpus, load_corpus
from projects.adapters.hooks.forward_hooks import disabled
from projects.adapters.models.adapter import Gain, Init
from projects.adapters.models.transformer_base import TransformerEncoder
from projects.adapters.train import loss_of, training_step
from shared.files import write_json
from shared.runs import Run
from shared.seeding import seed_everything
from shared.study import Cells, Done

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


def setting_of(done: Done) -> str:
    """What a cell draws, in words: a key of SETTINGS."""
    drawn = (done.config.init, done.config.down_init)
    return next(name for name, each in SETTINGS.items() if each == drawn)


def cell_name(config: Config) -> str:
    """A name that tells two cells apart by all that varies."""
    setting = next(name for name, each in SETTINGS.items() if each == (config.init, config.down_init))
    return f"init-{setting.replace(', ', '-').replace(' ', '-')}-lr{config.lr:g}-seed{config.seed}"


def collect(runs: Path, base: Config = BASE, *, steps: int = STEPS) -> list[Done]:
    """Train every setting at every rate with every seed."""
    encoder, tokenizer = load_base(base)
    corpus = load_corpus(base, tokenizer)

    def train(config: Config) -> None:
        train_briefly(config, corpus, copy.deepcopy(encoder), steps)

    expected = len(SETTINGS) * len(RATES) * len(SEEDS)
    cells = Cells(runs, train, project="adapters", name=cell_name, data=lambda _: corpus.digest(), expected=expected)
    drawn = [replace(base, init=init, down_init=down) for init, down in SETTINGS.values()]
    return [cells.run(replace(each, lr=lr, seed=seed)) for each in drawn for lr in RATES for seed in SEEDS]


def train_briefly(config: Config, corpus: Corpus, encoder: TransformerEncoder, steps: int) -> None:
    """Measure the deviation, train, measure the loss; all of it goes into the run's log."""
    assert config.out is not None
    seed_everything(config.seed)
    model = build_model(config, encoder, len(corpus.classes), tagging=corpus.tagging)
    probe = corpus.validation.batch(list(range(min(PROBE, len(corpus.validation)))))
    with Run(config.out, project="adapters", config=config, data=corpus.digest()) as run:
        start = deviation(model, probe)
        run.log(0, deviation=start, loss_before=evaluation_loss(model, probe))
        taken = take_steps(config, model, corpus, steps)
        loss = evaluation_loss(model, probe) if taken == steps else math.inf
        diverged = int(not math.isfinite(loss) or loss > math.log(len(corpus.classes)))
        logged = min(loss, 1e6) if math.isfinite(loss) else 1e6  # a log holds no infinity
        run.log(taken, loss_after=logged, diverged=diverged)
    write_json(config.out / "result.json", {"deviation": start, "loss_after": logged, "diverged": diverged})


def take_steps(config: Config, model: nn.Module, corpus: Corpus, steps: int) -> int:
    """Train without a schedule. Returns the steps taken before a loss or a gradient was not finite."""
    optimizer = make_optimizer(config, model)
    for taken, batch in enumerate(corpus.train.shuffled(config.batch_size, seed=config.seed, epoch=0)):
        if taken == steps or not all(map(math.isfinite, training_step(config, model, optimizer, batch))):
            return taken
    return steps


@torch.no_grad()
def deviation(model: nn.Module, batch: Batch) -> float:
    """‖adapted − base‖ / ‖base‖ of the encoder's hidden states on real tokens: 0 is the identity."""
    model.eval()
    with disabled(model):
        base = hidden_states(model, batch)
    return ((hidden_states(model, batch) - base).norm() / base.norm()).item()


def hidden_states(model: nn.Module, batch: Batch) -> Float[Tensor, "n d"]:
    """The encoder's hidden states of a batch's real tokens, without its padding."""
    encoder = model.get_submodule("encoder")
    return encoder(batch.input_ids, batch.attention_mask)[batch.attention_mask.bool()]


@torch.no_grad()
def evaluation_loss(model: nn.Module, batch: Batch) -> float:
    """Mean cross-entropy in evaluation mode."""
    model.eval()
    return loss_of(model, batch).item()
