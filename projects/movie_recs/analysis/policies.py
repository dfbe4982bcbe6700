"""Off-policy estimates on a simulated log, where the truth is known: how far each is from it, over 200 logs."""

from collections.abc import Iterator

import numpy as np

from projects.movie_recs.feedback.policies import inverse_propensity, naive, self_normalised
from shared.study import Item

LOGS, LINES, FILMS, CONTEXTS = 200, 2_000, 50, 20
SOFT, SHARP = 1.0, 3.0
"""How sharply the policy that logs, and the one that is judged, prefer what they take for good."""
CLIP = 10.0
ESTIMATORS = ("naive", "IPS", "IPS, clipped", "SNIPS", "SNIPS, clipped")


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of each row."""
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def compare(estimator: str, logs: int = LOGS) -> Iterator[Item]:
    """A line a log: the estimate, the truth, the signed error and the lines that the weights are worth.

    People of 20 kinds like 50 films with probabilities of their own. The policy that logs knows these badly; the one
    that is judged knows them a little better and follows what it knows more sharply.
    """
    world = np.random.default_rng(0)
    likes = 1 / (1 + np.exp(2 - 1.5 * world.standard_normal((CONTEXTS, FILMS))))
    logging = softmax(SOFT * world.standard_normal((CONTEXTS, FILMS)))
    judged = softmax(SHARP * (2 * likes + 0.5 * world.standard_normal((CONTEXTS, FILMS))))
    truth = float((judged * likes).sum(1).mean())
    for seed in range(logs):
        drawn = np.random.default_rng(seed + 1)
        who = drawn.integers(CONTEXTS, size=LINES)
        film = (drawn.random((LINES, 1)) < logging[who].cumsum(1)).argmax(1)
        reward = (drawn.random(LINES) < likes[who, film]).astype(float)
        told = (reward, logging[who, film], judged[who, film])
        yield _line(estimator, told, truth), {}


def _line(estimator: str, told: tuple[np.ndarray, np.ndarray, np.ndarray], truth: float) -> dict[str, float]:
    if estimator == "naive":
        value, effective, inside = naive(told[0]), float(LINES), 0.0
    else:
        by = self_normalised if estimator.startswith("SNIPS") else inverse_propensity
        found = by(*told, CLIP) if estimator.endswith("clipped") else by(*told)
        value, effective = found.value, found.effective
        inside = float(abs(value - truth) <= 1.96 * found.deviation)
    error = value - truth
    return {
        "estimate": value,
        "truth": truth,
        "error": error,
        "squared": error**2,
        "effective": effective,
        "covered": inside,
    }
