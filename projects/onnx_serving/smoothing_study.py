"""How strongly to even out activations before int8? On validation films: which margins stay nearest to float32's."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.data import load_films, questions_of
from projects.onnx_serving.export.onnx_export import quantise, typical_inputs
from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
from projects.onnx_serving.inference.pipelines import question_answering, settings_of
from projects.onnx_serving.paths import ENCODER
from projects.onnx_serving.training.evaluate import judge
from projects.onnx_serving.training.train_qa import CHOSEN, EVALUATION, limited
from shared import devices
from shared.progress import track

STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def smoothing_rows(qa: Path, graphs: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """One row a strength, and one without: distance of the margins from the float32 graph's, and equal answers.

    Args:
        qa: Folder of the trained model.
        graphs: Folder of the exported ones.
        limit: Use only so many films.
    """
    pipeline = question_answering(qa)
    cutter, threshold = pipeline.cutter(), settings_of(pipeline.model)["threshold"]
    films = limited(load_films(), limit)["validation"]
    questions = [asked for wording in CHOSEN for asked in questions_of(films, seed=EVALUATION, wording=wording)]
    threads = devices.use_all_cores()
    exact = judge(OnnxEncoder(graphs / ENCODER, threads), cutter, questions)
    rows = []
    for strength, path in quantised(pipeline, graphs / ENCODER):
        judged = judge(OnnxEncoder(path, threads), cutter, questions)
        pairs = list(zip(exact, judged, strict=True))
        distance = np.mean([abs(one.margin - other.margin) for one, other in pairs])
        same = np.mean([one.given(threshold) == other.given(threshold) for one, other in pairs])
        row = {"strength": strength, "questions": len(questions)}
        rows.append(row | {"margin_distance": round(float(distance), 4), "same": round(float(same), 4)})
    return rows


def quantised(pipeline: Any, source: Path) -> Iterator[tuple[str, Path]]:
    """The int8 graph at each strength; it is there until the next one is asked for."""
    inputs = typical_inputs(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "encoder.int8.onnx"
        yield "none", quantise(source, target)
        for strength in track(STRENGTHS, description="smoothing", total=len(STRENGTHS)):
            yield str(strength), quantise(source, target, inputs, strength)
