"""What is measured question by question, against what it says by hand."""

import pytest

from projects.rag_agent.evaluate import reciprocal_rank
from projects.rag_agent.measure import (
    Bench,
    answering,
    confidences,
    fusing,
    passages_for,
    ranks,
    refusing,
    searching,
)
from projects.rag_agent.models.rag_module import confidence
from projects.rag_agent.questions import Question

WHO = Question("Who directed Ran?", "director", "Ran", ("Akira Kurosawa",))
MEANT = Question("Which film of 1979 did Ridley Scott direct?", "names", "Alien", ("Alien",))
OTHER = Question("Which film of 1995 did Michael Mann direct?", "reworded", "Ran", ("Ran",))
LEXICAL = {"method": "bm25", "weight": 0.5, "constant": 10.0}


def test_the_rank_is_that_of_the_films_best_passage(retriever, make_passage):
    retriever.add([make_passage("Heat", "Michael Mann did direct Heat, a film of 1995.", 1)])
    retriever.rank_by(**LEXICAL)
    films = [found.passage.title for found in retriever.search(OTHER.text, 50)]
    (first, film), (second, best) = ranks(retriever, [MEANT, OTHER])
    assert (first, film, best) == (1.0, "Alien", "Heat")
    assert films[:2] == ["Heat", "Heat"]  # which counts once
    assert second == reciprocal_rank(list(dict.fromkeys(films)), "Ran") > 1 / (films.index("Ran") + 1)


def test_searching_says_where_the_film_stands_and_what_it_shares(retriever, documents):
    (numbers, kept), (missed, _) = searching([MEANT, OTHER], retriever, LEXICAL, documents)
    assert numbers == {"recall_1": 1.0, "recall_5": 1.0, "mrr": 1.0, "shared": 0.8}  # "direct" is not "directed"
    assert kept == {"film": "Alien", "question": MEANT.text, "first": "Alien"}
    assert missed["recall_1"] == 0.0 and 0 < missed["mrr"] < 1 and missed["shared"] < 0.8
    assert retriever.method == "bm25"


def test_every_fusion_is_tried_on_every_set(retriever):
    both = {"method": "rrf", "weight": 0.2, "constant": 1.0}
    asked = [MEANT, OTHER, Question("A picture of 1985 about Kurosawa?", "other_words", "Ran", ("Ran",))]
    (words, said), (fused, also) = fusing(asked, retriever, [LEXICAL, both])
    assert (said, also) == (LEXICAL, both) and (fused["weight"], fused["constant"]) == (0.2, 1.0)
    assert words["mrr_names"] == 1.0 and words["mrr_reworded"] < 1.0
    means = [words[f"mrr_{kind}"] for kind in ("names", "reworded", "other_words")]
    assert words["mrr"] == pytest.approx(sum(means) / 3, abs=1e-6)


def test_refused_is_what_is_less_confident_than_the_threshold(retriever):
    questions = [WHO, Question("What is the capital of Peru?", "off topic", "Peru", ())]
    found = [retriever.search(question.text, 2) for question in questions]
    sure = [confidence(each, 0.5) for each in found]
    by_share = [numbers for numbers, _ in confidences(questions, retriever, 2, (0.0, 0.5))]
    assert [numbers["share_0.5"] for numbers in by_share] == sure and by_share[0].keys() == {"share_0", "share_0.5"}
    judged = list(refusing(questions, retriever, 2, 0.5, sure[0]))  # at the threshold a question is answered
    assert [numbers["refused"] for numbers, _ in judged] == [0.0, 1.0] and sure[0] > sure[1]
    assert [kept["film"] for _, kept in judged] == ["Ran", "Peru"]


def test_each_arm_gives_the_model_what_it_says(retriever, make_passage):
    assert passages_for(retriever, WHO, "closed_book", 2) == []
    assert len(passages_for(retriever, WHO, "retrieved", 2)) == 2
    retriever.add([make_passage("Heat", "Who directed Ran? Akira Kurosawa directed Ran.", 1)])
    (right,) = passages_for(retriever, WHO, "right", 1)
    assert right.passage.title == "Ran" and "Akira Kurosawa" in right.passage.text
    unstated = Question(WHO.text, "director", "Ran", ("Sidney Lumet",))
    first = retriever.search(WHO.text, 1)
    assert passages_for(retriever, unstated, "right", 1) == first and first[0].passage.title == "Heat"


def test_answers_are_scored_and_their_sources_looked_at(make_module):
    said = ("Akira Kurosawa", "He was Akira Kurosawa", "Sidney Lumet")
    module = make_module(*said)
    found = [next(iter(answering([WHO], module, "right", 1)))[0] for _ in said]
    assert [numbers["exact"] for numbers in found] == [1.0, 0.0, 0.0]
    assert [numbers["named"] for numbers in found] == [1.0, 1.0, 0.0]
    assert [numbers["faithful"] for numbers in found] == [1.0, 1.0, 0.0]  # "he was" is no topic
    assert {numbers["in_passages"] for numbers in found} == {1.0} and found[1]["f1"] == pytest.approx(2 * 0.5 / 1.5)


def test_without_passages_nothing_is_said_of_them(make_module):
    module = make_module("Akira Kurosawa")
    module.template = type(module.template)("Answer.", "{question}")
    ((numbers, kept),) = answering([WHO], module, "closed_book", 1)
    assert numbers == {"exact": 1.0, "f1": 1.0, "named": 1.0}
    assert kept == {"question": WHO.text, "film": "Ran", "answer": "Akira Kurosawa", "right": ["Akira Kurosawa"]}
    assert "passage" not in str(module.generator.prompts).lower()


def test_questions_are_drawn_by_their_texts_alone(documents, make_module):
    asked = [Question(f"Who directed film {n}?", "director", str(n), ("x",)) for n in range(40)]
    part = {str(n): "tune" if n % 2 else "test" for n in range(40)}
    module = make_module()
    bench = Bench(documents, module.retriever, module.generator, asked, part)
    turned = Bench(documents, module.retriever, module.generator, asked[::-1], part)
    drawn = bench.drawn("test", "director", 5)
    assert drawn == turned.drawn("test", "director", 5) and len(drawn) == 5
    assert {part[question.film] for question in drawn} == {"test"} and drawn != sorted(drawn, key=lambda q: q.film)
    assert bench.of("tune", "director") == asked[1::2] and bench.of("tune", "cast") == []
