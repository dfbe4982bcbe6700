"""Films by a description in somebody's own words.

n films · d width
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from projects.movie_recs.embeddings.vectors import TextVectors, Transform, centring


@dataclass(frozen=True)
class SearchWeights:
    """What a film's parts weigh: its whole text, the mean of its sentences, the sentence that fits best."""

    whole: float = 1.0
    pooled: float = 0.0
    best: float = 0.0


@dataclass(frozen=True)
class Searched:
    """Texts of films, ready to be searched by one encoder.

    Attributes:
        films: Vectors of whole, pooled and single sentences.
        centre: Taken away from what is searched and from what is asked.
        weights: What each kind of nearness counts.
    """

    films: TextVectors
    centre: Transform
    weights: SearchWeights

    def score(self, query: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
        """How well each film's text fits; a film without text gets what the mean of all gets."""
        asked = self.centre(query[None])[0]
        scores = self.weights.whole * (self.centre(self.films.whole) @ asked)
        scores = scores + self.weights.pooled * (self.centre(self.films.pooled) @ asked)
        if self.weights.best:
            scores = scores + self.weights.best * self.best(asked)
        return np.asarray(scores)

    def best(self, asked: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
        """Cosine of the nearest sentence of each film; 0 without sentences."""
        single = self.centre(self.films.sentences) @ asked
        starts = self.films.starts
        pairs = pairwise(starts)
        return np.array([single[first:last].max() if last > first else 0.0 for first, last in pairs])


def searched(films: TextVectors, weights: SearchWeights) -> Searched:
    """Centred on the films' own sentences, which are what a description is most like."""
    return Searched(films, centring(films.sentences if len(films.sentences) else films.whole), weights)


def place_of(scores: Float[np.ndarray, " n"], film: int) -> int:
    """Place, from 1, of a film in the order of falling scores; of equal ones the lower film stands first."""
    above = (scores > scores[film]).sum() + (scores[:film] == scores[film]).sum()
    return int(above) + 1
