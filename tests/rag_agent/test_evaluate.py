"""Scores against their definitions, questions against what they promise."""

import statistics

import numpy as np
import pytest

from projects.rag_agent.agents.routing import REQUESTS
from projects.rag_agent.data import Document, load_documents
from projects.rag_agent.evaluate import (
    balanced_accuracy,
    best_confidence,
    best_threshold,
    exact_match,
    f1,
    holds,
    reciprocal_rank,
    share_below,
)
from projects.rag_agent.models.rag_module import Found, citations, confidence
from projects.rag_agent.questions import (
    FACTS,
    SEARCHES,
    content,
    fact_questions,
    facts_of,
    search_questions,
    shared_words,
    split_of,
    unanswerable_questions,
)
from shared.assets.text import text_key


@pytest.fixture(scope="module")
def films():
    return load_documents("film_articles")


@pytest.fixture(scope="module")
def searches(films):
    return search_questions(films)


def test_exact_match_and_f1_are_squads_with_the_best_of_several_answers():
    assert exact_match("the 1958.", ["1959", "1958"]) == 1.0 and exact_match("in 1958", ["1958"]) == 0.0
    assert exact_match("Andre", ["André"]) == f1("Andre", ["André"]) == 0.0  # accents count
    assert f1("Jean-Luc Godard", ["Jean Luc Godard"]) == pytest.approx(2 / 5)  # a hyphen joins


@pytest.mark.parametrize(
    ("answer", "right", "value"),
    [
        ("Ridley Scott", ["Ridley Scott"], 1.0),
        ("Scott", ["Ridley Scott"], 2 / 3),
        ("by Ridley Scott", ["Ridley Scott"], 0.8),
        ("Scott Scott", ["Ridley Scott"], 0.5),
        ("Hitchcock", ["Ridley Scott", "Alfred Hitchcock"], 2 / 3),
        ("", ["x"], 0.0),
    ],
)
def test_f1_by_hand(answer, right, value):
    assert f1(answer, right) == pytest.approx(value)


def test_an_answer_is_held_word_for_word():
    assert holds("directed by Ridley Scott.", ["ridley scott"])
    assert not holds("directed by Ridley Scottish", ["Ridley Scott"])
    assert not holds("anything", [""])
    assert holds("by Ridley–Scott", ["Ridley Scott"]) and not holds("Ridley and Scott", ["Ridley Scott"])
    assert holds("«Le Fabuleux Destin d’Ame\u0301lie»", ["Amélie"])  # composed or not, it is the same letter
    assert not holds("लड़का", ["लड़की"]) and not holds("लड़का", ["लड़"])


def test_reciprocal_rank():
    assert [reciprocal_rank(list("abc"), x) for x in "abcd"] == [1.0, 0.5, 1 / 3, 0.0]


def test_the_threshold_is_the_best_of_all():
    scores, truth = [0.9, 0.8, 0.4, 0.5, 0.2, 0.1], [True, True, True, False, False, False]
    chosen = best_threshold(scores, truth)
    best = max(balanced_accuracy(scores, truth, cut) for cut in np.linspace(0, 1, 501))
    assert balanced_accuracy(scores, truth, chosen) == best == pytest.approx(5 / 6)
    assert balanced_accuracy([0.5, 0.5], [True, False], 0.5) == 0.5  # at the threshold a question is answered


def test_the_confidence_is_the_one_that_separates_best_of_equals_that_with_more_of_the_cosine():
    truth = [True, True, False, False]
    mixed, apart = [0.9, 0.2, 0.8, 0.1], [0.9, 0.7, 0.4, 0.1]
    assert best_confidence({0.0: mixed, 0.5: apart, 1.0: mixed}, truth) == (0.5, 0.55)
    assert best_confidence({0.5: apart, 0.7: apart, 1.0: mixed}, truth) == (0.7, 0.55)


def test_what_lies_at_the_threshold_is_not_refused():
    assert share_below([0.1, 0.5, 0.5, 0.9], 0.5) == 0.25 and share_below([0.1, 0.2, 0.9], 0.5) == 0.6667


def test_citations_need_every_new_word(make_passage):
    found = [Found(make_passage("Vertigo", "Vertigo is a 1958 film by Alfred Hitchcock."), 1.0, 0.5, 0.5)]
    ask = "When was Vertigo released?"
    assert citations("Vertigo was released in 1958.", found, ask) == [1]
    assert citations("Vertigo was released in 1959.", found, ask) == []
    assert citations("1958 by Hitchcock and Welles", found, ask) == []
    assert citations("19", found, ask) == []  # a part of a word is no word
    assert citations("the", found, ask) == citations("", found, ask) == []
    assert confidence(found, 0.5) == 0.5 and confidence([], 0.5) == 0.0


# ---------------------------------------------------------------- questions


def test_no_search_question_has_a_word_of_the_title(searches):
    assert not [q for q in searches if content(q.text) & content(q.film)]


def test_each_set_shares_fewer_words_than_the_one_before(searches, films):
    texts = {film.title: film for film in films}
    means = [statistics.mean(shared_words(q, texts[q.film]) for q in searches if q.kind == kind) for kind in SEARCHES]
    assert means == sorted(means, reverse=True) and means[0] > 0.85 and means[-1] < 0.15
    assert all(sum(q.kind == kind for q in searches) > 100 for kind in SEARCHES)


def test_the_parts_share_no_film(films, searches):
    split = split_of(films)
    assert split == split_of(films[::-1])  # whatever the order
    assert 0.38 < sum(part == "tune" for part in split.values()) / len(split) < 0.42
    assert {q.film for q in searches} <= split.keys()


def test_facts_are_read_from_the_opening():
    text = (
        "X (Danish: Y) is a 1958 film directed by Danish filmmaker Lars von Trier and J. J. Doe Jr. and starring "
        "Al Fox, Bo Dee, and Cy Orr. The film was shown."
    )
    facts = facts_of(Document("X", "X", text))
    assert facts.directors == ("Lars von Trier", "J. J. Doe Jr.") and facts.cast == ("Al Fox", "Bo Dee", "Cy Orr")
    assert facts_of(Document("X", "X", "A text about nothing.")).year == ""


def test_the_right_answers_stand_in_the_article(films):
    texts = {film.title: film.text for film in films}
    questions = fact_questions(films)
    assert all(sum(q.kind == kind for q in questions) > 300 for kind in FACTS)
    assert all(holds(texts[q.film], q.answers) for q in questions)
    assert all(
        answer == answer.strip(" .,") or answer.endswith(("Jr.", "Sr.")) for q in questions for answer in q.answers
    )


def test_unanswerable_questions_name_no_film_of_the_documents(films):
    titles = {text_key(film.title) for film in films}
    questions = unanswerable_questions(films)
    kinds = [q.kind for q in questions]
    assert kinds.count("not indexed") == kinds.count("off topic") > 100
    assert not [q for q in questions if text_key(q.film) in titles]


def test_the_routing_set_is_balanced():
    tools = [tool for tool, _, _ in REQUESTS]
    assert {tools.count(tool) for tool in set(tools)} == {12} and len({text for _, text, _ in REQUESTS}) == 48
