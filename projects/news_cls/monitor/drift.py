"""Has what comes in changed? Two-sample tests whose false alarms are as many as was asked for.

Each test takes a reference and a batch and returns a p-value; an alarm is p ≤ α. The level holds at every size, since
nothing is assumed of the data but that without drift the two are exchangeable. In large batches everything is drift to
a test that only asks "the same?": `effect` says how large it is.

n reference · m batch · d width
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import ks_2samp, mannwhitneyu
from sklearn.linear_model import LogisticRegression

PERMUTATIONS = 199


@dataclass(frozen=True)
class Tested:
    """Result of a test.

    Attributes:
        p: Chance of such a statistic without drift.
        effect: Held-out AUC of a classifier, MMD², or KS distance: how far apart, whatever the sizes.
    """

    p: float
    effect: float

    def alarm(self, alpha: float = 0.05) -> bool:
        """Whether drift is claimed."""
        return self.p <= alpha


def classifier_test(reference: Float[np.ndarray, "n d"], batch: Float[np.ndarray, "m d"], seed: int) -> Tested:
    """Train a classifier to tell them apart on one half, ask on the other whether it can.

    The held-out scores are compared by ranks (Mann–Whitney), which is exact under exchangeability where accuracy would
    be coarse. Source: Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests", §3.
    """
    source = np.random.default_rng([seed, 1])  # a stream of its own: the caller may have drawn by the same seed
    halves = [source.permutation(len(each)) for each in (reference, batch)]
    learn, ask = [], []
    for each, order in zip((reference, batch), halves, strict=True):
        middle = len(order) // 2
        learn.append(each[order[:middle]])
        ask.append(each[order[middle:]])
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
    model.fit(np.concatenate(learn), np.repeat([0, 1], [len(each) for each in learn]))
    old, new = (model.decision_function(each) for each in ask)
    found = mannwhitneyu(new, old, alternative="greater")
    return Tested(float(found.pvalue), float(found.statistic) / (len(old) * len(new)))


def mmd_test(
    reference: Float[np.ndarray, "n d"], batch: Float[np.ndarray, "m d"], seed: int, permutations: int = PERMUTATIONS
) -> Tested:
    """Kernel distance of the two samples against that of random divisions of both together.

    Gaussian kernel, width by the median distance. p = (1 + #{≥}) / (1 + permutations) is exact at every size.
    Source: Gretton et al. 2012, "A kernel two-sample test", lemma 6 (unbiased statistic); Phipson and Smyth 2010.
    """
    both = np.concatenate([reference, batch]).astype(np.float64)
    squares = (both**2).sum(1)
    distance = np.maximum(squares[:, None] + squares[None, :] - 2 * both @ both.T, 0)
    kernel = np.exp(-distance / np.median(distance[np.triu_indices(len(both), 1)]))
    np.fill_diagonal(kernel, 0)
    first = np.zeros(len(both), dtype=bool)
    first[: len(reference)] = True
    own = _mmd2(kernel, first)
    source = np.random.default_rng([seed, 2])
    others = [_mmd2(kernel, first[source.permutation(len(both))]) for _ in range(permutations)]
    return Tested((1 + sum(other >= own for other in others)) / (1 + permutations), own)


def _mmd2(kernel: Float[np.ndarray, "s s"], first: Bool[np.ndarray, " s"]) -> float:
    """Unbiased MMD² of a kernel matrix with zeros on its diagonal."""
    sign = first.astype(np.float64)
    n, m = sign.sum(), (1 - sign).sum()
    within = sign @ kernel  # sums over the reference, for every row
    total = kernel.sum(1)
    old, cross = within @ sign, within @ (1 - sign)
    new = (total - within) @ (1 - sign)
    return float(old / (n * (n - 1)) + new / (m * (m - 1)) - 2 * cross / (n * m))


def confidence_test(reference: Float[np.ndarray, " n"], batch: Float[np.ndarray, " m"]) -> Tested:
    """Kolmogorov–Smirnov on the largest probability: needs no embeddings, and sees only what moves it."""
    found = ks_2samp(reference, batch)
    return Tested(float(found.pvalue), float(found.statistic))
