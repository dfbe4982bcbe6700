"""What others liked: popularity, item neighbours, EASE, SVD. All score every film for every user.

u users · i films · d width
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

Scores = Float[np.ndarray, "u i"]


def popularity(likes: csr_matrix) -> Float[np.ndarray, " i"]:
    """How many users liked each film."""
    counts: Float[np.ndarray, " i"] = np.asarray(likes.sum(0), np.float64).ravel()
    return counts


@dataclass(frozen=True)
class Similar:
    """A model that is a matrix of weights between films: scores are a user's likes times it.

    Attributes:
        weights: From a liked film (row) to the scored one (column); its diagonal is 0.
    """

    weights: Float[np.ndarray, "i i"]

    def score(self, likes: csr_matrix) -> Scores:
        """Scores of every film for these users, whether they were learned from or not: a new user needs no training."""
        return np.asarray(likes @ self.weights)


def ease(likes: csr_matrix, penalty: float = 500.0, counts: Float[np.ndarray, "i i"] | None = None) -> Similar:
    """EASE: the linear autoencoder with a zero diagonal, in closed form.

    B = I − P · diag(1 / P_jj), with P = (XᵀX + λI)⁻¹, which minimises |X − XB|² + λ|B|² where diag(B) = 0.

    Args:
        likes: X, ones where a user liked a film.
        penalty: λ > 0.
        counts: XᵀX, if it is known already (a live catalogue keeps it).

    Source: Steck 2019, "Embarrassingly shallow autoencoders for sparse data", eq. 8.
    """
    gram = np.asarray((likes.T @ likes).todense() if counts is None else counts, np.float64)
    inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Similar(weights)


def neighbours(likes: csr_matrix, keep: int = 100, shrink: float = 20.0) -> Similar:
    """Item neighbours: cosine of the columns of likes, shrunk towards 0 where few liked both, the best `keep` a film.

    s_jk = |U_j ∩ U_k| / (√(|U_j| · |U_k|) + shrink); of equal ones the lower film stays.

    Source: Sarwar et al. 2001, "Item-based collaborative filtering"; shrinkage after Bell and Koren 2007, §3.
    """
    both = np.asarray((likes.T @ likes).todense(), np.float64)
    counts = np.diag(both)
    similar = both / np.maximum(np.sqrt(np.outer(counts, counts)) + shrink, 1e-12)
    np.fill_diagonal(similar, 0.0)
    order = np.argsort(-similar, axis=0, kind="stable")
    dropped = order[min(keep, len(similar)) :]
    np.put_along_axis(similar, dropped, 0.0, axis=0)
    return Similar(similar)


def svd(likes: csr_matrix, width: int = 40) -> Similar:
    """PureSVD: likes projected on the `width` strongest directions of films.

    Source: Cremonesi, Koren and Turrin 2010, §3.3.
    """
    kept = min(width, min(likes.shape) - 1)
    start = np.random.default_rng(0).standard_normal(min(likes.shape))
    _, _, right = svds(likes.astype(np.float64), k=kept, v0=start)
    return Similar(right.T @ right)
