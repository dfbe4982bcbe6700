"""`make bench-pretrain_lm`: training speed beside transformers' GPT-2, and the loader's beside what the model consumes.

Both arms of the recipe live in processes of their own and take their steps in turn (shared/interleave.py).
"""

import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.peer import Arm, Loop, PeerConfig, read_text
from projects.pretrain_lm.tables import README, bench_markdown, consumption_markdown
from projects.pretrain_lm.train_pretrain import Trainer, TransformerLM, prepare, read_corpus
from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import Measured, in_turn, ratio, serve, spawned, step_ms
from shared.progress import table, track
from shared.report import put_into_readme, read_csv, write_csv

RESULTS = Path("projects/pretrain_lm/results")
TIMED: tuple[Arm, ...] = ("ours", "gpt2")
WARM_UP = 3  # batches of the loader that are not counted: the first reads a shard and makes the optimizer's state


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training against a plain loop over GPT2LMHeadModel, and the loader against the model."""

    peer: PeerConfig = PeerConfig()
    """The recipe; the arm is replaced."""
    train: Config = Config()
    """The model of the default run, whose consumption is measured."""
    rounds: int = 40
    """How often each arm has its turn."""
    steps: int = 20
    """Steps in a turn; the first round is warm-up and is not counted."""
    batches: int = 60
    """Batches over which loader and model are compared."""
    out: Path = RESULTS
    """Where bench.csv, consumption.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        checks.at_least(self, 1, "batches")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare tokens a second of both arms, and of loader and model."""
    refuse_unwritable(config.out)
    read_text(config.peer)  # made once, not by both arms at a time
    with spawned(work, {arm: replace(config.peer, arm=arm) for arm in TIMED}) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    rows = [summary(arm, measured, config.peer) for arm in TIMED]
    devices.use_all_cores()
    consumption = consume(config)
    show(rows, consumption)
    save(config, rows, consumption)
    return rows


def work(pipe: Connection, config: PeerConfig) -> None:
    """One arm's process."""
    devices.use_all_cores()
    text, vocabulary, _ = read_text(config)
    serve(pipe.recv, pipe.send, Loop(config, text["train"], len(vocabulary)).step)


def summary(arm: Arm, measured: dict[str, Measured], recipe: PeerConfig) -> dict[str, Any]:
    """Median speed of an arm, and the median over rounds of how many times as fast ours is."""
    faster = ratio(measured, arm, "ours")
    return {
        "arm": arm,
        "step_ms": round(step_ms(measured[arm]), 2),
        "tokens_per_second": round(recipe.batch_size * recipe.context / step_ms(measured[arm]) * 1000),
        "ours_over_arm": round(faster.median, 4),
        "ratio_q1": round(faster.q1, 4),
        "ratio_q3": round(faster.q3, 4),
    }


def consume(config: BenchConfig) -> list[dict[str, Any]]:
    """Tokens a second that the loader gives and that training takes, batch by batch in turn."""
    prepare(config.train)
    corpus = read_corpus(config.train)
    trainer = Trainer(config.train, TransformerLM(config.train.size(len(corpus.vocabulary))), corpus)
    stream = trainer.batches_of(0)
    loading, training, tokens = 0.0, 0.0, 0
    total = config.batches + WARM_UP
    for number in track(range(total), description="loader and model", total=total):
        start = time.perf_counter()
        batch = next(stream)
        loaded = time.perf_counter()
        trainer.learn(batch, None)
        if number >= WARM_UP:
            loading += loaded - start
            training += time.perf_counter() - loaded
            tokens += batch.ids.numel()
    speeds = {"loader": tokens / loading, "model": tokens / training}
    return [
        {"what": what, "tokens_per_second": round(speed), "over_model": round(speed / speeds["model"], 3)}
        for what, speed in speeds.items()
    ]


def show(rows: list[dict[str, Any]], consumption: list[dict[str, Any]]) -> None:
    """Print both comparisons."""
    cells = [
        (
            row["arm"],
            f"{row['step_ms']:.1f}",
            f"{row['tokens_per_second']:,}",
            f"{row['ours_over_arm']:.3f}",
            f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
        )
        for row in rows
    ]
    columns = ["arm", "ms a step (median)", "tokens a second", "ours is … × as fast", "quartiles"]
    table("Training by nanoGPT's recipe, in turn, equal threads", columns, cells)
    speeds = [(row["what"], f"{row['tokens_per_second']:,}", f"{row['over_model']:.1f}") for row in consumption]
    table("The default run's model and its loader", ["what", "tokens a second", "over the model's"], speeds)


def save(config: BenchConfig, rows: list[dict[str, Any]], consumption: list[dict[str, Any]]) -> None:
    """Sealed tables, what they were measured on, and the README's."""
    for name, content in (("bench.csv", rows), ("consumption.csv", consumption)):
        write_csv(config.out / name, content)
        seal_table(config.out / name, project="pretrain_lm", key=team_key())
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": config.peer.batch_size}
    write_json(config.out / "bench.json", {**details, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", bench_markdown(read_csv(RESULTS / "bench.csv")))
        put_into_readme(README, "consumption", consumption_markdown(read_csv(RESULTS / "consumption.csv")))


if __name__ == "__main__":
    command(main, BenchConfig)
