"""`make bench-onnx_serving`: torch and ONNX Runtime by request and by batch, against batch size, length and threads.

Each arm lives in a process of its own and has its turn round by round, so that a drift of the machine's speed touches
all of them alike, and no arm's waiting threads disturb another's work.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.onnx_serving.benchmarks.arms import NEW, PROMPT, encoder_cells, generation_cells
from projects.onnx_serving.benchmarks.padding import ARTICLES, LONGEST, padding_rows
from projects.onnx_serving.benchmarks.timing import arms_of, measured, row_of, vnni, with_gains
from projects.onnx_serving.paths import EXPORTED, QA, RESULTS
from shared import devices
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_json


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure torch and ONNX Runtime, in float32, bfloat16 and int8, in turn."""

    models: Path = EXPORTED
    """Folder of the exported graphs."""
    qa: Path = QA / "model"
    """Folder of the trained question-answering model, for torch."""
    model: str = "smollm2"
    """The decoder that was exported, for torch."""
    rounds: int = 9
    """How often each arm has its turn in the encoder; generation takes a third of them."""
    threads: int = 0
    """Of every arm; 0 takes one a core."""
    out: Path = RESULTS
    """Where the CSV files go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare torch with ONNX Runtime in the encoder and in generation, and measure what padding costs."""
    if config.rounds < 3:
        raise UserError(f"--rounds {config.rounds}: must be at least 3")
    if not (config.models / "serving.json").is_file():
        raise UserError(f"{config.models} holds no exported models: make run-onnx_serving makes them in {EXPORTED}")
    refuse_unwritable(config.out)
    threads = config.threads or devices.cores()
    encoding, generating = encoder_cells(threads), generation_cells(threads)
    with arms_of(config.models, config.qa, config.model) as arms:
        encoded = measured(arms, encoding, config.rounds)
        generated = measured(arms, generating, max(2, config.rounds // 3))
    rows = with_gains([row_of(*key, times) for key, times in {**encoded, **generated}.items()])
    publish(config, rows, padding_rows(config.models, threads), threads)
    return rows


def publish(config: BenchConfig, rows: list[dict[str, Any]], padding: list[dict[str, Any]], threads: int) -> None:
    """bench.csv, padding.csv, what they were measured on, the figures and the README's tables."""
    from projects.onnx_serving import study  # it needs torch, which the arms of ONNX Runtime shall not load

    study.write(config.out / "bench.csv", rows)
    study.write(config.out / "padding.csv", padding)
    sizes = {"rounds": config.rounds, "prompt": PROMPT, "new": NEW, "articles": ARTICLES, "longest": LONGEST}
    write_json(config.out / "bench.json", {**sizes, **devices.machine(), "threads": threads, "vnni": vnni()})
    study.show(config.out, "speed", "generation", "padding")


if __name__ == "__main__":
    command(main, BenchConfig)
