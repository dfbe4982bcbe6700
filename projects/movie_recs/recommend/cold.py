"""Films that nobody has rated: what their text, genres and people say of who would like them.

u users · w films with ratings (warm) · c films without (cold) · d features
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.data.films import Film
from projects.movie_recs.embeddings.vectors import Transform, unit, whitening

YEARS = np.arange(1900, 2025, 5)
YEAR_WIDTH = 8.0  # years over which films are near in time


def joined_features(fields: Mapping[str, Float[np.ndarray, "n _"]], weights: Mapping[str, float]) -> np.ndarray:
    """Fields side by side, each of length 1 times the root of its weight: an inner product is Σ weight · cosine."""
    told = [np.sqrt(weight) * unit(np.asarray(fields[name], np.float64)) for name, weight in weights.items() if weight]
    return np.concatenate(told, axis=1)


def nearest(
    likes: csr_matrix, warm: Float[np.ndarray, "w d"], cold: Float[np.ndarray, "c d"]
) -> Float[np.ndarray, "u c"]:
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
        features: Those of the warm films, a constant beside them.

    Source: Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", with a ridge
    in closed form as the mapping and EASE's scores as what is mapped to.
    """

    inverse: Float[np.ndarray, "w w"]
    features: Float[np.ndarray, "w d"]

    def weights(self, cold: Float[np.ndarray, "c d"]) -> Float[np.ndarray, "w c"]:
        """A of each cold film."""
        found: Float[np.ndarray, "w c"] = self.inverse @ (self.features @ with_constant(cold).T)
        return found

    def score(self, warm_scores: Float[np.ndarray, "u w"], cold: Float[np.ndarray, "c d"]) -> Float[np.ndarray, "u c"]:
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


@dataclass(frozen=True)
class Describer:
    """A film's features for the head, as a live catalogue needs them: what was fitted on some films describes others.

    Attributes:
        whiten: How the text's vectors are whitened.
        genres: Column of each genre; a genre that is not there says nothing.
        people: Column of each person that two films name, with his weight.
        weights: What text, genres, people and years count.
    """

    whiten: Transform
    genres: Mapping[str, int]
    people: Mapping[str, tuple[int, float]]
    weights: Mapping[str, float]

    def __call__(self, films: Sequence[Film], vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n _"]:
        """Features (n, text + genres + people + years) of films with these text vectors."""
        kinds = np.zeros((len(films), len(self.genres)))
        named = np.zeros((len(films), len(self.people)))
        for row, film in enumerate(films):
            kinds[row, [self.genres[each] for each in film.genres if each in self.genres]] = 1
            for name in film.people:
                if name in self.people:
                    column, weight = self.people[name]
                    named[row, column] = weight
        fields = {"text": self.whiten(vectors), "genres": kinds, "people": named, "years": years(films)}
        return joined_features(fields, self.weights)


def describer(films: Sequence[Film], vectors: Float[np.ndarray, "n d"], weights: Mapping[str, float]) -> Describer:
    """Fitted on these films."""
    counts = Counter(name for film in films for name in set(film.people))
    shared = sorted(name for name, count in counts.items() if count > 1)
    return Describer(
        whitening(vectors),
        {name: column for column, name in enumerate(sorted({genre for film in films for genre in film.genres}))},
        {name: (column, counts[name] ** -0.5) for column, name in enumerate(shared)},
        weights,
    )


def years(films: Sequence[Film]) -> Float[np.ndarray, "n _"]:
    """Nearness in time to each fifth year: a bump of YEAR_WIDTH years; 0 for a film whose year is unknown."""
    told = np.array([film.year for film in films], float)
    return np.where(told[:, None] > 0, np.exp(-0.5 * ((told[:, None] - YEARS) / YEAR_WIDTH) ** 2), 0.0)
