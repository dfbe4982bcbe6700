"""Millions of ratings: ALS of the package `implicit` behind the interface of recommend/collaborative.py.

EASE and neighbours keep a matrix of films by films; factors grow with users and films alone.

u users · i films · f factors
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from projects.movie_recs.recommend.collaborative import Scores
from shared.errors import UserError


@dataclass(frozen=True)
class Factors:
    """A trained model of implicit.

    Attributes:
        model: Has factors of films, and solves for those of a user from his likes.
    """

    model: Any

    def score(self, likes: csr_matrix) -> Scores:
        """Scores of every film for these users, learned from or not: a new user is one least-squares solution away."""
        given = csr_matrix(likes, dtype=np.float32)
        if not given.shape[0]:
            return np.zeros(given.shape)
        own = self.model.recalculate_user(np.arange(given.shape[0]), given)  # (u,f)
        return np.asarray(own @ self.model.item_factors.T, np.float64)


def als(likes: csr_matrix, width: int = 64, penalty: float = 0.01, rounds: int = 15, seed: int = 0) -> Factors:
    """Alternating least squares on likes.

    Raises:
        UserError: If the package is missing.

    Source: Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
    """
    try:
        from implicit.als import AlternatingLeastSquares
    except ImportError:
        raise UserError("the package implicit is not installed: pip install implicit") from None
    with threadpool_limits(1, "blas"):  # it has threads of its own, and the two would wait for each other
        model = AlternatingLeastSquares(
            factors=width, regularization=penalty, iterations=rounds, random_state=seed, use_gpu=False
        )
        model.fit(csr_matrix(likes, dtype=np.float32), show_progress=False)
    return Factors(model)
