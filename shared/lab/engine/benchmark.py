"""How fast is the engine beside transformers' generate, and does its memory stay flat?

    python -m shared.lab.engine.benchmark

Each arm answers in a process of its own, in turn with the others, on equal threads. The prompts are the same, and every
answer has the same length: the end token is forbidden to all.
"""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import in_turn, ratio, serve, spawned, step_ms
from shared.lab.engine.agreement import RESULTS, prompts
from shared.measured import publish_bench
from shared.study import table

ARMS = ("transformers", "float32", "int8")
NAMES = {"transformers": "transformers' generate", "float32": "engine, float32", "int8": "engine, int8"}
BENCH = table(
    "bench",
    ("answers at once", "respuestas a la vez", "{batch}"),
    ("who answers", "quién responde", lambda row, _: NAMES[row["arm"]]),
    ("tokens a second", "tokens por segundo", "{per_second:.0f}"),
    (
        "times transformers, median (quartiles)",
        "veces transformers, mediana (cuartiles)",
        "{over_transformers:.2f} ({q1:.2f} to {q3:.2f})",
    ),
    ("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
    title="Greedy answers, in turn, equal threads",
)


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Compare the engine's speed with transformers'."""

    rounds: int = 8
    """How often each arm has its turn; the first is warm-up."""
    tokens: int = 32
    """Length of each answer."""
    batches: tuple[int, ...] = (1, 16)
    """Answers at once."""
    threads: int = 0
    """Threads of each arm; 0 for one a core."""
    out: Path = RESULTS
    """Where bench.csv goes."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 2, "rounds", "tokens")
        checks.at_least(self, 0, "threads")


@dataclass(frozen=True)
class Setting:
    """What an arm's process is told."""

    arm: str
    batch: int
    tokens: int
    threads: int


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the engine's speed with transformers', one answer at a time and many at once."""
    refuse_unwritable(config.out)
    rows = []
    threads = config.threads or devices.cores()
    for batch in config.batches:
        settings = {arm: Setting(arm, batch, config.tokens, threads) for arm in ARMS}
        with spawned(work, settings) as workers:
            measured = in_turn(workers, rounds=config.rounds, steps=1, description=f"batch {batch}")
        for arm, found in measured.items():
            over = ratio(measured, "transformers", arm)
            row = {"arm": arm, "batch": batch, "per_second": round(1000 * batch * config.tokens / step_ms(found), 2)}
            row |= {"over_transformers": round(over.median, 4), "q1": round(over.q1, 4), "q3": round(over.q3, 4)}
            rows.append({**row, "peak_mb": round(found.peak_mb, 1), "growth_mb": round(found.growth_mb, 1)})
    details = {"tokens": config.tokens, "rounds": config.rounds, "threads_of_an_arm": threads}
    return publish_bench(BENCH, rows, config.out, "engine", details)


def work(pipe: Connection, setting: Setting) -> None:
    """One arm's process."""
    step = of_transformers(setting) if setting.arm == "transformers" else of_engine(setting)
    step()  # what is made at the first use is no growth
    serve(pipe.recv, pipe.send, step)


def of_transformers(setting: Setting) -> Any:
    """A function that answers the prompts by transformers."""
    import torch

    from shared.assets import load_causal_lm

    torch.set_num_threads(setting.threads)
    model, tokenizer = load_causal_lm()
    asked = prompts(tokenizer, setting.batch)
    longest = max(map(len, asked))
    ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(each)) + each for each in asked])
    mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in asked])
    length = {"max_new_tokens": setting.tokens, "min_new_tokens": setting.tokens}

    def step() -> None:
        with torch.inference_mode():
            model.generate(ids, attention_mask=mask, do_sample=False, pad_token_id=tokenizer.pad_token_id, **length)

    return step


def of_engine(setting: Setting) -> Any:
    """A function that answers the prompts by the engine."""
    from shared.engine import Request, generate, load_engine

    engine = load_engine(precision="int8" if setting.arm == "int8" else "float32", threads=setting.threads)

    def without_end(_: list[int], logits: Any) -> Any:
        logits[engine.end] = -np.inf
        return logits

    requests = [
        Request(prompt=ids, max_tokens=setting.tokens, change_logits=without_end)
        for ids in prompts(engine.tokenizer, setting.batch)
    ]
    return lambda: generate(engine, requests, size=setting.batch)


if __name__ == "__main__":
    command(main, BenchConfig)
