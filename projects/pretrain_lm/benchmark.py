"""`make bench-pretrain_lm`: training speed beside transformers' GPT-2, and the loader's beside what the model consumes.

The speeds of the two arms are those of the peer study's own training: both models of a seed learn in one process, turn
by turn, so that a drift of the machine's speed touches both alike. A seed that is trained is not trained again; its
turns are kept beside its runs.
"""

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.peer import ARMS, Arm, PeerConfig, PeerRun, read_text
from projects.pretrain_lm.tables import README, fill_readme
from projects.pretrain_lm.train_pretrain import Trainer, TransformerLM, read_corpus
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.progress import table, track
from shared.report import write_csv
from shared.runs import read_json

RESULTS = Path("projects/pretrain_lm/results")
WARM_UP = 2  # turns that are not counted


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training against a plain loop over GPT2LMHeadModel, and the loader against the model."""

    peer: PeerConfig = PeerConfig()
    """The recipe; arm and seed are replaced."""
    train: Config = Config()
    """The news model whose consumption is measured."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the peer study."""
    steps: int = 20
    """Steps in a turn of an arm."""
    turns: int | None = None
    """Turns of each seed; by default as many as the recipe has steps for, and the runs count as results."""
    batches: int = 60
    """Batches over which loader and model are compared."""
    runs: Path = Path("runs/pretrain_lm/results")
    """Where the peer study's runs are kept."""
    out: Path = RESULTS
    """Where bench.csv, consumption.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        for name in ("steps", "batches"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be at least 1")
        if self.turns is not None and self.turns <= WARM_UP:
            raise UserError(f"--turns {self.turns}: the first {WARM_UP} are warm-up")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare tokens a second of both arms, and of loader and model."""
    devices.use_all_cores()
    consumption = consume(config)
    turns = [turn for seed in config.seeds for turn in seed_turns(config, seed)]
    rows = [summary(arm, turns, config) for arm in ARMS]
    show(rows, consumption)
    write_csv(config.out / "bench.csv", rows)
    write_csv(config.out / "consumption.csv", consumption)
    for name in ("bench.csv", "consumption.csv"):
        seal_table(config.out / name, project="pretrain_lm", key=team_key())
    details = {"turns": len(turns), "steps_a_turn": config.steps, "seeds": list(config.seeds)}
    write_json(config.out / "bench.json", {**details, **devices.machine()})
    if config.out == RESULTS and (RESULTS / "news.csv").exists():
        fill_readme(README, RESULTS)
    return rows


def seed_turns(config: BenchConfig, seed: int) -> list[dict[str, float]]:
    """Seconds that each arm took for each turn of a seed, trained now or before."""
    kept = config.runs / f"peer-turns-seed{seed}.json"
    if config.turns is None and kept.exists():
        return read_json(kept)
    cells = {arm: replace(config.peer, arm=arm, seed=seed, out=config.runs / f"peer-{arm}-seed{seed}") for arm in ARMS}
    if config.turns is not None:
        cells = {arm: replace(cell, steps=config.steps * config.turns, out=None) for arm, cell in cells.items()}
    text, vocabulary = read_text(config.peer)
    arms = {arm: PeerRun(cell, text, vocabulary) for arm, cell in cells.items()}
    turns: list[dict[str, float]] = []
    count = cells["ours"].steps // config.steps
    for turn in track(range(count), description=f"seed {seed}", total=count):
        order = ARMS if turn % 2 else ARMS[::-1]
        turns.append({arm: timed(arms[arm], config.steps) for arm in order})
    for run in arms.values():
        run.close()
    if config.turns is None:
        write_json(kept, turns[WARM_UP:])
    return turns[WARM_UP:]


def timed(run: PeerRun, steps: int) -> float:
    """Seconds of so many training steps, without what is logged and validated between them."""
    started = time.perf_counter()
    losses = [run.loop.step() for _ in range(steps)]
    seconds = time.perf_counter() - started
    run.log(losses)
    return seconds


def summary(arm: Arm, turns: list[dict[str, float]], config: BenchConfig) -> dict[str, Any]:
    """Median speed of an arm, and the median of the ratios taken turn by turn."""
    tokens = config.peer.batch_size * config.peer.context * config.steps
    ratios = [turn[arm] / turn["ours"] for turn in turns]
    q1, median, q3 = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "arm": arm,
        "tokens_per_second": round(tokens / statistics.median(turn[arm] for turn in turns)),
        "ours_over_arm": round(median, 4),
        "ratio_q1": round(q1, 4),
        "ratio_q3": round(q3, 4),
    }


def consume(config: BenchConfig) -> list[dict[str, Any]]:
    """Tokens a second that the loader gives and that training takes, batch by batch in turn."""
    corpus = read_corpus(config.train)
    trainer = Trainer(config.train, TransformerLM(config.train.size(len(corpus.vocabulary))), corpus)
    stream = trainer.batches_of(0)
    loading, training, tokens = 0.0, 0.0, 0
    for number in track(range(config.batches + 3), description="loader and model", total=config.batches + 3):
        start = time.perf_counter()
        batch = next(stream)
        loaded = time.perf_counter()
        trainer.learn(batch, None)
        if number >= 3:  # the first read a shard and made the optimizer's state
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
    columns = ["arm", "tokens a second", "ours / arm (median)", "its quartiles"]
    cells = [
        (
            r["arm"],
            f"{r['tokens_per_second']:,}",
            f"{r['ours_over_arm']:.3f}",
            f"{r['ratio_q1']:.3f} to {r['ratio_q3']:.3f}",
        )
        for r in rows
    ]
    table("Training, in turn, equal threads", columns, cells)
    speeds = [(r["what"], f"{r['tokens_per_second']:,}", f"{r['over_model']:.1f}") for r in consumption]
    table("The news model and its loader", ["what", "tokens a second", "over the model's"], speeds)


if __name__ == "__main__":
    command(main, BenchConfig)
