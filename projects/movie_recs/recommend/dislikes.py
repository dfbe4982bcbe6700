"""What a dislike is worth: Rocchio, EASE of likes and dislikes together, and predicted stars.

u users · i films
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.data.ratings import Ratings
from projects.movie_recs.recommend.collaborative import Scores, Similar, ease

PRIOR_RATINGS = 5.0  # of a user, at the mean of all
PRIOR_USERS = 10.0  # of a film, at no deviation


def rocchio(model: Similar, likes: csr_matrix, dislikes: csr_matrix, gamma: float) -> Scores:
    """Scores of the likes, less γ times those that the dislikes would give if they were likes.

    Source: Rocchio 1971, with item weights in the place of term vectors.
    """
    return model.score(likes) - gamma * model.score(dislikes)


@dataclass(frozen=True)
class SignedEase:
    """EASE over twice as many columns: of film i the column 2i says that it was liked, 2i + 1 that it was disliked.

    What a like or a dislike says of the likes and of the dislikes to come is learned in one closed form; a list is
    ordered by the predicted like less γ times the predicted dislike.

    Attributes:
        model: Weights of (2i, 2i).
    """

    model: Similar

    def score(self, likes: csr_matrix, dislikes: csr_matrix, gamma: float) -> Scores:
        """Scores of every film for these users."""
        both = self.model.score(signed(likes, dislikes))
        return both[:, 0::2] - gamma * both[:, 1::2]


def signed(likes: csr_matrix, dislikes: csr_matrix) -> csr_matrix:
    """Likes and dislikes side by side, film by film: (u, 2i). A film that comes later adds two columns at the end."""
    liked, disliked = likes.tocoo(), dislikes.tocoo()
    rows, columns = np.concatenate([liked.row, disliked.row]), np.concatenate([2 * liked.col, 2 * disliked.col + 1])
    values = np.concatenate([liked.data, disliked.data])
    return csr_matrix((values, (rows, columns)), shape=(likes.shape[0], 2 * likes.shape[1]))


def signed_ease(likes: csr_matrix, dislikes: csr_matrix, penalty: float) -> SignedEase:
    """Learn from both matrices (u, i)."""
    return SignedEase(ease(signed(likes, dislikes), penalty))


@dataclass(frozen=True)
class Stars:
    """Predicted deviation of a user's stars from his own mean: the film's bias, and what his other stars say.

    Attributes:
        bias: One a film, shrunk.
        weights: Between films, of what is left; zero diagonal.
        mean: Mean of all stars.
    """

    bias: Float[np.ndarray, " i"]
    weights: Similar
    mean: float

    def score(self, ratings: Ratings) -> Scores:
        """Deviations in stars, for every user of these ratings and every film."""
        return np.asarray(self._left(ratings) @ self.weights.weights) + self.bias

    def _left(self, ratings: Ratings) -> csr_matrix:
        left = deviations(ratings, self.mean)
        left.data = left.data - self.bias[left.indices]
        return left


def deviations(ratings: Ratings, mean: float) -> csr_matrix:
    """Stars less the user's own mean, which is shrunk towards the mean of all: (u, i), a rating a stored value."""
    shape = (ratings.users, ratings.films)
    stars = csr_matrix((ratings.stars.astype(np.float64), (ratings.user, ratings.film)), shape=shape)
    counts = np.diff(stars.indptr)
    own = (np.asarray(stars.sum(1)).ravel() + PRIOR_RATINGS * mean) / (counts + PRIOR_RATINGS)
    stars.data = stars.data - np.repeat(own, counts)
    return stars


def fit_stars(ratings: Ratings, penalty: float = 200.0) -> Stars:
    """Learn biases and weights from ratings of every kind."""
    mean = float(ratings.stars.mean()) if len(ratings) else 0.0
    left = deviations(ratings, mean)
    counts = np.bincount(ratings.film, minlength=ratings.films)
    bias = np.asarray(left.sum(0)).ravel() / (counts + PRIOR_USERS)
    centred = left.copy()
    centred.data = centred.data - bias[centred.indices]
    return Stars(bias, ease(centred, penalty), mean)


def held_back(scores: Scores, stars: Scores, delta: float) -> Scores:
    """Scores less δ for each star by which a film is predicted to fall below the user's mean; others keep theirs."""
    return scores + delta * np.minimum(stars, 0.0)
