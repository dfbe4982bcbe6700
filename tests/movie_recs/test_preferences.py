"""Interests, questions, wishes, search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from projects.movie_recs.data.titles import title_key
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.vectors import KnownVectors, text_vectors
from projects.movie_recs.preferences.interests import interests, nearness, taste
from projects.movie_recs.preferences.questionnaire import at_random, halves, informative, most_rated, newcomer
from projects.movie_recs.preferences.wishes import wish
from projects.movie_recs.recommend.collaborative import ease
from projects.movie_recs.recommend.search import SearchWeights, place_of, searched
from tests.movie_recs.world import WordEncoder, ratings

AXES = np.eye(3, 8, dtype=np.float32)


def around(axis, count, seed=0):
    return unit(AXES[axis] + 0.1 * np.random.default_rng(seed).standard_normal((count, 8))).astype(np.float32)


def test_two_tastes_are_two_interests_and_not_their_mean():
    liked = np.concatenate([around(0, 5), around(1, 5, 1)])
    centres = interests(liked)
    assert len(centres) == 3 or len(centres) == 2
    near = nearness(centres, AXES[:3])
    mean = unit(liked.mean(0, keepdims=True))
    assert near[0] > 0.9 and near[1] > 0.9 > nearness(mean, AXES[:2]).max()
    assert near[2] < 0.3


def test_interests_at_their_ends():
    assert interests(np.zeros((0, 8), np.float32)).shape == (0, 8)
    assert interests(np.zeros((3, 8), np.float32)).shape == (0, 8), "films without text say nothing of plots"
    assert len(interests(around(0, 2))) == 1
    same = np.repeat(around(0, 1), 9, axis=0)
    assert len(interests(same)) == 1, "nine times one film is one interest"
    assert nearness(np.zeros((0, 8), np.float32), AXES).tolist() == [0, 0, 0]


def test_a_dislike_moves_interests_away():
    liked, disliked = around(0, 4), around(1, 2)
    before, after = taste(liked, disliked, 0.0), taste(liked, disliked, 0.5)
    assert nearness(after, AXES[1:2]) < nearness(before, AXES[1:2]) - 0.1
    assert len(taste(np.zeros((0, 8), np.float32), disliked)) == 0


# ---------------------------------------------------------------- questions


def setting():
    whole = ratings(120)
    taught = whole.where(whole.user < 80)
    model = ease(taught.likes(), 5.0)
    who = newcomer(model, taught.likes())
    return whole, who, halves(whole, np.arange(80), 0), halves(whole, np.arange(80, 120), 0)


def test_halves_share_no_rating_and_lose_none():
    whole, _, people, _ = setting()
    assert people.seen.multiply(people.wanted).nnz == 0
    liked = whole.where((whole.user < 80) & whole.liked)
    assert people.likes.nnz + people.wanted.nnz == len(liked)


def test_informative_questions_beat_random_ones_for_others():
    _, who, people, others = setting()
    asked = informative(people, who, 5)
    assert len(set(asked)) == 5 and asked == informative(people, who, 5)
    told = np.nanmean(others.quality(who, asked))
    drawn = np.mean([np.nanmean(others.quality(who, at_random(30, 5, seed))) for seed in range(8)])
    assert told > drawn + 0.02


def test_the_first_question_is_the_best_of_all():
    _, who, people, _ = setting()
    each = [np.nanmean(people.quality(who, [film])) for film in most_rated(people, 30)]
    assert np.nanmean(people.quality(who, informative(people, who, 1))) == pytest.approx(max(each))


def test_no_answer_means_the_most_popular_and_what_was_seen_is_not_shown():
    whole, who, _, others = setting()
    none = csr_matrix((1, 30))
    assert np.argmax(who.score(none)[0]) == np.argmax(np.asarray(whole.where(whole.user < 80).likes().sum(0)).ravel())
    likes, seen = others.answered([3, 4])
    assert set(seen.nonzero()[1].tolist()) == {3, 4} and likes.sum() < seen.sum()


# ---------------------------------------------------------------- wishes

TITLES = {title_key(name): id_ for id_, name in enumerate(["Alien", "Seven Samurai", "The Birds", "Up"])}


@pytest.mark.parametrize(
    ("text", "like", "genres", "barred", "years", "left"),
    [
        ("algo como Alien pero divertido", (0,), ("Comedy",), (), (1880, 2100), "divertido"),
        ("like Seven Samurai", (1,), (), (), (1880, 2100), ""),
        ("parecida a The Birds, nada de terror", (2,), (), ("Horror",), (1880, 2100), ""),
        ("comedias de los 80", (), ("Comedy",), (), (1980, 1989), "comedias de"),
        ("a western without romance before 1960", (), ("Western",), ("Romance",), (1880, 1959), "a western"),
        ("westerns of the 60s", (), ("Western",), (), (1960, 1969), "westerns of"),
        ("the 10 commandments", (), (), (), (1880, 2100), "the 10 commandments"),
        ("documental desde 1990", (), ("Documentary",), (), (1990, 2100), "documental"),
        ("like nothing on earth", (), (), (), (1880, 2100), "like nothing on earth"),
        ("", (), (), (), (1880, 2100), ""),
    ],
)
def test_a_wish_is_taken_apart(text, like, genres, barred, years, left):
    found = wish(text, TITLES)
    assert (found.like, found.genres, found.barred, found.years, found.text) == (like, genres, barred, years, left)


@given(st.text(max_size=300))
def test_no_wish_is_too_odd(text):
    found = wish(text, TITLES)
    assert not set(found.genres) & set(found.barred) or len(text) > 0
    assert found.years[0] >= 1880


# ---------------------------------------------------------------- search


def test_the_parts_of_a_search_weigh_what_they_are_told(tmp_path):
    known = KnownVectors(WordEncoder(), tmp_path)
    films = text_vectors(["A shark bites. Rain falls on the town.", "Love letters in spring.", ""], known)
    query = known.encoder.encode(["shark bites"])[0]
    for weights in (SearchWeights(1.0, 0.0, 0.0), SearchWeights(0.0, 1.0, 0.0), SearchWeights(0.0, 0.0, 1.0)):
        scores = searched(films, weights).score(query)
        assert place_of(scores, 0) == 1
    both = searched(films, SearchWeights(1.0, 0.0, 1.0))
    asked = both.centre(query[None])[0]
    alone = searched(films, SearchWeights(1.0, 0.0, 0.0)).score(query)
    assert np.allclose(both.score(query), alone + both.best(asked))
    assert both.best(asked)[2] == 0
    assert place_of(np.array([1.0, 1.0]), 1) == 2 and place_of(np.array([1.0, 1.0]), 0) == 1
