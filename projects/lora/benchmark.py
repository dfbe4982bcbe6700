"""`make bench-lora`: step time and peak memory of our LoRA, PEFT's LoRA and full fine-tuning.

Each arm lives in a process of its own and takes a few steps in turn with the others (shared/interleave.py).
"""

from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.lora.config import Arm, Config
from projects.lora.data import Corpus
from projects.lora.models.classifier import Classifier
from projects.lora.tables import README, bench_markdown
from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import Measured, in_turn, ratio, serve, spawned, step_ms
from shared.progress import table
from shared.report import put_into_readme, read_csv, write_csv

ARMS: tuple[Arm, ...] = ("lora", "peft", "full")
RESULTS = Path("projects/lora/results")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training steps of three arms in turn."""

    train: Config = Config()
    """What to train; the arm is replaced."""
    rounds: int = 20
    """How often each arm has its turn."""
    steps: int = 4
    """Steps in a turn; the first round is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 2, "rounds")
        checks.at_least(self, 1, "steps")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of LoRA with PEFT's and with full fine-tuning."""
    refuse_unwritable(config.out)
    arms: dict[str, Config] = {arm: replace(config.train, arm=arm) for arm in ARMS}
    for each in arms.values():
        prepare(each)  # here, what cannot work ends in one line; in an arm's process it would be a traceback
    with spawned(work, arms) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    rows = [summary(arm, measured) for arm in ARMS]
    table(
        f"{config.rounds - 1} rounds of {config.steps} steps, batch {config.train.batch_size}, r = {config.train.rank}",
        ["arm", "ms a step (median)", "lora / arm (median)", "its quartiles", "peak memory", "growth in training"],
        [
            (
                row["arm"],
                f"{row['step_ms']:.1f}",
                f"{row['lora_over_arm']:.3f}",
                f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
                f"{row['peak_mb']:.0f} MB",
                f"{row['growth_mb']:.0f} MB",
            )
            for row in rows
        ],
    )
    save(config, rows)
    return rows


def work(pipe: Connection, config: Config) -> None:
    """One arm's process."""
    from torch.optim import AdamW

    from projects.lora.scripts.train_lora import parameter_groups, training_step

    devices.use_all_cores()
    model, corpus = prepare(config)
    optimizer = AdamW(parameter_groups(config, model))
    # Every arm sees the same batches in the same order: the stream does not depend on the arm.
    batches = (
        batch for epoch in range(1000) for batch in corpus.train.shuffled(config.batch_size, seed=0, epoch=epoch)
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


def summary(arm: Arm, measured: dict[str, Measured]) -> dict[str, Any]:
    """Medians of one arm, and our step time over its."""
    mine, over = measured[arm], ratio(measured, "lora", arm)
    return {
        "arm": arm,
        "step_ms": round(step_ms(mine), 2),
        "lora_over_arm": round(over.median, 4),
        "ratio_q1": round(over.q1, 4),
        "ratio_q3": round(over.q3, 4),
        "peak_mb": round(mine.peak_mb, 1),
        "growth_mb": round(mine.growth_mb, 1),
    }


def save(config: BenchConfig, rows: list[dict[str, Any]]) -> None:
    """bench.csv with the rows, bench.json with what they were measured on, and the README's table."""
    devices.use_all_cores()
    write_csv(config.out / "bench.csv", rows)
    seal_table(config.out / "bench.csv", project="lora", key=team_key())
    details = {"rounds": config.rounds - 1, "steps": config.steps, "rank": config.train.rank}
    write_json(config.out / "bench.json", {**details, "batch": config.train.batch_size, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", bench_markdown(read_csv(config.out / "bench.csv")))


if __name__ == "__main__":
    command(main, BenchConfig)
