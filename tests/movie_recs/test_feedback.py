"""What survives, what follows at once, and what a log can say of another policy."""

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from projects.movie_recs.feedback.online import Counts
from projects.movie_recs.feedback.policies import inverse_propensity, naive, self_normalised
from projects.movie_recs.feedback.store import Opinion, Store
from projects.movie_recs.recommend.dislikes import signed_ease
from shared.errors import UserError
from tests.movie_recs.world import films, ratings


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "s.sqlite", "model")
    yield made
    made.close()


def test_ratings_are_one_a_person_and_film(store):
    one, two = store.person(store.new_person()), store.person(store.new_person())
    assert store.rate(one, 5, 4.0) and not store.rate(one, 5, 4.0)
    assert store.rate(one, 5, 2.0) and store.rate(two, 5, 5.0)
    assert store.opinions(one) == [Opinion(5, 2.0)] and store.opinions(two) == [Opinion(5, 5.0)]
    assert [event.kind for event in store.events()] == ["rated"] * 3
    for stars in (0.0, 0.4, 5.5, -1.0, float("nan")):
        with pytest.raises(UserError, match="must be"):
            store.rate(one, 5, stars)


class Full(sqlite3.Connection):
    """A connection to a disk that is full when a change should be kept."""

    def execute(self, words, *values):
        if words == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(words, *values)


def test_a_change_that_could_not_be_kept_stops_no_later_one(store, tmp_path):
    person, base = store.person(store.new_person()), store._base
    store._base = sqlite3.connect(tmp_path / "s.sqlite", factory=Full, isolation_level=None)
    for _ in range(2):  # the second one finds no transaction that the first has left open
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.rate(person, 5, 4.0)
    store._base.close()
    store._base = base
    assert store.opinions(person) == [] and store.rate(person, 6, 3.0)
    assert store.opinions(person) == [Opinion(6, 3.0)]


@pytest.mark.parametrize("damage", ["told", "vector", "page"])
def test_a_damaged_store_is_one_line(tmp_path, damage):
    path = tmp_path / "s.sqlite"
    made = Store(path, "model")
    made.put_films(films(30), np.ones((30, 64)))
    if damage != "page":
        made._base.execute(f"UPDATE films SET {damage} = ? WHERE id = 100", ("[1" if damage == "told" else b"abc",))
    made._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    if damage == "page":
        content = path.read_bytes()
        path.write_bytes(content[:8192] + bytes(len(content) - 8192))
    with pytest.raises(UserError, match=r"damaged film|cannot be used as the store"):
        Store(path, "model").films()


def test_undo_goes_back_step_by_step(store):
    person = store.person(store.new_person())
    store.rate(person, 1, 5.0)
    store.rate(person, 1, 1.0)
    store.rate(person, 2, None)
    store.unrate(person, 1)
    seen = []
    while (film := store.undo(person)) is not None:
        seen.append((film, store.opinions(person)))
    assert seen == [
        (1, [Opinion(1, 1.0), Opinion(2, None)]),
        (2, [Opinion(1, 1.0)]),
        (1, [Opinion(1, 5.0)]),
        (1, []),
    ]
    assert not store.unrate(person, 1)


def test_a_deleted_profile_leaves_lines_that_are_nobodys(store):
    token = store.new_person()
    person, other = store.person(token), store.person(store.new_person())
    store.rate(person, 1, 5.0)
    store.rate(other, 1, 4.0)
    assert store.export(person)["opinions"] == [{"film": 1, "stars": 5.0}] and len(store.export(person)["events"]) == 1
    store.forget(person)
    assert store.person(token) is None and store.opinions(person) == [] and store.opinions(other)
    assert [event.person for event in store.events()] == [None, other]
    assert store.undo(person) is None


