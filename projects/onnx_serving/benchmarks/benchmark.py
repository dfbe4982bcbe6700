"""The models' benchmark: torch and ONNX Runtime by request and by batch, against batch size, length and threads.

python -m projects.onnx_serving.benchmarks.benchmark --rounds 9

Each arm lives in a process of its own and has its turn round by round, so that a drift of the machine's speed touches
all of them alike, and no arm's waiting threads disturb another's work.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.onnx_serving.benchmarks.arms import NEW, PROMPT, encoder_cases, generation_cases
from projects.onnx_serving.benchmarks.padding import ARTICLES, LONGEST, padding_rows
from projects.onnx_serving.benchmarks.timing import has_vnni, measure, row_of, spawn_arms, with_gains
from projects.onnx_serving.paths import EXPORTED, QA, RESULTS
from shared import devices
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_json


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure torch and ONNX Runtime, in float32, bfloat16 and int8, in turn."""

    graphs: Path = EXPORTED
    """Folder of the exported graphs."""
    qa: Path = QA / "model"
    """Folder of the trained question-answering model, for torch."""
    decoder: str = "smollm2"
    """Causal language model that was exported, for torch."""
    rounds: int = 9
    """How often each arm has its turn in the encoder; generation takes a third of them."""
    threads: int = 0
    """Threads of every arm; 0 takes one a core."""
    out: Path = RESULTS
    """Where the CSV files go."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if self.rounds < 3:
            raise UserError(f"--rounds {self.rounds}: must be at least 3")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare torch with ONNX Runtime in the encoder and in generation, and measure what padding costs."""
    if not (config.graphs / "serving.json").is_file():
        raise UserError(f"{config.graphs} holds no exported models: make run-onnx_serving makes them in {EXPORTED}")
    refuse_unwritable(config.out)
    threads = config.threads or devices.cores()
    with spawn_arms(config.graphs, config.qa, config.decoder) as arms:
        encoded = measure(arms, encoder_cases(threads), config.rounds)
        generated = measure(arms, generation_cases(threads), max(2, config.rounds // 3))
    rows = with_gains([row_of(*key, times) for key, times in {**encoded, **generated}.items()])
    publish(config, rows, padding_rows(config.graphs, threads), threads)
    return rows


def publish(config: BenchConfig, rows: list[dict[str, Any]], padding: list[dict[str, Any]], threads: int) -> None:
    """bench.csv, padding.csv, what they were measured on, the figures and the README's tables."""
    from projects.onnx_serving import study  # it needs torch, which the arms of ONNX Runtime shall not load

    study.write(config.out / "bench.csv", rows)
    study.write(config.out / "padding.csv", padding)
    sizes = {"rounds": config.rounds, "prompt": PROMPT, "new": NEW, "articles": ARTICLES, "longest": LONGEST}
    write_json(config.out / "bench.json", {**sizes, **devices.machine(), "threads": threads, "vnni": has_vnni()})
    study.show(config.out, "speed", "generation", "padding")


if __name__ == "__main__":
    command(main, BenchConfig)
