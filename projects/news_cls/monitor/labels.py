"""Have the topics' shares changed, or what articles of a topic are like? Label shift is not input drift.

If only the shares p(y) changed and p(x | y) did not, the classifier's own confusion tells the new shares from what it
says of unlabelled articles; and a reference that is drawn with these shares looks like the batch. If it does not, the
articles themselves are others.

k topics · n reference · m batch
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2_contingency

from projects.news_cls.monitor.drift import Tested, classifier_test

Verdict = Literal["none", "label shift", "input drift"]


def estimate_weights(
    labels: Int[np.ndarray, " n"], said: Int[np.ndarray, " n"], batch_said: Int[np.ndarray, " m"], topics: int
) -> Float[np.ndarray, " k"]:
    """w(y) = q(y) / p(y): how much more often each topic comes now.

    Solves C w = μ with C[i, j] = p(said i, is j) of the reference and μ[i] = q(said i) of the batch, by least squares;
    what is negative becomes 0. Source: Lipton et al. 2018, "Detecting and correcting for label shift with black box
    predictors", eq. 2.

    Args:
        labels: True topics of the reference, whose articles the classifier was not trained on.
        said: What it says of them.
        batch_said: What it says of the batch.
        topics: How many there are.
    """
    joint = np.zeros((topics, topics))
    np.add.at(joint, (said, labels), 1 / len(labels))
    shares = np.bincount(batch_said, minlength=topics) / len(batch_said)
    weights, *_ = np.linalg.lstsq(joint, shares, rcond=1e-3)
    weights = np.clip(weights, 0, None)
    mean = (weights * np.bincount(labels, minlength=topics)).sum() / len(labels)
    return weights / mean if mean > 0 else np.ones(topics)


def shares_test(said: Int[np.ndarray, " n"], batch_said: Int[np.ndarray, " m"], topics: int) -> Tested:
    """χ² of the predicted topics of reference and batch; the effect is their total variation distance."""
    table = np.stack([np.bincount(each, minlength=topics) for each in (said, batch_said)])
    table = table[:, table.sum(0) > 0]
    shares = table / table.sum(1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if table.shape[1] < 2:
        return Tested(1.0, distance)
    return Tested(float(chi2_contingency(table, correction=False).pvalue), distance)


@dataclass(frozen=True)
class Diagnosis:
    """What changed.

    Attributes:
        weights: Estimated q(y) / p(y).
        shares: Test of the predicted topics.
        articles: Test of the articles against a reference of the estimated shares.
    """

    verdict: Verdict
    weights: Float[np.ndarray, " k"]
    shares: Tested
    articles: Tested


def diagnose(
    reference: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    said: Int[np.ndarray, " n"],
    batch: Float[np.ndarray, "m d"],
    batch_said: Int[np.ndarray, " m"],
    *,
    topics: int,
    seed: int,
    alpha: float = 0.05,
) -> Diagnosis:
    """Tell label shift from input drift; each of its two tests has half of α, so that all is at most α.

    The reference is drawn again with the estimated shares, without replacement, before the articles are compared.
    """
    weights = estimate_weights(labels, said, batch_said, topics)
    shares = shares_test(said, batch_said, topics)
    source = np.random.default_rng([seed, 3])
    chance = weights[labels] if shares.alarm(alpha / 2) else np.ones(len(labels))
    # Each is kept with a chance that grows with its weight (thinning), so that none comes twice.
    kept = source.random(len(labels)) < chance / chance.max()
    articles = classifier_test(reference[kept], batch, seed) if kept.sum() >= 20 else Tested(1.0, 0.5)
    if articles.alarm(alpha / 2):
        return Diagnosis("input drift", weights, shares, articles)
    return Diagnosis("label shift" if shares.alarm(alpha / 2) else "none", weights, shares, articles)
