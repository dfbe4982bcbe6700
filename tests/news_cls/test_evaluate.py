"""Measures against scikit-learn, brute force and hand-made cases."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support
from torch.nn.functional import cross_entropy

from projects.news_cls import evaluate


@pytest.fixture
def said():
    source = np.random.default_rng(0)
    labels = source.integers(4, size=200)
    logits = source.normal(size=(200, 5)) * 2 + 2 * np.eye(5)[labels]  # topic 4 is said at times and never right
    return labels.tolist(), logits


def test_scores_are_sklearns(said):
    labels, logits = said
    predicted = logits.argmax(1).tolist()
    found = evaluate.scores(labels, predicted, 5)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, labels=range(4), average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(
        confusion_matrix(labels, predicted)[:4].diagonal().__truediv__(np.bincount(labels)).mean()
    )
    each = evaluate.per_class(labels, predicted, 5)
    theirs = precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    for ours, other in zip((each.precision, each.recall, each.f1, each.support), theirs, strict=True):
        assert np.allclose(ours, other)
    four = [min(p, 3) for p in predicted]
    assert evaluate.scores(labels, four, 4)["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, four))


def test_a_topic_that_training_lacks_is_wrong_and_costs_precision():
    found = evaluate.scores([0, -1, 1], [0, 0, 1], 2)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert evaluate.per_class([0, -1, 1], [0, 0, 1], 2).precision[0] == 0.5


def test_the_temperature_is_the_likeliest(said):
    labels, logits = said
    scaled, truth = torch.from_numpy(3 * logits), torch.tensor(labels)
    best = minimize_scalar(lambda t: float(cross_entropy(scaled / np.exp(t), truth)), bounds=(-5, 5), method="bounded")
    assert evaluate.temperature(scaled, truth) == pytest.approx(float(np.exp(best.x)), rel=1e-3)
    assert evaluate.temperature(scaled, torch.where(torch.arange(200) < 20, -1, truth)) > 0


def test_calibration_by_hand():
    confidence = np.array([0.55, 0.55, 0.95, 0.95])
    assert evaluate.expected_calibration_error(confidence, [True, False, True, True]) == pytest.approx(0.05)
    assert evaluate.expected_calibration_error(np.array([1.0, 0.1]), [True, False]) == pytest.approx(0.05)
    rows = evaluate.reliability(confidence, [True, False, True, True])
    assert [row["articles"] for row in rows] == [2, 2] and rows[0]["accuracy"] == 0.5


def test_a_bin_holds_its_upper_edge():
    """(0.4, 0.5] and (0.9, 1], as Guo et al. 2017, §2, divide them: an edge is not its neighbour's."""
    rows = evaluate.reliability(np.array([0.45, 0.5, 0.55, 1.0]), [True, False, True, True])
    assert [(row["articles"], row["accuracy"]) for row in rows] == [(2, 0.5), (1, 1.0), (1, 1.0)]


@pytest.mark.parametrize("articles", [8, 9, 15, 208])
def test_at_least_what_was_asked_for_is_answered(articles):
    sure = np.linspace(0.2, 1, articles)
    assert 0.9 <= (sure >= evaluate.threshold_at(sure, 0.9)).mean() <= 0.9 + 1 / articles


def test_abstention_leaves_out_the_least_sure_first():
    curve = evaluate.abstention(np.array([0.9, 0.5, 0.8, 0.6]), [True, False, True, False])
    assert curve == [(0.25, 0.0), (0.5, 0.0), (0.75, 0.5), (1.0, 1.0)]


def test_the_threshold_covers_what_was_asked():
    confidence = np.linspace(0, 1, 101)
    assert (confidence >= evaluate.threshold_at(confidence, 0.9)).mean() == pytest.approx(0.9, abs=0.011)


def test_the_hardest_errors_are_the_surest():
    sure = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    assert evaluate.hardest(sure, [1, 1, 1, 0], 5) == [0, 1]
