"""`make bench-lora`: step time and peak memory of our LoRA, PEFT's LoRA and full fine-tuning.

Each arm lives in a process of its own and takes a few steps in turn with the others (shared/interleave.py).
"""

from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tyro.conf import Suppress

from projects.lora.config import Arm, Config
from projects.lora.data import Corpus
from projects.lora.models.classifier import Classifier
from projects.lora.study import BENCH, RESULTS
from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import bench_rows, in_turn, serve, spawned
from shared.study import publish_bench

ARMS: tuple[Arm, ...] = ("lora", "peft", "full")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Config):
    """Measure training steps of three arms in turn."""

    arm: Suppress[Arm] = "lora"
    resume: Suppress[bool] = False
    rounds: int = 20
    """How often each arm has its turn."""
    steps: int = 4
    """Steps in a turn; the first round is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        checks.at_least(self, 2, "rounds")
        checks.at_least(self, 1, "steps")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of LoRA with PEFT's and with full fine-tuning."""
    refuse_unwritable(config.out)
    arms: dict[str, Config] = {arm: replace(config.base, arm=arm) for arm in ARMS}
    for each in arms.values():
        prepare(each)  # here, what cannot work ends in one line; in an arm's process it would be a traceback
    with spawned(work, arms) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    details = {"steps": config.steps, "rank": config.rank, "batch": config.batch_size}
    return publish_bench(BENCH, bench_rows(measured, "lora"), config.out, "lora", details)


def work(pipe: Connection, config: Config) -> None:
    """One arm's process."""
    from torch.optim import AdamW

    from projects.lora.scripts.train_lora import parameter_groups, training_step

    devices.use_all_cores()
    model, corpus = prepare(config)
    optimizer = AdamW(parameter_groups(config, model))
    # Every arm sees the same batches in the same order: the stream does not depend on the arm.
    batches = (
        batch
        for epoch in range(1000)
        for batch in corpus.train.shuffled_batches(config.batch_size, seed=0, epoch=epoch)
    )
    serve(pipe.recv, pipe.send, lambda: training_step(config, model, optimizer, next(batches)))


def prepare(config: Config) -> tuple[Classifier, Corpus]:
    """An arm's model, ready to train, and its data."""
    from projects.lora.scripts.train_lora import build, read_corpus
    from shared.assets import load_encoder
    from shared.seeding import seed_everything

    seed_everything(config.seed)
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    return build(config, encoder, len(corpus.classes)).train(), corpus


if __name__ == "__main__":
    command(main, BenchConfig)
