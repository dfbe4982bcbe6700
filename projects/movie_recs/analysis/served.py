"""The weights of the parts of a list, as the service makes it: learned on validation, beside those set by hand."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from projects.movie_recs.analysis.protocol import Judged, items, sides
from projects.movie_recs.data.ratings import Division
from projects.movie_recs.embeddings.vectors import centring
from projects.movie_recs.preferences.interests import nearness, taste
from projects.movie_recs.recommend.blend import blended, learned_weights, standardised
from projects.movie_recs.recommend.collaborative import Scores, popularity
from projects.movie_recs.recommend.dislikes import signed_ease
from projects.movie_recs.recommend.engine import Parts
from shared.study import Item

PARTS = ("ratings", "text", "popular")
ARMS = ("learned", "set by hand", "ratings alone")


def parts(
    side: Judged, vectors: Float[np.ndarray, "n d"], penalty: float, gamma: float, away: float
) -> dict[str, Scores]:
    """What each part of `Engine` says of each film for each user, on the scale of the films that he has not seen."""
    likes, dislikes, known = side.known.likes(), side.known.dislikes(), side.known.matrix()
    ready = centring(vectors)(vectors)
    text = np.zeros(likes.shape)
    for user in np.flatnonzero(side.who):
        text[user] = nearness(taste(ready[likes[user].indices], ready[dislikes[user].indices], away), ready)
    told = {
        "ratings": signed_ease(likes, dislikes, penalty).score(likes, dislikes, gamma),
        "text": text,
        "popular": np.broadcast_to(np.log1p(popularity(likes)), likes.shape),
    }
    return {name: standardised(scores, known) for name, scores in told.items()}


def compare(division: Division, vectors: Float[np.ndarray, "n d"], penalty: float, gamma: float) -> Iterator[Item]:
    """nDCG@10 of each user of the test with each choice of weights; the learned weights stand in the first line."""
    by_hand = Parts()
    validation, test = sides(division)
    given = (vectors, penalty, gamma, by_hand.gamma)
    learned = learned_weights(parts(validation, *given), validation.quality)
    weights = dict(
        zip(ARMS, (learned, {name: getattr(by_hand, name) for name in PARTS}, {"ratings": 1.0}), strict=True)
    )
    shown = parts(test, *given)
    lines = items({arm: test.ndcg(blended(shown, told)) for arm, told in weights.items()}, {})
    named = {f"{arm}: {name}": told.get(name, 0.0) for arm, told in weights.items() for name in PARTS}
    for number, (metrics, kept) in enumerate(lines):
        yield (metrics | named if number == 0 else metrics), kept
