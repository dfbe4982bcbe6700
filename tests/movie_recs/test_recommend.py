"""Scores and lists against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from projects.movie_recs import evaluate
from projects.movie_recs.data.films import Film
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.vectors import MOST_SENTENCES
from projects.movie_recs.recommend.blend import blended, learned_weights, standardised
from projects.movie_recs.recommend.cold import describer, fit_head, joined_features, nearest
from projects.movie_recs.recommend.collaborative import ease, neighbours, popularity, svd
from projects.movie_recs.recommend.dislikes import fit_stars, held_back, rocchio, signed, signed_ease
from projects.movie_recs.recommend.diversity import mmr, scaled
from projects.movie_recs.recommend.explain import plot_sentences, reason, strongest
from projects.movie_recs.recommend.factors import als
from tests.movie_recs.world import films, ratings

LIKES, DISLIKES = ratings().likes(), ratings().dislikes()


# ---------------------------------------------------------------- collaborative


def test_ease_is_the_ridge_of_each_film_on_the_others():
    """Column by column: least squares with penalty on all films but the film itself."""
    x, penalty = LIKES.toarray().astype(np.float64), 7.0
    weights = ease(LIKES, penalty).weights
    assert_allclose(np.diag(weights), 0, atol=0)
    for film in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), film)
        a = x[:, others]
        direct = np.linalg.solve(a.T @ a + penalty * np.eye(len(others)), a.T @ x[:, film])
        assert_allclose(weights[others, film], direct, atol=1e-6)


def test_neighbours_are_the_shrunk_cosines_of_the_best():
    x = LIKES.toarray().astype(np.float64)
    found = neighbours(LIKES, keep=5, shrink=3.0).weights
    for film in range(x.shape[1]):
        naive = np.zeros(x.shape[1])
        for other in range(x.shape[1]):
            if other != film:
                both = sum(x[u, film] * x[u, other] for u in range(len(x)))
                naive[other] = both / (np.sqrt(x[:, film].sum() * x[:, other].sum()) + 3.0)
        kept = np.argsort(-naive, kind="stable")[:5]
        naive[np.setdiff1d(np.arange(len(naive)), kept)] = 0
        assert_allclose(found[:, film], naive, atol=1e-6)
    full = neighbours(LIKES, keep=99, shrink=0.0).weights
    assert_allclose(full + np.eye(len(full)), cosine_similarity(x.T), atol=1e-6)


def test_svd_projects_on_the_strongest_directions():
    x = LIKES.toarray().astype(np.float64)
    _, _, right = np.linalg.svd(x, full_matrices=False)
    assert_allclose(svd(LIKES, 4).weights, right[:4].T @ right[:4], atol=1e-6)
    assert svd(LIKES, 10_000).weights.shape == (30, 30)


def test_a_new_user_needs_no_training_and_scores_are_likes_times_weights():
    model = ease(LIKES, 10.0)
    somebody = csr_matrix(np.eye(30)[[4]])
    assert_allclose(model.score(somebody)[0], model.weights[4])
    assert popularity(LIKES).tolist() == LIKES.toarray().sum(0).tolist()


# ---------------------------------------------------------------- dislikes


def test_signed_columns_are_film_by_film():
    both = signed(LIKES, DISLIKES).toarray()
    assert_allclose(both[:, 0::2], LIKES.toarray())
    assert_allclose(both[:, 1::2], DISLIKES.toarray())
    assert_allclose(
        signed_ease(LIKES, csr_matrix(LIKES.shape), 5.0).score(LIKES, csr_matrix(LIKES.shape), 1.0),
        ease(LIKES, 5.0).score(LIKES),
        atol=1e-8,
    )


def test_a_predicted_dislike_lowers_a_score():
    model = signed_ease(LIKES, DISLIKES, 5.0)
    told = np.asarray(signed(LIKES, DISLIKES) @ model.model.weights)
    assert_allclose(model.score(LIKES, DISLIKES, 0.7), told[:, 0::2] - 0.7 * told[:, 1::2])


def test_a_film_that_is_disliked_takes_its_neighbours_down():
    model = signed_ease(LIKES, DISLIKES, 5.0)
    none, one = csr_matrix((1, 30)), csr_matrix(np.eye(30)[[0]])
    sort = np.arange(30) % 3
    moved = (model.score(none, one, 1.0) - model.score(none, none, 1.0))[0]
    plain = (rocchio(ease(LIKES, 5.0), none, one, 0.5))[0]
    for fall in (moved, plain):
        assert np.delete(fall[sort == 0], 0).mean() < min(fall[sort == 1].mean(), fall[sort == 2].mean()) - 1e-3


def test_stars_follow_the_person_and_only_bad_films_are_held_back():
    told = fit_stars(ratings(), 5.0).score(ratings())
    sort, kind = np.arange(30) % 3, np.arange(60) % 3
    own = kind[:, None] == sort[None, :]
    assert told[own].mean() > 0.3 and told[~own].mean() < 0
    scores = np.zeros(told.shape)
    lower = held_back(scores, told, 0.5)
    assert (lower[told >= 0] == 0).all()
    assert_allclose(lower[told < 0], 0.5 * told[told < 0])


# ---------------------------------------------------------------- measures


def naive_ndcg(scores, wanted, barred, k):
    order = [f for f in sorted(range(len(scores)), key=lambda f: (-scores[f], f)) if not barred[f]][:k]
    gain = sum(1 / np.log2(place + 2) for place, film in enumerate(order) if wanted[film])
    return gain / sum(1 / np.log2(place + 2) for place in range(min(k, int(sum(wanted)))))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_ndcg_and_recall_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (3, 12)).astype(float)  # many ties
    wanted, barred = rng.random((3, 12)) < 0.3, rng.random((3, 12)) < 0.3
    wanted &= ~barred
    wanted[:, 0], barred[:, 0] = True, False
    found = evaluate.ndcg(scores, csr_matrix(wanted.astype(float)), csr_matrix(barred.astype(float)), 5)
    assert_allclose(found, [naive_ndcg(*row, 5) for row in zip(scores, wanted, barred, strict=True)], atol=1e-12)
    lists = evaluate.ranked(scores, 5, csr_matrix(barred.astype(float)))
    hit = [np.isin(np.flatnonzero(w), row).mean() for w, row in zip(wanted, lists, strict=True)]
    assert_allclose(evaluate.recall(scores, csr_matrix(wanted.astype(float)), csr_matrix(barred.astype(float)), 5), hit)


def test_auc_is_sklearns_and_a_tie_counts_half():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, 40).astype(float)
    liked, disliked = np.arange(15), np.arange(15, 40)
    truth = roc_auc_score([1] * 15 + [0] * 25, scores)
    assert evaluate.auc(scores, liked, disliked) == pytest.approx(truth)
    assert evaluate.auc(np.ones(2), np.array([0]), np.array([1])) == 0.5


def test_nobody_who_wants_nothing_is_judged_and_k_may_exceed_the_catalogue():
    none = csr_matrix((1, 4))
    assert np.isnan(evaluate.ndcg(np.ones((1, 4)), none, none)[0])
    assert evaluate.ranked(np.ones((1, 4)), 99).tolist() == [[0, 1, 2, 3]]
    assert not evaluate.with_wishes(none, none)[0]


def test_diversity_novelty_and_coverage():
    vectors = unit(np.random.default_rng(0).standard_normal((5, 8)))
    pairs = [1 - vectors[a] @ vectors[b] for a in range(5) for b in range(a)]
    assert evaluate.list_diversity(vectors) == pytest.approx(np.mean(pairs))
    assert evaluate.list_diversity(vectors[:1]) == 0
    lists = np.array([[0, 1], [0, 2]])
    assert_allclose(evaluate.novelty(lists, np.array([8.0, 4.0, 0.0]), 8), [0.5, 1.5])
    assert evaluate.coverage(lists, 6) == 0.5


# ---------------------------------------------------------------- lists


def naive_mmr(relevance, vectors, k, trade):
    chosen = []
    while len(chosen) < min(k, len(relevance)):
        best, found = None, None
        for each in range(len(relevance)):
            if each in chosen:
                continue
            near = max((float(vectors[each] @ vectors[other]) for other in chosen), default=None)
            value = relevance[each] if near is None else trade * relevance[each] - (1 - trade) * near
            if best is None or value > best:
                best, found = value, each
        chosen.append(found)
    return chosen


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
@settings(max_examples=40, deadline=None)
def test_mmr_is_its_definition(seed, trade):
    rng = np.random.default_rng(seed)
    relevance, vectors = rng.random(12), unit(rng.standard_normal((12, 4)))
    found = mmr(relevance, vectors, 8, trade)
    assert found == naive_mmr(relevance, vectors, 8, trade)
    if trade == 1:
        assert found == np.argsort(-relevance, kind="stable")[:8].tolist()


def test_mmr_at_its_ends():
    vectors = unit(np.array([[1.0, 0.01], [1, 0], [0, 1], [-1, 0]]))
    assert mmr(np.array([1.0, 0.9, 0.1, 0.0]), vectors, 3, 0.0) == [0, 3, 2]
    assert mmr(np.ones(2), vectors[:2], 9, 0.5) == [0, 1] and mmr(np.zeros(0), vectors[:0], 3, 0.5) == []
    assert scaled(np.array([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5] and scaled(np.ones(2)).tolist() == [1, 1]


# ---------------------------------------------------------------- blends


def test_parts_are_put_on_one_scale_over_what_may_be_shown():
    scores = np.array([[1.0, 2, 3, 1000], [5, 5, 5, 5]])
    barred = csr_matrix(np.array([[0, 0, 0, 1], [0, 0, 0, 0]]))
    found = standardised(scores, barred)
    assert_allclose(found[0, :3], [-1.224745, 0, 1.224745], atol=1e-5)
    assert (found[1] == 0).all()


def test_a_useless_part_gets_no_weight_and_a_useful_one_does():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((20, 30))
    parts = {
        "first": truth + rng.standard_normal(truth.shape),
        "noise": 10 * rng.standard_normal(truth.shape),
        "good": truth + rng.standard_normal(truth.shape),
    }

    def quality(scores):
        return float(np.corrcoef(scores.ravel(), truth.ravel())[0, 1])

    weights = learned_weights(parts, quality)
    assert weights["first"] == 1 and weights["noise"] == 0 and weights["good"] >= 0.4
    assert quality(blended(parts, weights)) > quality(parts["first"])


# ---------------------------------------------------------------- cold films


def test_the_head_is_a_ridge_on_features():
    rng = np.random.default_rng(0)
    warm, cold, scores = rng.standard_normal((12, 3)), rng.standard_normal((4, 3)), rng.standard_normal((5, 12))
    found = fit_head(warm, 2.0).score(scores, cold)
    a = np.concatenate([warm, np.ones((12, 1))], 1)
    primal = np.linalg.solve(a.T @ a + 2.0 * np.eye(4), a.T @ scores.T)  # the same ridge, in features instead of films
    assert_allclose(found, (np.concatenate([cold, np.ones((4, 1))], 1) @ primal).T, atol=1e-8)


def test_fields_weigh_what_they_are_told_and_nearest_sums_over_likes():
    fields = {"a": np.array([[3.0, 4], [1, 0]]), "b": np.array([[2.0], [-1]])}
    joined = joined_features(fields, {"a": 2.0, "b": 0.5})
    assert joined[0] @ joined[1] == pytest.approx(2 * 0.6 - 0.5)
    likes = csr_matrix(np.array([[1.0, 1, 0]]))
    warm, cold = np.array([[1.0, 0], [0, 1], [9, 9]]), np.array([[1.0, 2]])
    assert nearest(likes, warm, cold)[0, 0] == 3


def test_a_film_is_described_with_what_was_known_before_it_came():
    known = films(12)
    vectors = unit(np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32))
    describe = describer(known, vectors, {"text": 1.0, "genres": 1.0, "people": 1.0, "years": 1.0})
    stranger = Film(id=9, title="n", genres=("Unheard of", "Western"), people=("Nobody",), year=0)
    found = describe([stranger, known[1]], np.stack([np.zeros(16, np.float32), vectors[1]]))
    assert found.shape[1] == describe(known, vectors).shape[1] and np.isfinite(found).all()
    assert found[0] @ found[1] == pytest.approx(1.0), "of the stranger only the genre is known"


# ---------------------------------------------------------------- reasons


def test_a_reason_names_what_both_have():
    one = Film(id=1, title="A", genres=("Comedy", "War"), people=("X", "Y"))
    other = Film(id=2, title="B", genres=("War",), people=("Y", "Z"))
    found = reason(one, other, 0.4, ["first.", "second."], np.array([0.1, 0.9]))
    assert (found.because, found.genres, found.people, found.sentence) == (2, ("War",), ("Y",), "second.")
    assert reason(one, other, 0.4, [], np.zeros(0)).sentence == ""
    assert strongest(np.array([1.0, 3, -9])) == (1, 0.75) and strongest(np.array([-1.0])) is None


# ---------------------------------------------------------------- what is larger


def test_als_of_implicit_stands_behind_the_interface_and_takes_new_users():
    """Smoke, with what must hold: likes of a kind draw that kind, for whoever was learned from and for newcomers."""
    model = als(LIKES, width=8)
    kind, sort = np.arange(60) % 3, np.arange(30) % 3
    scores = model.score(LIKES)
    assert scores.shape == (60, 30) and np.isfinite(scores).all()
    own = kind[:, None] == sort[None, :]
    assert scores[own].mean() > scores[~own].mean() + 0.2
    newcomer = csr_matrix((np.ones(2), ([0, 0], [1, 4])), shape=(1, 30))
    told = model.score(newcomer)[0]
    assert told[sort == 1].mean() > max(told[sort == 0].mean(), told[sort == 2].mean()) + 0.1
    assert_allclose(model.score(csr_matrix((1, 30))), 0, atol=1e-6), "who likes nothing is told nothing"
    assert_allclose(als(LIKES, width=8).score(LIKES), scores, atol=1e-3), "seeded"
    assert model.score(csr_matrix((0, 30))).shape == (0, 30)


# ---------------------------------------------------------------- what a reason quotes

INTRODUCTION = (
    "Alien is a 1979 film directed by Ridley Scott. It follows the crew of the Nostromo, who meet a deadly creature. "
    "Scott was chosen because of his enthusiasm for the story. The creature hides in the ship and hunts them. "
    "It is often ranked among the best horror. Its title was changed twice."
)


def test_a_reason_quotes_the_story_and_not_how_a_film_was_made():
    film = Film(id=1, title="Alien", text=INTRODUCTION, kind="introduction")
    assert plot_sentences(film) == (
        "It follows the crew of the Nostromo, who meet a deadly creature.",
        "The creature hides in the ship and hunts them.",
    )
    assert plot_sentences(replace(film, text="A best man. He was king.", kind="plot")) == (
        "A best man.",
        "He was king.",
    )
    assert plot_sentences(replace(film, text=INTRODUCTION[:47])) == (), "none is better than a silly one"
    long = " ".join(f"It follows hero {n} home." for n in range(40))
    assert len(plot_sentences(replace(film, text=f"First. {long}"))) == MOST_SENTENCES - 1, "those that have a vector"


def test_companies_are_no_names_in_common():
    one, other = (Film(id=n, title="t", people=("Ann Lee", "Pixar Animation Studios")) for n in (1, 2))
    assert reason(one, other, 0.5, [], np.zeros(0)).people == ("Ann Lee",)
