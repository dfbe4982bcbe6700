"""`make bench-pretrain_lm`: training speed beside transformers' GPT-2, the loader's beside what a model consumes."""

from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.pretrain_lm.analysis.loader import consume
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.peer import ARMS, Arm, PeerConfig, build, random_windows, read_text, training_losses
from projects.pretrain_lm.study import BENCH, CONSUMPTION, RESULTS
from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import Measured, Turns, in_turn, ratio, serve, spawned, step_ms
from shared.measured import publish_bench


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns):
    """Measure training against a plain loop over GPT2LMHeadModel, and the loader against the model."""

    dataset: str = "news"
    """A plain text file, or news (embedded)."""
    seed: int = 0
    """Seeds initial weights, windows and order."""
    rounds: int = 40
    steps: int = 20
    batches: int = 60
    """Batches over which loader and model are compared."""
    out: Path = RESULTS

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        super().__post_init__()
        checks.at_least(self, 1, "batches")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare tokens a second of both arms, and of loader and model."""
    recipe = PeerConfig(dataset=config.dataset, seed=config.seed)
    return measure(config, recipe, Config(dataset=config.dataset, seed=config.seed))


def measure(config: BenchConfig, recipe: PeerConfig, train: Config) -> list[dict[str, Any]]:
    """Measure both arms of a recipe, and the loader of a training run beside its model."""
    refuse_unwritable(config.out)
    read_text(recipe)  # made once, not by both arms at a time
    with spawned(serve_arm, {arm: replace(recipe, arm=arm) for arm in ARMS}) as arms:
        measured = in_turn(arms, rounds=config.rounds, steps=config.steps)
    rows = [summary(arm, measured, recipe) for arm in ARMS]
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": recipe.batch_size}
    publish_bench(BENCH, rows, config.out, "pretrain_lm", details)
    details = {"batches": config.batches, "batch": train.batch_size}
    publish_bench(CONSUMPTION, consume(train, config.batches), config.out, "pretrain_lm", details)
    return rows


def serve_arm(pipe: Connection, config: PeerConfig) -> None:
    """The process of an arm."""
    devices.use_all_cores()
    text, tokenizer, _ = read_text(config)
    model, logits = build(config, len(tokenizer))
    losses = training_losses(config, model, logits, random_windows(config, text["train"]))
    serve(pipe.recv, pipe.send, lambda: next(losses))


def summary(arm: Arm, measured: dict[str, Measured], recipe: PeerConfig) -> dict[str, Any]:
    """Median speed of an arm, and the median over rounds of how many times as fast ours is."""
    ms, faster = step_ms(measured[arm]), ratio(measured, arm, "ours").columns("ours_over_arm")
    per_second = round(recipe.batch_size * recipe.context / ms * 1000)
    return {"arm": arm, "step_ms": round(ms, 2), "tokens_per_second": per_second, **faster}


if __name__ == "__main__":
    command(main, BenchConfig)
