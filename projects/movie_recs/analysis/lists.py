"""How varied lists are: MMR at several λ, against the order of relevance."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from projects.movie_recs.analysis.protocol import sides
from projects.movie_recs.data.ratings import Division
from projects.movie_recs.evaluate import coverage, list_diversity, novelty, ranked
from projects.movie_recs.recommend.collaborative import ease
from projects.movie_recs.recommend.diversity import mmr, scaled
from shared.study import Item

TRADES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
POOL = 50
"""Films from the head of the order of relevance that a list is chosen from."""
PLACES = 10


def compare(
    trade: float,
    division: Division,
    vectors: Float[np.ndarray, "n d"],
    others: Mapping[str, Float[np.ndarray, "n _"]],
    penalty: float,
    test: bool = True,
) -> Iterator[Item]:
    """A line a user: nDCG@10, diversity and novelty of the list at this λ; coverage of all lists is kept.

    Args:
        vectors: What MMR compares, and diversity is measured in.
        others: Further vectors, by name, that diversity is measured in: those that MMR does not look at.
    """
    side = sides(division)[test]
    likes, known = side.known.likes(), side.known.matrix()
    scores = ease(likes, penalty).score(likes)
    pools = ranked(scores, POOL, known)
    discounts = 1 / np.log2(np.arange(2, PLACES + 2))
    counts = np.asarray(known.sum(0)).ravel()
    lists, lines = [], []
    for user in np.flatnonzero(side.who):
        pool = pools[user]
        chosen = pool[mmr(scaled(scores[user, pool]), vectors[pool], PLACES, trade)]
        hits = side.wanted[user].toarray().ravel()[chosen] > 0
        ideal = discounts[: min(PLACES, side.wanted[user].nnz)].sum()
        lists.append(chosen)
        lines.append({"ndcg": float(hits @ discounts / ideal), "diversity": list_diversity(vectors[chosen])})
        lines[-1] |= {f"diversity_{name}": list_diversity(each[chosen]) for name, each in others.items()}
    told = np.stack(lists)
    surprise, covered = novelty(told, counts, side.known.users), coverage(told, side.known.films)
    for number, line in enumerate(lines):
        yield {**line, "novelty": float(surprise[number])}, {"coverage": covered} if number == 0 else {}
