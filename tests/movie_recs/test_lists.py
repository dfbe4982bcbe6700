"""A list against its definition, written without any care for speed, whatever the engine keeps to be quick."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from projects.movie_recs.preferences.interests import taste
from projects.movie_recs.recommend import engine as engines
from projects.movie_recs.recommend.engine import Engine, Parts, Taste
from tests.movie_recs.test_recommend import naive_mmr
from tests.movie_recs.world import films

WIDTH, COUNT = 12, 90
SOMEBODY = Taste(liked=(3, 17, 40, 41), disliked=(5, 60), seen=frozenset((3, 17, 40, 41, 5, 60, 8)))


def made(seed, dense, known=COUNT):
    """An engine over random films, whose model does not know the last ones yet, and two films gone."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((COUNT, WIDTH)).astype(np.float32)
    vectors[::13] = 0  # without a text
    made = Engine(WIDTH, vectors[vectors.any(1)].mean(0), Parts())
    made.put([replace(films(3)[n % 3], id=n, title=f"T{n}") for n in range(COUNT)], vectors)
    weights = rng.standard_normal((2 * known, known)) * (rng.random((2 * known, known)) < 0.15)
    made.learn(weights if dense else csr_matrix(weights), rng.integers(0, 9, known).astype(float))
    made.remove(20)
    made.remove(21)
    return made, weights


def even(scores):
    return (scores - scores.mean()) / scores.std() if scores.std() > 1e-12 else np.zeros(len(scores))


def fetched(made, weights, who, centres):
    """Who is worth a score in a large catalogue: the popular, neighbours of likes, the nearest to each interest."""
    vectors, there = made.table.vectors[:COUNT], set(made.table.row)
    popular = np.argsort(-made.popular, kind="stable")[: engines.FETCHED].tolist()
    found = set(popular) | {f for each in who.liked for f in np.flatnonzero(weights[2 * each]).tolist()}
    for centre in centres:
        order = [int(f) for f in np.argsort(-(vectors @ centre), kind="stable") if f in there]
        found |= set(order[: engines.FETCHED // len(centres)])
    return sorted(found & there)


def plain(made, weights, who, parts, k, few):
    """(film, score, because, share) of each place."""
    vectors, raw = made.table.vectors[:COUNT], made.table.plain[:COUNT].astype(np.float32)
    centres = taste(vectors[list(who.liked)], vectors[list(who.disliked)], parts.gamma)
    rows = fetched(made, weights, who, centres) if few else sorted(made.table.row)
    rows = np.array([row for row in rows if row not in who.seen])
    known = weights.shape[1]
    told = np.zeros((2 * COUNT, COUNT))
    told[: 2 * known, :known] = weights
    opinions = [2 * film for film in who.liked] + [2 * film + 1 for film in who.disliked]
    scores = parts.popular * even(np.log1p(made.popular[rows]))
    scores = scores + parts.ratings * even(told[opinions].sum(0)[rows])
    scores = scores + parts.text * even((vectors[rows] @ centres.T).max(1))
    order = sorted(range(len(rows)), key=lambda n: (-scores[n], rows[n]))[: engines.POOL]
    pool, best = rows[order], scores[order]
    relevance = (best - best.min()) / (best.max() - best.min())
    places = []
    for n in naive_mmr(relevance, raw[pool], k, parts.diversity):
        own = np.maximum(told[[2 * film for film in who.liked], pool[n]], 0)
        if not own.any():
            own = np.maximum(vectors[list(who.liked)] @ vectors[pool[n]], 0)
        speaks = who.liked[int(np.argmax(own))] if own.any() else None
        places.append((int(pool[n]), best[n], speaks, own.max() / own.sum() if own.any() else 0.0))
    return places


@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(1.0, 0.2, 0.1), (0.3, 1.0, 0.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.0)]),
    st.sampled_from([COUNT, COUNT - 12]),
)
@settings(max_examples=40, deadline=None)
def test_a_list_is_its_definition(seed, dense, few, weights, known):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "ALL_ARE_CANDIDATES", 10 if few else 10**6)
        patch.setattr(engines, "FETCHED", 12)
        patch.setattr(engines, "POOL", 30)
        parts = Parts(*weights, diversity=0.7)
        engine, model = made(seed, dense and not few, known)
        found = engine.recommend(SOMEBODY, 10, parts=parts)
        wanted = plain(engine, model, SOMEBODY, parts, 10, few)
    assert [(place.film.id, place.because) for place in found] == [(film, because) for film, _, because, _ in wanted]
    assert_allclose([place.score for place in found], [score for _, score, _, _ in wanted], atol=1e-6)
    assert_allclose([place.share for place in found], [share for _, _, _, share in wanted], atol=1e-6)
