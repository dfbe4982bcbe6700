"""The service without HTTP: a catalogue that changes, lists that follow, a restart that is the same."""

import time
from dataclasses import replace

import numpy as np
import pytest

from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.ratings import in_order
from projects.movie_recs.feedback.online import Counts
from projects.movie_recs.preferences.wishes import Wish
from projects.movie_recs.recommend.engine import Engine, Parts, Taste, taste_of
from projects.movie_recs.server.loading import PARTS, learned_parts
from projects.movie_recs.server.model import GAMMA, PENALTY
from projects.movie_recs.server.service import Movies
from shared.errors import UserError
from shared.report import read_csv
from shared.web.problems import BusyError
from tests.movie_recs.world import WIDTH, WordEncoder, films

CREW = "A spaceship crew meets aliens among the stars."


def somebody(movies):
    return movies.store.person(movies.begin_profile())


def ids(found):
    return [each.place.film.id for each in found]


def kinds(found):
    return [each.place.film.genres[0] for each in found]


def test_lists_follow_a_like_at_once_and_never_show_what_was_seen(movies):
    person = somebody(movies)
    before = movies.lists(person, 10, Parts())
    assert not any(each.place.because for each in before), "nothing is known yet: popular films, said so"
    for film in (101, 104):
        movies.rate(person, film, 5.0)
    movies.rate(person, 107, 1.0)
    movies.rate(person, 110, None)
    after = movies.lists(person, 30, Parts(diversity=1.0))
    places = {kind: np.mean([n for n, each in enumerate(kinds(after)) if each == kind]) for kind in set(kinds(after))}
    assert kinds(after)[0] == "Western" == min(places, key=places.get) and after[0].why.because in (101, 104)
    assert not {101, 104, 107, 110} & set(ids(after)) and len(set(ids(after))) == len(after) == 26
    movies.undo(person)
    assert 110 in ids(movies.lists(person, 30, Parts()))


def test_a_dislike_lets_its_neighbours_fall(movies):
    person = somebody(movies)
    movies.rate(person, 100, 5.0)
    movies.rate(person, 101, 5.0)
    order = ids(movies.lists(person, 30, Parts(diversity=1.0)))
    movies.rate(person, 104, 1.0)
    movies.rate(person, 107, 1.0)
    after = ids(movies.lists(person, 30, Parts(diversity=1.0)))
    western = [film for film in order if film % 3 == 101 % 3 and film in after]
    assert np.mean([after.index(film) for film in western]) > np.mean([order.index(film) for film in western]) + 2


def test_all_dislikes_give_a_list_that_stays_away_from_them(movies):
    person = somebody(movies)
    for film in (100, 103, 106):
        movies.rate(person, film, 1.0)
    found = movies.lists(person, 10, Parts())
    assert len(found) == 10 and kinds(found).count("Sci-Fi") <= 2 and not any(each.place.because for each in found)


def test_every_part_can_be_switched_off(movies):
    person = somebody(movies)
    movies.rate(person, 100, 5.0)
    for parts in (Parts(ratings=0.0), Parts(text=0.0), Parts(popular=0.0), Parts(0.0, 0.0, 0.0)):
        assert len(movies.lists(person, 5, parts)) == 5
    assert kinds(movies.lists(person, 3, Parts(ratings=0.0, popular=0.0, diversity=1.0))) == ["Sci-Fi"] * 3


def test_wishes_bar_and_choose(movies):
    person = somebody(movies)
    assert set(kinds(movies.lists(person, 30, Parts(), "a western"))) == {"Western"}
    assert "Romance" not in kinds(movies.lists(person, 30, Parts(), "nada de amor"))
    assert {each.place.film.year for each in movies.lists(person, 30, Parts(), "before 1980")} == set(range(1970, 1980))
    assert movies.lists(person, 5, Parts(), "before 1900") == []
    found = movies.lists(person, 5, Parts(diversity=1.0), "something like Western number 1")
    assert kinds(found)[:3] == ["Western"] * 3 and 101 not in ids(found)


def test_search_finds_by_words_and_by_a_film(movies):
    assert movies.search("a cowboy rides his horse", 3)[0].film.genres == ("Western",)
    assert [place.film.genres[0] for place in movies.search("algo como Romance number 2", 3)] == ["Romance"] * 3
    assert 102 not in [place.film.id for place in movies.search("like Romance number 2", 30)]
    assert movies.near(100, 5)[0].film.genres == ("Sci-Fi",) and 100 not in [p.film.id for p in movies.near(100, 30)]


def test_an_added_film_is_recommended_within_a_second_and_after_a_restart(movies, settings, catalogue):
    person = somebody(movies)
    for film in (100, 103, 106, 109):
        movies.rate(person, film, 5.0)
    begun = time.monotonic()
    new = movies.add("New stars", 1985, ["Sci-Fi"], CREW)
    first = ids(movies.lists(person, 30, Parts()))
    assert time.monotonic() - begun < 1 and new.id in first[:12]
    movies.close()
    again = Movies(settings, WordEncoder(), catalogue)
    assert new.id in ids(again.lists(person, 30, Parts()))[:12]
    assert again.film(new.id) == new and again.search(CREW, 5) and new.id in [p.film.id for p in again.search(CREW, 12)]
    again.close()


