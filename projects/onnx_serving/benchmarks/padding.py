"""What padding costs: real articles of many lengths through the int8 graph, in batches made in four ways."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.paths import ENCODER_INT8

ARTICLES = 64  # rows whose padding is measured
LONGEST = 384  # tokens of an article in one row


def padding_rows(models: Path, threads: int) -> list[dict[str, Any]]:
    """One row a scheme: alone, in order of arrival, sorted, and sorted under a budget of tokens."""
    from projects.onnx_serving.data import load_films, questions_of
    from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
    from projects.onnx_serving.inference.padded_batches import planned, run_padded, waste
    from projects.onnx_serving.inference.spans import Cutter

    questions = questions_of(load_films()["test"], seed=1)[:ARTICLES]
    cutter = Cutter((models / "qa_tokenizer.json").read_text(encoding="utf-8"), length=LONGEST, overlap=64)
    windows = [cutter(question.text, question.context)[0] for question in questions]
    lengths = [len(window) for window in windows]
    encoder = OnnxEncoder(models / ENCODER_INT8, threads)
    schemes: dict[str, dict[str, Any]] = {
        "one at a time": {"budget": 1},
        "batches of 8 as they come": {"budget": 2**30, "largest": 8, "by_length": False},
        "batches of 8 sorted by length": {"budget": 2**30, "largest": 8},
        "sorted, at most 2048 tokens a batch": {"budget": 2048},
    }
    seconds: dict[str, list[float]] = {name: [] for name in schemes}
    for turn in range(4):
        for name, options in schemes.items():
            started = time.perf_counter()
            run_padded(encoder, windows, padding=cutter.padding, **options)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return [
        {
            "scheme": name,
            "waste": round(waste(lengths, planned(lengths, **options)), 4),
            "articles_per_second": round(len(windows) / float(np.median(seconds[name])), 2),
        }
        for name, options in schemes.items()
    ]
