"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import asyncio
import math

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from projects.onnx_serving.inference.padded_batches import padding_share, plan_batches
from projects.onnx_serving.inference.spans import Candidate, WindowSplitter, decode_answers
from projects.onnx_serving.inference.token_by_token import left_pad, position_ids_of
from projects.onnx_serving.server.batching import Batcher
from shared.course.exercises import sheet_of
from shared.course.exercises.expressions import evaluate
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("onnx_serving")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 2, 8, 127, 0.5, "b", "1 / b", "b * 2", "b / (1 + b)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


def test_padding_against_the_plans():
    v, answer = values("relleno")
    lengths = [v[name] for name in "abcd"]
    assert answer.solve(v) == pytest.approx(
        padding_share(lengths, plan_batches(lengths, 10**9, max_rows=2, sort_by_length=False))
    )
    v, answer = values("ordenar")
    lengths = [v[name] for name in "abcd"]
    batches = plan_batches(lengths, 10**9, max_rows=2)
    computed = sum(2 * max(lengths[row] for row in rows) for rows in batches)
    assert answer.solve(v) == computed - sum(lengths)


def test_budget_against_the_plan():
    v, answer = values("presupuesto")
    lengths = [v["corto"]] * 3000 + [v["largo"]]
    batch = next(rows for rows in plan_batches(list(reversed(lengths)), v["limite"], sort_by_length=False) if 0 in rows)
    assert len(batch) == answer.solve(v)


def test_windows_against_the_cutter(qa_tokenizer):
    v = {"contexto": 400, "longitud": 64, "pregunta": 7, "solape": 10}
    question = "a b c d"  # with [CLS] and two [SEP]: seven tokens
    splitter = WindowSplitter(qa_tokenizer, max_length=v["longitud"], stride=v["solape"])
    assert len(splitter(question, "x " * v["contexto"])) == NAMES["ventanas"].answer.solve(v)


def test_int8_against_numpy():
    v, answer = values("int8")
    scale = np.float64(v["maximo"]) / 127
    assert answer.solve(v) == pytest.approx(float(np.rint(v["peso"] / scale) * scale))


def test_positions_against_the_code():
    v, answer = values("posicion")
    _, mask = left_pad([[5] * v["propios"], [5] * v["longitud"]], 2)
    grown = np.concatenate([mask, np.ones((2, v["k"]), np.int64)], axis=1)
    assert position_ids_of(grown)[0, -1] == answer.solve(v)


def test_saving_by_counting():
    v, answer = values("ahorro")
    without = sum(v["p"] + step for step in range(v["n"]))
    assert answer.solve(v) == pytest.approx(without / (v["p"] + v["n"] - 1))


def test_margin_against_decode():
    v, answer = values("margen")
    margin = v["si"] + v["sf"] - v["ci"] - v["cf"]
    found = decode_answers([Candidate(margin, 0.5, 0, 1)], "x", threshold=v["umbral"])
    assert answer.solve(v) == pytest.approx(found[0].no_answer)
    assert math.isfinite(answer.solve(v))


def test_the_caches_bytes_against_a_cache():
    v, answer = values("cache")
    small = {**v, "capas": 3, "filas": 2, "tokens": 5}
    cache = DynamicCache()
    for layer in range(small["capas"]):
        keys = torch.zeros(small["filas"], v["cabezas"], small["tokens"], v["ancho"])
        cache.update(keys, keys.clone(), layer)
    held = sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))
    assert held == answer.solve(small)


def test_the_queue_against_the_batcher():
    """A model that counts batches: those until the last accepted request is done, the one under way among them."""
    v, answer = values("cola")
    done = []

    async def main():
        run = lambda batch: done.append(len(batch)) or [len(done)] * len(batch)  # noqa: E731
        size, waiting = v["filas"], v["espera"]
        async with Batcher(run, rows=size, budget=10**9, waiting=waiting + size) as batching:
            jobs = [asyncio.create_task(batching.submit(Item())) for _ in range(size + waiting)]
            return (await asyncio.gather(*jobs))[-1]

    assert asyncio.run(main()) * v["ms"] == pytest.approx(answer.solve(v))


class Item:
    tokens = rows = 1


def test_refusals_of_an_open_load_by_simulation():
    """What is not served is refused in the long run: μ of λ are answered."""
    v, answer = values("carga")
    draw = np.random.default_rng(0)
    at = draw.exponential(1 / v["lambda"], 200_000).cumsum()
    free, waiting, refused = 0.0, [], 0
    for now in at:
        while waiting and waiting[0] <= now:
            waiting.pop(0)
        if len(waiting) >= 5:
            refused += 1
        else:
            free = max(free, now) + 1 / v["mu"]
            waiting.append(free)
    assert refused / len(at) == pytest.approx(answer.solve(v), abs=0.01)


def test_batches_against_counting():
    v, answer = values("lote")
    assert answer.solve(v, {"b": 1}) == pytest.approx(1)
    for case in answer.cases(v):
        alone, together = 1 / (v["fijo"] + v["porfila"]), case["b"] / (v["fijo"] + v["porfila"] * case["b"])
        assert answer.solve(v, case) == pytest.approx(together / alone)
    assert evaluate("b * 2 / (1 + b)", {"b": 3}) == 1.5