def test_a_change_is_encoded_and_none_is_not(movies):
    new = movies.add("A", 2000, ["Drama"], CREW)
    count = movies.encoder.texts
    assert movies.change(new.id, "A", 2000, ["Drama"], CREW) == new and movies.encoder.texts == count
    moved = movies.change(new.id, "A", 2000, ["Drama"], "A cowboy rides his horse at noon.")
    assert movies.encoder.texts > count and moved.id == new.id
    assert movies.near(new.id, 1)[0].film.genres == ("Western",)
    assert movies.store.films()[0][-1] == moved


def test_a_removed_film_is_gone_everywhere(movies, settings, catalogue):
    person = somebody(movies)
    movies.rate(person, 103, 5.0)
    movies.rate(person, 100, 5.0)
    movies.remove(103)
    assert 103 not in ids(movies.lists(person, 30, Parts())) + movies.questions
    assert 103 not in [place.film.id for place in movies.search("Sci-Fi number 3", 30) + movies.near(100, 30)]
    for call in (lambda: movies.film(103), lambda: movies.rate(person, 103, 5.0), lambda: movies.remove(103)):
        with pytest.raises(UserError, match="no film 103"):
            call()
    movies.close()
    again = Movies(settings, WordEncoder(), catalogue)
    assert 103 not in ids(again.lists(None, 30, Parts())) and len(ids(again.lists(person, 30, Parts()))) == 28
    again.close()


def test_twins_are_refused_and_a_film_may_lack_everything(movies):
    with pytest.raises(UserError, match="already, as film 100"):
        movies.add("sci-fi NUMBER 0", 1970, [], "")
    bare = movies.add("Bare", 0, [], "")
    assert movies.near(bare.id, 3) is not None and len(movies.lists(None, 40, Parts())) == 31
    with pytest.raises(UserError, match="as many as it may"):
        movies.settings = replace(movies.settings, most_films=31)
        movies.add("One more", 1, [], "")


def test_an_empty_catalogue_has_empty_lists_and_takes_its_first_film(cache, settings):
    empty = Movies(settings, WordEncoder(), None)
    assert empty.lists(None, 10, Parts()) == [] and empty.search("anything", 5) == [] and empty.questions == []
    only = empty.add("First", 2000, ["Drama"], CREW)
    assert ids(empty.lists(None, 10, Parts())) == [only.id]
    empty.close()


def test_the_model_that_follows_equals_the_one_after_a_restart(movies, settings, catalogue):
    """Ratings, changes of mind, undo and a deleted profile: what is in memory is what the disk gives."""
    one, two = somebody(movies), somebody(movies)
    for film, stars in ((100, 5.0), (101, 1.0), (100, 1.0), (105, 4.0), (106, 3.0)):
        movies.rate(one, film, stars)
        movies.rate(two, film + 1, stars)
    movies.undo(one)
    movies.unrate(one, 105)
    movies.forget(two)
    movies.model.refresh()
    fresh = Movies(settings, WordEncoder(), catalogue)
    assert np.allclose(fresh.model.counts.gram, movies.model.counts.gram)
    assert np.allclose(fresh.engine.weights, movies.engine.weights)
    base = catalogue.ratings
    plain = Counts(base.likes(), base.dislikes())
    plain.change(set(), 1, 1)
    plain.change({1}, 3, 1)
    assert np.allclose(plain.gram, movies.model.counts.gram), "what is left are two dislikes of one person"
    weights = plain.model(PENALTY).weights
    assert np.allclose(movies.engine.weights, weights[:, 0::2] - GAMMA * weights[:, 1::2])
    fresh.close()


def test_interests_are_groups_of_liked_films(movies):
    person = somebody(movies)
    assert movies.interests(person) == []
    for film in (100, 103, 106, 101, 104, 107):
        movies.rate(person, film, 5.0)
    groups = [{film.id % 3 for film in group} for group in movies.interests(person)]
    assert len(groups) == 2 and all(len(group) == 1 for group in groups)


def test_more_than_can_wait_are_told_to_come_back(movies):
    movies.gate._most = 1
    with movies.gate, pytest.raises(BusyError):
        movies.lists(None, 3, Parts())
    assert movies.lists(None, 3, Parts())


# ---------------------------------------------------------------- a large catalogue


