"""Films that nobody has rated: what their text, genres and people say of who would like them.

u users · w films with ratings (warm) · c films without (cold) · d features
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.embeddings.vectors import unit
from projects.movie_recs.recommend.collaborative import Scores


def joined_features(fields: Mapping[str, Float[np.ndarray, "n _"]], weights: Mapping[str, float]) -> np.ndarray:
    """Fields side by side, each of length 1 times the root of its weight: an inner product is Σ weight · cosine."""
    told = [np.sqrt(weight) * unit(np.asarray(fields[name], np.float64)) for name, weight in weights.items() if weight]
    return np.concatenate(told, axis=1)


def nearest(likes: csr_matrix, warm: Float[np.ndarray, "w d"], cold: Float[np.ndarray, "c d"]) -> Scores:
    """Sum over a user's liked films of their inner products with each cold film: no training."""
    return np.asarray(likes @ (warm @ cold.T))


@dataclass(frozen=True)
class Head:
    """Kernel ridge from a film's features to what each user's scores of the warm films were.

    A cold film's score is Σ_w a_w · score_w with a = (K + λI)⁻¹ k, where K are inner products of the warm films'
    features and k those with the cold film: a column of the collaborative model, predicted from content. What makes a
    film liked by many is learned with the rest, since scores are not centred.

    Attributes:
        inverse: (K + λI)⁻¹.
        features: Of the warm films, a constant beside them.

    Source: Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", with a ridge
    in closed form as the mapping and EASE's scores as what is mapped to.
    """

    inverse: Float[np.ndarray, "w w"]
    features: Float[np.ndarray, "w d"]

    def weights(self, cold: Float[np.ndarray, "c d"]) -> Float[np.ndarray, "w c"]:
        """a of each cold film."""
        found: Float[np.ndarray, "w c"] = self.inverse @ (self.features @ with_constant(cold).T)
        return found

    def score(self, warm_scores: Scores, cold: Float[np.ndarray, "c d"]) -> Scores:
        """Scores (u, c) from those of the warm films (u, w)."""
        return np.asarray(warm_scores @ self.weights(cold))


def with_constant(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n _"]:
    """A column of ones beside the features: what all films have in common."""
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def fit_head(warm: Float[np.ndarray, "w d"], penalty: float) -> Head:
    """Prepare the ridge for these warm films; nothing else has to be learned."""
    features = with_constant(np.asarray(warm, np.float64))
    gram = features @ features.T
    return Head(np.linalg.inv(gram + penalty * np.eye(len(gram))), features)
