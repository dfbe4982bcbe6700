"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import math

import numpy as np
import pytest

from projects.rag_agent.evaluate import balanced_accuracy, f1, reciprocal_rank
from projects.rag_agent.prompts import TEMPLATES, fitted
from projects.rag_agent.retriever.faiss_index import FILE, FaissIndex
from projects.rag_agent.retriever.lexical import Bm25, fuse_ranks
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("rag_agent")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 10, 60, 384, 0.5, "idf", "n * 384 * 4", "idf * 2.5 / (1 + 1.5)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


@pytest.mark.parametrize("hnsw", [False, True])
def test_memory_against_the_file_that_faiss_writes(hnsw, tmp_path):
    """The exercises leave out headers, upper levels and bookkeeping: a few per cent at 3,000 vectors."""
    index = FaissIndex(64, hnsw=hnsw)
    index.add(range(3000), np.random.default_rng(0).standard_normal((3000, 64)).astype(np.float32))
    index.save(tmp_path)
    bytes_written = (tmp_path / FILE).stat().st_size
    v = {"n": 3000, "d": 64, "m": 32}
    solved = NAMES["grafo" if hnsw else "memoria"].answer.solve(v) * 1e6
    assert bytes_written == pytest.approx(solved, rel=0.08)


def test_fusion_against_the_code():
    v, answer = values("rrf")
    one = [*range(100, 99 + v["a"]), 7, *range(200, 210)]
    other = [*range(300, 299 + v["b"]), 7]
    scores = dict(fuse_ranks([one, other], [v["w"], 1 - v["w"]], constant=float(v["c"])))
    assert scores[7] == pytest.approx(answer.solve(v))


def test_the_tie_against_the_code():
    v, answer = values("empate")
    last = answer.solve(v)

    def first(rank):
        padding = [[*range(1000, 999 + rank)], [*range(5000, 4999 + rank)]]
        left, right = [1, *padding[0][1:], 2], [*padding[1], 2]
        scores = dict(fuse_ranks([left, right], [0.5, 0.5], constant=float(v["c"])))
        return scores[2] > scores[1]

    assert first(last) and not first(last + 1)


def test_bm25_and_rarity_against_the_code():
    index = Bm25(range(4), ["owl owl night", "bee day sun hive", "ant", "owl"])
    v = {"n": 4, "h": 2, "k1": 1.5, "b": 0.75, "l": 3, "media": 9 / 4, "tf": 2}
    assert NAMES["idf"].answer.solve(v) == pytest.approx(index.rarity("owl"))
    part = NAMES["bm25"].answer.solve(v, {"idf": 1.0})
    assert index.scores("owl")[0] == pytest.approx(part, rel=1e-5)


def test_scores_against_the_code():
    v, answer = values("mrr")
    ranks = [1] * v["uno"] + [2] * v["dos"] + [5] * v["cinco"] + [0] * (v["n"] - v["uno"] - v["dos"] - v["cinco"])
    found = [reciprocal_rank(["x"] * (rank - 1) + ["film"] if rank else [], "film") for rank in ranks]
    assert np.mean(found) == pytest.approx(answer.solve(v))
    v, answer = values("umbral")
    scores = [0.9] * v["c"] + [0.1] * (v["p"] - v["c"]) + [0.1] * v["r"] + [0.9] * (v["q"] - v["r"])
    assert balanced_accuracy(scores, [True] * v["p"] + [False] * v["q"], 0.5) == pytest.approx(answer.solve(v))
    v, answer = values("f1")
    right = [f"w{n}" for n in range(v["oro"])]
    said = right[: v["comunes"]] + [f"v{n}" for n in range(v["dichas"] - v["comunes"])]
    assert f1(" ".join(said), [" ".join(right)]) == pytest.approx(answer.solve(v))


def test_the_budget_against_the_code():
    v, answer = values("presupuesto")
    v = {**v, "fijo": 3, "pregunta": 2, "historia": 0}

    def count(messages):
        lines = messages[-1]["content"].count("[")
        return v["fijo"] + v["pregunta"] + lines * (v["pasaje"] + v["salto"])

    passages = [("T", "text")] * 400
    _, used = fitted(TEMPLATES["answer"], "Who?", passages, budget=v["total"], count=count)
    assert used == answer.solve(v)


def test_cosine_and_bandwidth_by_hand():
    a, b = np.array([1.0, 0.0]), np.array([math.cos(0.4), math.sin(0.4)])
    assert NAMES["coseno"].answer.solve({"d2": float(((a - b) ** 2).sum())}) == pytest.approx(float(a @ b))
    assert NAMES["escala"].answer.solve({"g": 10.0, "d": 250}, {"n": 1_000_000}) == pytest.approx(100.0)
