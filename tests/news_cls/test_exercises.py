"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import numpy as np
import pytest
import torch

from projects.news_cls import evaluate
from projects.news_cls.balance import losses
from projects.news_cls.monitor.labels import estimate_weights
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("news_cls")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 10)


def solved(name, team="equipo-3"):
    values = NAMES[name].values(team)
    return values, NAMES[name].answer.solve(values)


def test_scores_and_calibration():
    v, found = solved("macro_f1")
    pairs = [(0, 0)] * int(v["aa"]) + [(1, 1)] * int(v["bb"]) + [(0, 1)] * int(v["ab"]) + [(1, 0)] * int(v["ba"])
    truth, said = zip(*pairs, strict=True)
    assert found == pytest.approx(evaluate.scores(list(truth), list(said), 2)["macro_f1"])
    v, found = solved("temperatura")
    assert found == pytest.approx(float(evaluate.softmax(np.array([[v["d"], 0.0]]) / v["t"])[0, 0]))


def test_losses():
    v, found = solved("focal")
    logits = torch.tensor([[np.log(v["p"]), np.log(1 - v["p"])]])
    assert found == pytest.approx(float(losses.focal(logits, torch.tensor([0]), gamma=float(v["g"]))), rel=1e-5)
    v, found = solved("ajuste")
    logits, priors = torch.tensor([[v["z"], 0.0]]), torch.tensor([v["pi"], 1 - v["pi"]])
    assert found == pytest.approx(float(losses.adjusted(logits, torch.tensor([0]), priors)), rel=1e-5)
    v, found = solved("pesos")
    counts = torch.full((int(v["k"]),), (v["n"] - v["c"]) / (v["k"] - 1))
    counts[0] = v["c"]
    assert found == pytest.approx(float(losses.class_weights(counts)[0]), rel=1e-5)


def test_the_mean_of_a_window():
    v, found = solved("acumular")
    each, weights = torch.tensor([v["a"], v["b"]]), torch.tensor([float(v["wa"]), float(v["wb"])])
    window = 2 / float(weights.sum())
    whole = float(losses.weighted_sum(each, weights, window)) / 2
    assert found == pytest.approx(whole - (v["a"] + v["b"]) / 2, abs=1e-5)


def test_shares_from_what_is_said():
    v, found = solved("bbse")
    size = 100_000
    said_a = [round(size / 2 * v["s"]), round(size / 2 * v["e"])]
    labels = np.repeat([0, 1], size // 2)
    said = np.concatenate([np.repeat([0, 1], [n, size // 2 - n]) for n in said_a])
    batch = np.repeat([0, 1], [round(size * v["q"]), size - round(size * v["q"])])
    assert found == pytest.approx(estimate_weights(labels, said, batch, 2)[0] / 2, abs=1e-3)
