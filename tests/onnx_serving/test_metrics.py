"""The scorer on cases worked out by hand."""

import pytest

from projects.onnx_serving.metrics import exact, f1, score
from projects.onnx_serving.training.evaluate import Prediction, best_threshold, score_at


def test_f1_by_hand():
    assert f1("the James Stewart", "James Stewart and Kim Novak") == pytest.approx(2 * 2 / (2 + 5))
    assert f1("a b b", "b b b") == pytest.approx(2 * 2 / (2 + 3))  # "a" is an article
    assert f1("", "") == 1 and f1("", "x") == 0 and f1("x", "") == 0
    assert exact("The Birds!", "birds") == 1 and exact("birds", "bird") == 0


def test_scores_by_hand():
    got = score(["x", "", "", "y z"], ["x", "", "y", "y"])
    assert got.exact == pytest.approx(2 / 4)
    assert got.f1 == pytest.approx((1 + 1 + 0 + 2 / 3) / 4)
    assert got.answered_f1 == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert got.answered_exact == pytest.approx(1 / 3)
    assert got.no_answer_f1 == pytest.approx(2 * 1 / (2 + 1))


def test_nothing_to_score():
    with pytest.raises(ValueError, match="no answers"):
        score([], [])


def test_the_chosen_threshold_is_the_best_of_a_fine_grid():
    predictions = [
        Prediction("x", "x", 3.0),
        Prediction("", "y", 2.0),
        Prediction("z", "z", 1.0),
        Prediction("", "w", -1.0),
        Prediction("v", "v", 2.5),
    ]
    best = max(score_at(predictions, t / 100).f1 for t in range(-400, 500))
    assert score_at(predictions, best_threshold(predictions)).f1 == best
