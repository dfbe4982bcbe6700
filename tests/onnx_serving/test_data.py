"""Facts are where they say they are, and questions are answerable exactly when they say so."""

import re

import pytest

from projects.onnx_serving.data import Film, load_films, questions_of
from projects.onnx_serving.facts import KINDS, facts_of, silent_on
from projects.onnx_serving.phrasings import HELD_OUT, WORDINGS
from shared.errors import UserError


@pytest.fixture(scope="module")
def films():
    return load_films()


@pytest.mark.parametrize(
    ("text", "year", "found"),
    [
        (
            "Vertigo is a 1958 American film directed by Alfred Hitchcock, based on the novel D'entre les morts by "
            "Boileau. It stars James Stewart, Kim Novak and Tom Helmore.",
            1958,
            {
                "year": "1958",
                "director": "Alfred Hitchcock",
                "basis": "the novel D'entre les morts by Boileau",
                "stars": "James Stewart, Kim Novak and Tom Helmore",
            },
        ),
        (
            "X is a 2000 film written and directed by Danish filmmaker Lars von Trier.",
            2000,
            {"year": "2000", "director": "Lars von Trier"},
        ),
        ("X is a film directed, written, and edited by J. Lee Thompson.", -1, {"director": "J. Lee Thompson"}),
        ("X is a film directed by Joel and Ethan Coen.", -1, {"director": "Joel and Ethan Coen"}),
        ("X stars. It stars Icelandic musician Björk as a worker.", -1, {}),
        ("X is a film directed by Academy Award-nominated Frank Perry.", -1, {}),
        ("X is a film based on real locations.", -1, {}),
        ("X is based on a play by Kaj Munk.", -1, {"basis": "a play by Kaj Munk"}),
        (
            "X is based on Kamal Amrohi and Meena Kumari's own love story.",
            -1,
            {"basis": "Kamal Amrohi and Meena Kumari's own love story"},
        ),
        ("X is a film, and co-stars nobody.", -1, {}),
    ],
)
def test_facts(text, year, found):
    assert {fact.kind: fact.answer for fact in facts_of(text, year)} == found
    assert all(text[fact.start : fact.end] == fact.answer for fact in facts_of(text, year))


def test_a_director_deep_in_the_article_is_another_films():
    text = "X is a film. " + "Much was said of it. " * 40 + "Y was directed by John Ford."
    assert list(facts_of(text, -1)) == []


def test_silence():
    assert "director" in silent_on("A 1958 thing.") and "director" not in silent_on("A film by Ozu.")


def test_every_split_gives_facts_of_every_kind(films):
    for part in films.values():
        kinds = {fact.kind for film in part for fact in facts_of(film.text, film.year)}
        assert kinds == set(KINDS)


def test_titles_of_the_splits_are_apart(films):
    texts = {name: {film.text for film in part} for name, part in films.items()}
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["validation"]
    assert sum(map(len, films.values())) == 764  # 997 articles, 233 of them about something else


def test_answers_stand_in_their_context_and_the_others_do_not_know_the_film(films):
    for wording in WORDINGS:
        for question in questions_of(films["test"], seed=3, wording=wording):
            end = question.start + len(question.answer)
            assert question.context[question.start : end] == question.answer
            assert question.answerable == bool(question.answer)
            if question.origin == "other":
                assert question.film.casefold() not in question.context.casefold()


def test_an_article_that_speaks_of_the_film_does_not_stand_for_another():
    films = [
        Film("Vertigo", "Vertigo is a 1958 film directed by Alfred Hitchcock.", 1958),
        Film("Obsession", "Obsession is a 1976 film directed by Brian De Palma after VERTIGO.", 1976),
        Film("Ran", "Ran is a 1985 film directed by Akira Kurosawa.", 1985),
    ]
    asked = [q for seed in range(20) for q in questions_of(films, seed=seed) if q.origin == "other"]
    assert {q.context for q in asked if q.film == "Vertigo"} == {films[2].text}


def test_wordings_are_disjoint_and_hold_the_title_once():
    for kind in KINDS:
        every = [text for wordings in WORDINGS.values() for text in wordings[kind]]
        assert len(set(every)) == len(every) and all(text.count("{title}") == 1 for text in every)


def test_held_out_wordings_are_never_trained_on(films):
    asked = {q.text for seed in range(3) for q in questions_of(films["test"], seed=seed)}
    patterns = [re.escape(text).replace(r"\{title\}", ".+") for kind in KINDS for text in HELD_OUT[kind]]
    assert not [text for text in asked if any(re.fullmatch(pattern, text) for pattern in patterns)]


def test_the_seed_decides(films):
    once, again, other = (questions_of(films["validation"], seed=seed) for seed in (1, 1, 2))
    assert once == again != other


def test_one_film_is_not_enough():
    with pytest.raises(UserError, match="at least 2"):
        questions_of([Film("X", "X is a 1958 film.", 1958)], seed=0)
