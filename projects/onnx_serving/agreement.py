"""Do the graphs answer and write what torch does? On held-out films, and on prompts of many lengths."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from projects.onnx_serving.data import load_films, questions_of
from projects.onnx_serving.export.onnx_export import count_products, export_encoder
from projects.onnx_serving.inference.backends import Decoder, Encoder
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.inference.pipelines import question_answering, settings_of, text_generation
from projects.onnx_serving.inference.token_by_token import Prompt, generate
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from projects.onnx_serving.paths import DECODER, DECODER_INT8, ENCODER, ENCODER_INT8
from projects.onnx_serving.training.evaluate import predict_spans, score_at
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
NEW_TOKENS = 32


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
    threshold = settings_of(pipeline.model)["threshold"]
    films = limited(load_films(), limit)["test"]
    groups = {wording: questions_of(films, seed=EVALUATION, wording=wording) for wording in TESTED}
    questions = [question for group in groups.values() for question in group]
    rows: list[dict[str, Any]] = []
    expected: list[str] = []
    for name, (encoder, products) in encoders(qa, graphs).items():
        predictions = predict_spans(encoder, pipeline.splitter(), questions)
        answers = [each.answer_at(threshold) for each in predictions]
        expected = expected or answers
        scores = score_at(predictions, threshold)
        same = iter(mine == theirs for mine, theirs in zip(answers, expected, strict=True))
        by_group = {f"same_{wording}": mean(islice(same, len(group))) for wording, group in groups.items()}
        both = sum(by_group[f"same_{wording}"] * len(group) for wording, group in groups.items()) / len(questions)
        numbers = {"answered_f1": scores.answered_f1, "no_answer_f1": scores.no_answer_f1, "same": both, **by_group}
        rows.append({"backend": name, "questions": len(questions), **numbers, "int8_products": products})
    return rows


def encoders(qa: Path, graphs: Path) -> dict[str, tuple[Encoder, int]]:
    """Each backend's encoder, and how many of its products are in int8; torch in float32 is first."""
    threads = devices.use_all_cores()
    found: dict[str, tuple[Encoder, int]] = {
        "torch float32": (TorchEncoder(question_answering(qa).model), 0),
        "torch bfloat16": (TorchEncoder(question_answering(qa).model.to(torch.bfloat16)), 0),
    }
    for name, file in (("onnx float32", ENCODER), ("onnx int8", ENCODER_INT8)):
        found[name] = OnnxEncoder(graphs / file, threads), count_products(graphs / file)["int8"]
    return found


def text_rows(graphs: Path, prompts: Sequence[str] = PROMPTS) -> list[dict[str, Any]]:
    """One row a decoder: greedy texts in one batch and one at a time, beside those of the library's pipeline."""
    library = text_generation()
    settings = json.loads((graphs / "serving.json").read_text(encoding="utf-8"))["lm"]
    chats = [settings["before"] + text + settings["after"] for text in prompts]
    tokens = [library.tokenizer(chat, add_special_tokens=False)["input_ids"] for chat in chats]
    expected = [library_tokens(library, row, settings["ends"]) for row in tokens]
    threads = devices.use_all_cores()
    decoders: dict[str, Decoder] = {"torch float32": TorchDecoder(library.model)}
    for name, file in (("onnx float32", DECODER), ("onnx int8", DECODER_INT8)):
        decoders[name] = OnnxDecoder(graphs / file, threads)
    rows = []
    for name, decoder in decoders.items():
        run = partial(generate, decoder, pad_id=settings["padding"], eos_ids=settings["ends"])
        batch = [Prompt(token_ids=row, max_new_tokens=NEW_TOKENS) for row in tokens]
        together, alone = run(batch), [run([prompt])[0] for prompt in batch]
        same = {
            "batched_same": mean(mine == theirs for mine, theirs in zip(together, alone, strict=True)),
            "same": mean(mine == theirs for mine, theirs in zip(alone, expected, strict=True)),
            "common": mean(common_prefix(mine, theirs) for mine, theirs in zip(alone, expected, strict=True)),
        }
        rows.append({"backend": name, "prompts": len(batch), **same})
    return rows


def library_tokens(library: Any, tokens: list[int], ends: Sequence[int]) -> list[int]:
    """New tokens of transformers' generate for one prompt, without its end token."""
    ids = torch.tensor([tokens])
    with torch.inference_mode():
        generated = library.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS
        )
    added: list[int] = generated[0, ids.shape[1] :].tolist()
    return added[:-1] if added[-1] in ends else added


def mean(values: Iterable[float]) -> float:
    """Mean of numbers or truth values."""
    listed = [float(value) for value in values]
    return sum(listed) / len(listed)


def common_prefix(mine: Sequence[int], theirs: Sequence[int]) -> float:
    """Share of the longer sequence with which both begin."""
    same = 0
    for a, b in zip(mine, theirs, strict=False):
        if a != b:
            break
        same += 1
    return same / max(len(mine), len(theirs), 1)
