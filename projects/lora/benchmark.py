"""`make bench-lora`: step time and peak memory of our LoRA, PEFT's LoRA and full fine-tuning."""

from dataclasses import dataclass, replace
from itertools import chain, count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch.optim import AdamW
from tyro.conf import Suppress

from projects.lora.config import Arm, Config
from projects.lora.data import Corpus
from projects.lora.models.classifier import Classifier
from projects.lora.scripts.train_lora import build, parameter_groups, read_corpus, training_step
from projects.lora.study import BENCH, RESULTS
from shared import devices
from shared.assets import load_encoder
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import Turns, bench_rows, in_turn, serve, spawned
from shared.measured import publish_bench
from shared.seeding import seed_everything

ARMS: tuple[Arm, ...] = ("lora", "peft", "full")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns, Config):
    """Measure training steps of three arms in turn."""

    arm: Suppress[Arm] = "lora"
    resume: Suppress[bool] = False
    rounds: int = 20
    steps: int = 4
    out: Path = RESULTS


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
    devices.use_all_cores()
    model, corpus = prepare(config)
    optimizer = AdamW(parameter_groups(config, model))
    # Every arm sees the same batches in the same order: the stream does not depend on the arm.
    epochs = (corpus.train.shuffled_batches(config.batch_size, seed=0, epoch=epoch) for epoch in count())
    batches = chain.from_iterable(epochs)
    serve(pipe.recv, pipe.send, lambda: training_step(config, model, optimizer, next(batches)))


def prepare(config: Config) -> tuple[Classifier, Corpus]:
    """An arm's model, ready to train, and its data."""
    seed_everything(config.seed)
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    return build(config, encoder, len(corpus.classes)).train(), corpus


if __name__ == "__main__":
    command(main, BenchConfig)
