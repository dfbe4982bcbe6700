"""Measures of a ranking of the whole catalogue, by their definitions.

u users · i films · k places of a list
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

Measure = Callable[[Float[np.ndarray, "u i"], csr_matrix, csr_matrix], Float[np.ndarray, " u"]]


def ranked(scores: Float[np.ndarray, "u i"], k: int, barred: csr_matrix | None = None) -> Int[np.ndarray, "u k"]:
    """The k best films of each user, best first; of equal scores the lower film, so that a tie has one outcome.

    Args:
        scores: One a film.
        k: At most as many as there are films.
        barred: Nonzero where a film must not be shown: what the user has seen. Barred films come last, where k reaches
            them; a list for people cuts them off.
    """
    scores = np.array(scores, np.float64)
    if barred is not None:
        scores[barred.nonzero()] = -np.inf
    k = min(k, scores.shape[1])
    order: Int[np.ndarray, "u k"] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order


def ndcg(scores: Float[np.ndarray, "u i"], wanted: csr_matrix, barred: csr_matrix, k: int = 10) -> np.ndarray:
    """nDCG@k of each user: Σ 1/log₂(place + 1) over the wanted films in the first k, over what the best list has.

    NaN for a user who wants nothing. Source: Järvelin and Kekäläinen 2002, with gains of 0 and 1.
    """
    lists = ranked(scores, k, barred)
    hits = np.take_along_axis(wanted.toarray(), lists, axis=1) > 0
    discounts = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    counts = np.asarray((wanted > 0).sum(1)).ravel()
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(counts, lists.shape[1])]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (hits @ discounts) / ideal


def recall(scores: Float[np.ndarray, "u i"], wanted: csr_matrix, barred: csr_matrix, k: int = 20) -> np.ndarray:
    """Share of a user's wanted films among the first k; NaN for a user who wants nothing."""
    hits = np.take_along_axis(wanted.toarray(), ranked(scores, k, barred), axis=1) > 0
    counts = np.asarray((wanted > 0).sum(1)).ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits.sum(1) / counts


def auc(scores: Float[np.ndarray, " i"], liked: Int[np.ndarray, " a"], disliked: Int[np.ndarray, " b"]) -> float:
    """Probability that a liked film is scored above a disliked one; a tie counts half."""
    above = scores[liked][:, None] - scores[disliked][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def list_diversity(vectors: Float[np.ndarray, "k d"]) -> float:
    """Mean of 1 − cosine over the pairs of a list; vectors have length 1. Source: Ziegler et al. 2005, eq. 5."""
    k = len(vectors)
    if k < 2:
        return 0.0
    return float(1 - ((vectors @ vectors.T).sum() - np.einsum("kd,kd->", vectors, vectors)) / (k * (k - 1)))


def novelty(lists: Int[np.ndarray, "u k"], counts: Float[np.ndarray, " i"], users: int) -> Float[np.ndarray, " u"]:
    """Mean over each list of −log₂ of the share of users who rated the film; a film nobody rated counts as one user's.

    Source: Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma".
    """
    bits = -np.log2(np.maximum(counts, 1) / users)
    return np.asarray(bits[lists].mean(1))


def coverage(lists: Int[np.ndarray, "u k"], films: int) -> float:
    """Share of the catalogue that is in somebody's list."""
    return len(np.unique(lists)) / films


def with_wishes(wanted: csr_matrix, known: csr_matrix) -> Bool[np.ndarray, " u"]:
    """Users who want something, and of whom a like is known."""
    return np.asarray(wanted.sum(1) > 0).ravel() & np.asarray(known.sum(1) > 0).ravel()