def test_fetched_candidates_find_what_scoring_all_finds(monkeypatch):
    """A graph's lists, from candidates of neighbours, index and popularity, hold most of the exact ones."""
    rng = np.random.default_rng(0)
    many = [replace(films(3)[n % 3], id=n, title=f"T{n}") for n in range(600)]
    centres = rng.standard_normal((3, WIDTH))
    vectors = np.stack([centres[n % 3] + 0.5 * rng.standard_normal(WIDTH) for n in range(600)]).astype(np.float32)
    engine = Engine(WIDTH, vectors.mean(0), Parts(ratings=0.0, popular=0.0))
    engine.put(many, vectors)
    who = Taste(liked=(0, 3, 6), seen=frozenset((0, 3, 6)))
    exact = [place.film.id for place in engine.recommend(who, 20)]
    monkeypatch.setattr("projects.movie_recs.recommend.engine.ALL_ARE_CANDIDATES", 10)
    fetched = [place.film.id for place in engine.recommend(who, 20)]
    assert len(set(exact) & set(fetched)) >= 18 and not {0, 3, 6} & set(fetched)
    assert engine.recommend(who, 5, Wish(barred=("Sci-Fi", "Western", "Romance"))) == []


def test_opinions_become_a_taste():
    found = taste_of([(1, 4.0), (2, 2.5), (3, 3.0), (4, None)])
    assert (found.liked, found.disliked, found.seen) == ((1,), (2,), frozenset((1, 2, 3, 4)))


def test_ratings_of_films_that_have_no_text_are_no_trouble(cache, settings, catalogue):
    bare = tuple(replace(film, text="", kind="") for film in catalogue.films)
    made = Movies(settings, WordEncoder(), Catalogue(bare, catalogue.ratings, "bare"))
    person = somebody(made)
    made.rate(person, 101, 5.0)
    assert len(made.lists(person, 5, Parts())) == 5
    made.close()


def test_a_set_without_ratings_is_served(cache, settings):
    made = Movies(settings, WordEncoder(), Catalogue(films(4), in_order([], [], [], [], 1, 4), "none"))
    assert len(made.lists(None, 9, Parts())) == 4 and len(made.questions) == 4
    made.close()


def test_a_catalogue_beyond_ease_keeps_no_counts_and_follows_popularity(cache, settings, catalogue, monkeypatch):
    monkeypatch.setattr("projects.movie_recs.server.model.LARGEST_MODEL", 29)
    made = Movies(settings, WordEncoder(), catalogue)
    assert made.model.counts is None
    row = made.engine.table.row[101]
    base = made.engine.popular[row]
    assert base == catalogue.ratings.likes()[:, 1].sum() > 0
    person = somebody(made)
    made.rate(person, 101, 5.0)
    assert made.engine.popular[row] == base + 1
    made.rate(person, 101, 1.0)
    assert made.engine.popular[row] == base
    found = made.lists(person, 5, Parts())
    assert len(found) == 5
    made.close()


def test_a_catalogue_that_outgrows_ease_goes_on_with_what_it_learned(movies, monkeypatch):
    monkeypatch.setattr("projects.movie_recs.server.model.LARGEST_MODEL", 30)
    before = movies.engine.weights.copy()
    new = movies.add("Thirty-one", 2001, ["Sci-Fi"], CREW)
    assert movies.model.counts is None and np.array_equal(movies.engine.weights, before)
    person = somebody(movies)
    for film in (new.id, 100, 103):
        movies.rate(person, film, 5.0)
    movies.model.refresh()
    assert len(ids(movies.lists(person, 40, Parts()))) == 28


def test_names_follow_a_film_that_changes(movies):
    new = movies.add("Old Name", 2001, [], CREW)
    movies.change(new.id, "New Name", 2002, [], CREW)
    again = movies.add("Old Name", 2001, [], "Another one.")
    assert movies.titles["old name"] == again.id and movies.titles["new name"] == new.id
    with pytest.raises(UserError, match=f"as film {new.id}"):
        movies.change(again.id, "New Name", 2002, [], "Another one.")
    movies.remove(new.id)
    assert movies.add("New Name", 2002, [], "x").id > again.id


def test_a_film_that_the_index_still_holds_is_passed_over(movies):
    movies.engine.index.add([999], movies.engine.table.vectors[:1])  # as Qdrant may after a kill
    assert 999 not in [place.film.id for place in movies.near(100, 30)] and movies.lists(None, 5, Parts())


def test_weights_are_read_from_the_studys_table(tmp_path):
    table = tmp_path / "parts.csv"
    assert learned_parts(table) == Parts()
    table.write_text("arm,ratings,text,popular\nset by hand,1.0,0.9,0.9\nlearned,1.0,0.4,0.05\n", encoding="utf-8")
    assert learned_parts(table) == Parts(ratings=1.0, text=0.4, popular=0.05)
    table.write_text("arm,ratings\nlearned,1.0\n", encoding="utf-8")
    with pytest.raises(UserError, match="no weights"):
        learned_parts(table)
    rows = {row["arm"]: row for row in read_csv(PARTS)}
    assert learned_parts().text == rows["learned"]["text"]