def test_everything_is_there_after_a_restart_and_tokens_are_not(tmp_path):
    store = Store(tmp_path / "s.sqlite", "model")
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    store.put_films(films(3), vectors)
    token = store.new_person()
    store.rate(store.person(token), 100, 4.5)
    store.remove_film(101)
    assert store.next_film() == 103
    store.close()
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (tmp_path / "s.sqlite").stat().st_mode & 0o77 == 0
    again = Store(tmp_path / "s.sqlite", "model")
    told, kept = again.films()
    assert [film.id for film in told] == [100, 102] and told[0] == films(3)[0] and kept.tolist() == [[0, 1], [4, 5]]
    assert again.opinions(again.person(token)) == [Opinion(100, 4.5)]
    again.remove_film(102)
    assert again.next_film() == 104, "a number is never given twice"
    again.close()
    with pytest.raises(UserError, match="not of other"):
        Store(tmp_path / "s.sqlite", "other")
    (tmp_path / "bad").write_bytes(b"no database at all, " * 99)
    with pytest.raises(UserError, match="cannot be used as the store"):
        Store(tmp_path / "bad", "model")


# ---------------------------------------------------------------- online


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([1, 5])), max_size=25))
@settings(max_examples=40, deadline=None)
def test_a_model_that_follows_is_the_one_that_is_trained_again(said):
    """Opinions come, change and are taken back in any order; the counts are those of the opinions that are left."""
    none = csr_matrix((0, 5))
    counts, held = Counts(none, none), {}
    for person, film, stars in said:
        own = held.setdefault(person, {})
        column = 2 * film + (stars == 1)
        if film in own:
            before = own.pop(film)
            counts.change(set(own.values()), before, -1)
            if before == column:
                continue
        counts.change(set(own.values()), column, 1)
        own[film] = column
    likes, dislikes = np.zeros((4, 5)), np.zeros((4, 5))
    for person, own in held.items():
        for column in own.values():
            (dislikes if column % 2 else likes)[person, column // 2] = 1
    fresh = signed_ease(csr_matrix(likes), csr_matrix(dislikes), 3.0)
    assert_allclose(counts.model(3.0).weights, fresh.model.weights, atol=1e-9)


def test_films_that_come_later_have_room_and_are_cold():
    whole = ratings()
    counts = Counts(whole.likes(), whole.dislikes())
    counts.grow(2)
    assert counts.films == 32 and counts.warm().tolist() == [True] * 30 + [False] * 2
    counts.change(set(), 2 * 31, 1)
    assert counts.warm()[31]


# ---------------------------------------------------------------- policies


def simulated(lines, seed=0):
    rng = np.random.default_rng(seed)
    logging, judged, likes = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7]), np.array([0.1, 0.5, 0.9])
    film = rng.choice(3, size=lines, p=logging)
    reward = (rng.random(lines) < likes[film]).astype(float)
    return reward, logging[film], judged[film], float(judged @ likes)


def test_inverse_propensities_find_the_truth_that_the_log_does_not_show():
    reward, logged, wanted, truth = simulated(50_000)
    for by in (inverse_propensity, self_normalised):
        found = by(reward, logged, wanted)
        assert abs(found.value - truth) < 4 * found.deviation < 0.05
    assert abs(naive(reward) - truth) > 0.3
    assert inverse_propensity(reward, logged, logged).value == naive(reward)


def test_a_clip_lowers_the_estimate_and_its_deviation():
    reward, logged, wanted, _ = simulated(5_000)
    free, cut = inverse_propensity(reward, logged, wanted), inverse_propensity(reward, logged, wanted, 3.0)
    assert (
        cut.value < free.value
        and cut.deviation < free.deviation
        and cut.clipped == pytest.approx((logged == 0.1).mean())
    )
    assert free.clipped == 0 and free.effective < cut.effective <= 5_000


def test_what_was_never_possible_is_refused():
    with pytest.raises(ValueError, match="probability"):
        inverse_propensity(np.ones(1), np.zeros(1), np.ones(1))
    assert np.isnan(self_normalised(np.ones(2), np.ones(2), np.zeros(2)).value)
