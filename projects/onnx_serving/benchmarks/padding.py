"""What padding costs: real articles of many lengths through the int8 graph, in batches made in four ways."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.paths import ENCODER_INT8

ARTICLES = 64  # rows whose padding is measured
LONGEST = 384  # tokens of an article in one row
UNBOUNDED = 2**30
SCHEMES: dict[str, dict[str, Any]] = {
    "one at a time": {"token_budget": 1},
    "batches of 8 as they come": {"token_budget": UNBOUNDED, "max_rows": 8, "sort_by_length": False},
    "batches of 8 sorted by length": {"token_budget": UNBOUNDED, "max_rows": 8},
    "sorted, at most 2048 tokens a batch": {"token_budget": 2048},
}


def padding_rows(graphs: Path, threads: int) -> list[dict[str, Any]]:
    """One row a scheme: alone, in order of arrival, sorted, and sorted under a budget of tokens."""
    from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
    from projects.onnx_serving.inference.padded_batches import padding_share, plan_batches, run_padded

    windows, pad_id = article_windows(graphs)
    lengths = [len(window) for window in windows]
    encoder = OnnxEncoder(graphs / ENCODER_INT8, threads)
    seconds: dict[str, list[float]] = {name: [] for name in SCHEMES}
    for turn in range(4):
        for name, options in SCHEMES.items():
            started = time.perf_counter()
            run_padded(encoder, windows, pad_id=pad_id, **options)
            if turn:  # the first is warm-up
                seconds[name].append(time.perf_counter() - started)
    return [
        {
            "scheme": name,
            "waste": round(padding_share(lengths, plan_batches(lengths, **options)), 4),
            "articles_per_second": round(len(windows) / float(np.median(seconds[name])), 2),
        }
        for name, options in SCHEMES.items()
    ]


def article_windows(graphs: Path) -> tuple[list[Any], int]:
    """Windows of articles of many lengths, each of them whole up to LONGEST tokens, and the padding's id."""
    from projects.onnx_serving.data import load_films, questions_of
    from projects.onnx_serving.inference.spans import WindowSplitter

    questions = questions_of(load_films()["test"], seed=1)[:ARTICLES]
    tokenizer = (graphs / "qa_tokenizer.json").read_text(encoding="utf-8")
    splitter = WindowSplitter(tokenizer, max_length=LONGEST, stride=64)
    return [splitter(question.text, question.context)[0] for question in questions], splitter.pad_id
