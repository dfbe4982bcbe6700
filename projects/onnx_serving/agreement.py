"""Do the graphs answer and write what torch does? On held-out films, and on prompts of many lengths."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from projects.onnx_serving.data import load_films, questions_of
from projects.onnx_serving.export.onnx_export import counted, export_encoder
from projects.onnx_serving.inference.backends import Decoder, Encoder
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.inference.pipelines import question_answering, settings_of, text_generation
from projects.onnx_serving.inference.token_by_token import Prompt, generate
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from projects.onnx_serving.paths import DECODER, DECODER_INT8, ENCODER, ENCODER_INT8
from projects.onnx_serving.training.evaluate import judge, score_at
from projects.onnx_serving.training.train_qa import EVALUATION, TESTED, limited
from shared import devices

PROMPTS = (
    "Hello",
    "What is the capital of Peru?",
    "Name three films by Alfred Hitchcock.",
    "Write two lines about rain.",
    "Explain to a child, in one sentence, why the sky is blue during the day and dark at night.",
    "Give me a recipe with only rice, onions and eggs, and say how long it takes to cook, please.",
    "Who was the first person to walk on the Moon, and in which year did that happen?",
    "Translate into Spanish: good morning",
)
NEW = 32


@contextmanager
def encoder_graphs(qa: Path) -> Iterator[Path]:
    """A folder with a trained model's encoder as graphs, in float32 and int8, while the block lasts."""
    pipeline = question_answering(qa)
    with TemporaryDirectory() as folder:
        export_encoder(pipeline, Path(folder))
        yield Path(folder)


def answer_rows(qa: Path, graphs: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """One row a backend: scores on held-out films under one threshold, and the share of torch's answers.

    Args:
        qa: Folder of the trained model.
        graphs: Folder of the exported ones.
        limit: Use only so many films.
    """
    pipeline = question_answering(qa)
    cutter, threshold = pipeline.cutter(), settings_of(pipeline.model)["threshold"]
    films = limited(load_films(), limit)["test"]
    asked = {wording: questions_of(films, seed=EVALUATION, wording=wording) for wording in TESTED}
    questions = [question for group in asked.values() for question in group]
    threads = devices.use_all_cores()
    backends: dict[str, tuple[Encoder, int]] = {
        "torch float32": (TorchEncoder(pipeline.model), 0),
        "torch bfloat16": (TorchEncoder(question_answering(qa).model.to(torch.bfloat16)), 0),
    }
    for name, file in (("onnx float32", ENCODER), ("onnx int8", ENCODER_INT8)):
        backends[name] = OnnxEncoder(graphs / file, threads), counted(graphs / file)["int8"]
    rows: list[dict[str, Any]] = []
    expected: list[str] = []
    for name, (encoder, products) in backends.items():
        judged = judge(encoder, cutter, questions)
        given = [each.given(threshold) for each in judged]
        expected = expected or given
        scores = score_at(judged, threshold)
        same = iter(mine == theirs for mine, theirs in zip(given, expected, strict=True))
        of = {f"same_{wording}": share(islice(same, len(group))) for wording, group in asked.items()}
        both = sum(of[f"same_{wording}"] * len(group) for wording, group in asked.items()) / len(questions)
        numbers = {"answered_f1": scores.answered_f1, "no_answer_f1": scores.no_answer_f1, "same": both, **of}
        rows.append({"backend": name, "questions": len(questions), **numbers, "int8_products": products})
    return rows


def text_rows(graphs: Path, prompts: Sequence[str] = PROMPTS) -> list[dict[str, Any]]:
    """One row a decoder: greedy texts in one batch and one at a time, beside those of the library's pipeline."""
    library = text_generation()
    known = json.loads((graphs / "serving.json").read_text(encoding="utf-8"))["lm"]
    tokenizer = library.tokenizer
    tokens = [
        tokenizer(known["before"] + text + known["after"], add_special_tokens=False)["input_ids"] for text in prompts
    ]
    expected = [library_tokens(library, row, known["ends"]) for row in tokens]
    threads = devices.use_all_cores()
    backends: dict[str, Decoder] = {"torch float32": TorchDecoder(library.model)}
    for name, file in (("onnx float32", DECODER), ("onnx int8", DECODER_INT8)):
        backends[name] = OnnxDecoder(graphs / file, threads)
    rows = []
    for name, decoder in backends.items():
        asked = [Prompt(tokens=row, limit=NEW) for row in tokens]
        together = generate(decoder, asked, padding=known["padding"], ends=known["ends"])
        alone = [generate(decoder, [each], padding=known["padding"], ends=known["ends"])[0] for each in asked]
        rows.append(
            {
                "backend": name,
                "prompts": len(asked),
                "batched_same": share(mine == theirs for mine, theirs in zip(together, alone, strict=True)),
                "same": share(mine == theirs for mine, theirs in zip(alone, expected, strict=True)),
                "common": share(common(mine, theirs) for mine, theirs in zip(alone, expected, strict=True)),
            }
        )
    return rows


def library_tokens(library: Any, tokens: list[int], ends: Sequence[int]) -> list[int]:
    """What transformers' generate adds to one prompt, without its end token."""
    ids = torch.tensor([tokens])
    with torch.inference_mode():
        made = library.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW
        )
    added: list[int] = made[0, ids.shape[1] :].tolist()
    return added[:-1] if added[-1] in ends else added


def share(values: Any) -> float:
    """Mean."""
    listed = [float(value) for value in values]
    return sum(listed) / len(listed)


def common(mine: Sequence[int], theirs: Sequence[int]) -> float:
    """Share of the longer sequence that both begin with."""
    same = 0
    for a, b in zip(mine, theirs, strict=False):
        if a != b:
            break
        same += 1
    return same / max(len(mine), len(theirs), 1)
