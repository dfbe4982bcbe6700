"""What dislikes are good for: liked films above disliked ones, without losing the first ten."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import csr_matrix

from projects.movie_recs.analysis.protocol import Judged, items, sides
from projects.movie_recs.data.ratings import Division
from projects.movie_recs.evaluate import auc, ranked
from projects.movie_recs.recommend.collaborative import Scores, ease
from projects.movie_recs.recommend.dislikes import fit_stars, held_back, rocchio, signed_ease
from shared.study import Item

MOST_LOST = 0.003
"""nDCG@10 that a way of using dislikes may cost on validation."""
GAMMAS = (0.1, 0.25, 0.5, 1.0)
DELTAS = (0.02, 0.05, 0.1, 0.2)
PAIRS = ((0.25, 0.05), (0.5, 0.05), (0.25, 0.1), (0.5, 0.1))
ARMS = ("likes alone", "Rocchio", "signed EASE", "held back", "signed and held back")


def scorers(
    penalty: float,
) -> dict[str, tuple[Callable[[Judged], Callable[..., Scores]], tuple[tuple[float, ...], ...]]]:
    """Arm → (learns, and then scores by its settings), and its settings."""

    def alone(side: Judged) -> Callable[..., Scores]:
        scores = ease(side.known.likes(), penalty).score(side.known.likes())
        return lambda: scores

    def by_rocchio(side: Judged) -> Callable[..., Scores]:
        model = ease(side.known.likes(), penalty)
        return lambda gamma: rocchio(model, side.known.likes(), side.known.dislikes(), gamma)

    def by_sign(side: Judged) -> Callable[..., Scores]:
        model = signed_ease(side.known.likes(), side.known.dislikes(), penalty)
        return lambda gamma: model.score(side.known.likes(), side.known.dislikes(), gamma)

    def by_stars(side: Judged) -> Callable[..., Scores]:
        scores, stars = alone(side)(), fit_stars(side.known).score(side.known)
        return lambda delta: held_back(scores, stars, delta)

    def by_both(side: Judged) -> Callable[..., Scores]:
        sign, stars = by_sign(side), fit_stars(side.known).score(side.known)
        return lambda gamma, delta: held_back(sign(gamma), stars, delta)

    single = tuple((gamma,) for gamma in GAMMAS), tuple((delta,) for delta in DELTAS)
    return {
        "likes alone": (alone, ((),)),
        "Rocchio": (by_rocchio, single[0]),
        "signed EASE": (by_sign, single[0]),
        "held back": (by_stars, single[1]),
        "signed and held back": (by_both, PAIRS),
    }


def apart(side: Judged, scores: Scores, disliked: csr_matrix) -> np.ndarray:
    """AUC of later likes over later dislikes for each judged user; NaN for who lacks either or has no dislike yet."""
    before = side.known.dislikes()
    found = np.full(len(scores), np.nan)
    for user in np.flatnonzero(side.who):
        liked, not_liked = side.wanted[user].indices, disliked[user].indices
        if len(liked) and len(not_liked) and before[user].nnz:
            found[user] = auc(scores[user], liked, not_liked)
    return found[side.who]


def compare(arm: str, division: Division, penalty: float) -> Iterator[Item]:
    """A line a user: nDCG@10, AUC, and disliked films among the first ten, with the setting chosen on validation."""
    validation, test = sides(division)
    learn, settings = scorers(penalty)[arm]
    scored = learn(validation)
    base = validation.quality(scorers(penalty)["likes alone"][0](validation)())
    later = division.validation.dislikes()
    allowed = [told for told in settings if validation.quality(scored(*told)) >= base - MOST_LOST] or settings[:1]
    chosen = max(allowed, key=lambda told: float(np.nanmean(apart(validation, scored(*told), later))))
    scores = learn(test)(*chosen)
    unwanted = division.test.dislikes()
    lists = ranked(scores, 10, test.known.matrix())
    shown = np.take_along_axis(unwanted.toarray(), lists, axis=1)[test.who].sum(1)
    measures = {"ndcg": test.ndcg(scores), "auc": apart(test, scores, unwanted), "disliked_shown": shown}
    return items(measures, {"setting": chosen, "tried": len(settings)})
