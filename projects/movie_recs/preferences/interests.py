"""A person's taste as several directions, not one mean: spherical k-means over what was liked.

n liked films · d width · c interests
"""

import numpy as np
from jaxtyping import Float

from projects.movie_recs.embeddings.vectors import unit

MOST_INTERESTS = 4
FEWEST_A_CLUSTER = 3
ROUNDS = 20


def interests(liked: Float[np.ndarray, "n d"], most: int = MOST_INTERESTS) -> Float[np.ndarray, "c d"]:
    """Centres of length 1, at most one for every FEWEST_A_CLUSTER films; none if nothing is liked.

    Starts from films that are far apart (the first liked, then each time the one farthest from those taken), so that
    the same likes give the same interests.

    Source: Dhillon and Modha 2001, "Concept decompositions" (spherical k-means).
    """
    told = liked[liked.any(1)] if len(liked) else liked
    if not len(told):
        return np.zeros((0, liked.shape[1]), np.float32)
    count = max(1, min(most, len(told) // FEWEST_A_CLUSTER))
    centres = told[:1]
    while len(centres) < count:
        farthest = int(np.argmin((told @ centres.T).max(1)))
        centres = np.concatenate([centres, told[farthest : farthest + 1]])
    for _ in range(ROUNDS):
        nearest = np.argmax(told @ centres.T, axis=1)
        sums = np.stack([told[nearest == c].sum(0) if (nearest == c).any() else centres[c] for c in range(count)])
        moved = unit(sums)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    different = [n for n, centre in enumerate(centres) if not (centres[:n] == centre).all(1).any()]
    found: Float[np.ndarray, "c d"] = centres[different]
    return found


def taste(
    liked: Float[np.ndarray, "n d"], disliked: Float[np.ndarray, "m d"], gamma: float = 0.25, most: int = MOST_INTERESTS
) -> Float[np.ndarray, "c d"]:
    """Interests moved away from the mean of what was disliked, by γ. Source: Rocchio 1971."""
    centres = interests(liked, most)
    away = disliked[disliked.any(1)] if len(disliked) else disliked
    if not len(centres) or not len(away):
        return centres
    return unit(centres - gamma * away.mean(0))


def nearness(centres: Float[np.ndarray, "c d"], films: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Each film's cosine to the interest that it is nearest to; 0 if there is none."""
    if not len(centres):
        return np.zeros(len(films), np.float32)
    nearest: Float[np.ndarray, " n"] = (films @ centres.T).max(1)
    return nearest
