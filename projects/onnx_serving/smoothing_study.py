"""How strongly to even out activations before int8? On validation films: which margins stay nearest to float32's."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.data import load_films, questions_of
from projects.onnx_serving.export.onnx_export import calibration_inputs, quantise
from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
from projects.onnx_serving.inference.pipelines import question_answering, settings_of
from projects.onnx_serving.paths import ENCODER
from projects.onnx_serving.training.evaluate import predict_spans
from projects.onnx_serving.training.train_qa import EVALUATION, SELECTION, limited
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
    splitter, threshold = pipeline.splitter(), settings_of(pipeline.model)["threshold"]
    films = limited(load_films(), limit)["validation"]
    questions = [each for wording in SELECTION for each in questions_of(films, seed=EVALUATION, wording=wording)]
    threads = devices.use_all_cores()
    exact = predict_spans(OnnxEncoder(graphs / ENCODER, threads), splitter, questions)
    rows = []
    for strength, path in quantised(pipeline, graphs / ENCODER):
        predictions = predict_spans(OnnxEncoder(path, threads), splitter, questions)
        pairs = list(zip(exact, predictions, strict=True))
        distance = np.mean([abs(one.margin - other.margin) for one, other in pairs])
        same = np.mean([one.answer_at(threshold) == other.answer_at(threshold) for one, other in pairs])
        row = {"strength": strength, "questions": len(questions)}
        rows.append(row | {"margin_distance": round(float(distance), 4), "same": round(float(same), 4)})
    return rows


def quantised(pipeline: Any, source: Path) -> Iterator[tuple[str, Path]]:
    """The int8 graph at each strength; it is there until the next one is asked for."""
    inputs = calibration_inputs(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "encoder.int8.onnx"
        yield "none", quantise(source, target)
        for strength in track(STRENGTHS, description="smoothing", total=len(STRENGTHS)):
            yield str(strength), quantise(source, target, inputs, strength)
