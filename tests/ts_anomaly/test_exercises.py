"""The answers that exercises.toml declares, against another way of finding each."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import genpareto

from projects.ts_anomaly.evaluate import auc_pr, covering
from projects.ts_anomaly.models.contrast import Contrast
from projects.ts_anomaly.scoring.thresholds import conformal_threshold
from shared.course.exercises.declared import read_exercises
from shared.course.exercises.expressions import evaluate

FOLDER = Path(__file__).parents[2] / "projects" / "ts_anomaly"


def test_each_statement_has_its_exercise_and_the_other_way_round():
    text = (FOLDER / "exercises.md").read_text(encoding="utf-8")
    names = [line.rsplit("`", 2)[1] for line in text.splitlines() if line.startswith("## ")]
    assert names == [each.id for each in read_exercises(FOLDER)] and len(names) >= 8


def answer(name, **values):
    declared = tomllib.loads((FOLDER / "exercises.toml").read_text(encoding="utf-8"))
    return evaluate(declared[name]["answer"], values)


def test_answers_are_what_the_code_and_counting_give():
    labels = np.zeros(20_000, dtype=int)
    labels[:2000] = 1
    random = np.mean([auc_pr(labels, np.random.default_rng(seed).random(20_000)) for seed in range(5)])
    assert answer("azar", k=2000, n=20_000) == pytest.approx(random, rel=0.02)
    assert answer("ajuste", p=0.5, l=2) == 0.75
    assert answer("semana", s=60) == pytest.approx(1 / 10_080)
    level = answer("gpd", t=2.0, g=0.2, sigma=1.0, n=1000, nt=50, q=0.001)
    assert 0.05 * genpareto.sf(level - 2.0, 0.2, scale=1.0) == pytest.approx(0.001, rel=1e-6)
    assert answer("sorpresa", a=3.0, b=4.0) == pytest.approx(np.linalg.norm([3.0, 4.0], 4))
    model = Contrast(patch=4, width=8, layers=3, heads=2, window=16)
    assert answer("alcance", p=4, w=16, c=3) == model.encoder.reach
    assert answer("cobertura", a=300, d=50, n=1000) == pytest.approx(covering([300], [350], 1000))
    assert answer("pinball", q=0.9, y=5.0, f=3.0) == pytest.approx(1.8)
    assert answer("pinball", q=0.9, y=3.0, f=5.0) == pytest.approx(0.2)


def test_a_conformal_promise_needs_as_many_scores():
    need = answer("conforme", q=500)
    scores = np.random.default_rng(0).random(need)
    assert math.isfinite(conformal_threshold(scores, 1 / 500))
    assert math.isinf(conformal_threshold(scores[:-1], 1 / 500))


def test_precision_at_full_recall_by_counting():
    normal, anomalous, above = 9900, 100, 99
    assert answer("roc", a=0.01, f=0.01) == pytest.approx(anomalous / (anomalous + above), rel=1e-6)
    assert normal * 0.01 == above
