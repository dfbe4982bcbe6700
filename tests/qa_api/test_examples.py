"""Questions that are made of documents, and those that people wrote: what they ask stands where they say."""

import json

import pytest

from projects.qa_api.data.documents import Document, asked_about, introductions, normalised, part_of
from projects.qa_api.data.examples import (
    KINDS,
    cloze_examples,
    described_examples,
    fact_examples,
    facts,
    missing_examples,
    moved_examples,
)
from projects.qa_api.data.published import published
from projects.qa_api.evaluate import questions
from shared.errors import UserError


@pytest.fixture(scope="module")
def documents():
    return [*introductions("en")[:1500], *introductions("es")[:1000]]


def test_every_answer_is_the_documents_own_words_and_every_title_is_of_its_part(documents):
    known = {each.id: each for each in documents}
    for make in (fact_examples, lambda d, p: described_examples(d, p, 80), lambda d, p: cloze_examples(d, p, 80)):
        found = make(documents, "train")
        assert len(found) > 60
        for each in found:
            document = known[each.document]
            assert part_of(document.title) == "train" and document.language == each.language
            assert each.answer(document).strip()
            assert each.answer(document) == document.text[each.start : each.stop]


def test_a_cloze_does_not_say_its_answer_and_a_description_asks_for_the_name(documents):
    known = {each.id: each for each in documents}
    for each in described_examples(documents, "train", 60):
        assert each.answer(known[each.document]).lower() == known[each.document].name.lower()
    for each in cloze_examples(documents, "train", 60):
        assert each.question.endswith("?") and (each.question[0] == "¿") == (each.language == "es")


def test_what_is_missing_is_stated_nowhere_and_half_of_it_is_of_like_things(documents):
    known = {each.id: each for each in documents}
    found = missing_examples(documents, "train", 80)
    like = 0
    for each in found:
        text, wanted = known[each.document].text, each.kind.removeprefix("no ")
        stated = {fact.name for fact in facts(each.language) if fact.find.search(text)}
        assert each.start is None and wanted not in stated
        like += any(wanted in kind and kind & stated for kind in KINDS)
    assert like >= 40


def test_a_moved_question_is_put_to_a_document_without_its_answer(documents):
    known = {each.id: each for each in documents}
    found = fact_examples(documents, "train")[:50]
    others = [each.id for each in documents]
    moved = moved_examples(found, lambda *_: others, known, 20)
    asked = {each.question: each for each in found}
    assert len(moved) == 20
    for each in moved:
        before = asked[each.question]
        assert before.answer(known[before.document]).casefold() not in known[each.document].text.casefold()
        assert part_of(known[each.document].title) == "train"


def test_what_the_questions_by_hand_are_about_is_seen_by_nothing_that_is_trained():
    for each in questions():
        for title in (each.document, *(title for title, _ in each.options)):
            assert not title or part_of(title) == "test", title
    assert len(asked_about()) > 150 and normalised("Muhammad Ali") in asked_about()


def test_a_title_is_in_one_part_whatever_its_language_and_remark():
    assert part_of("Mole (unit)") == part_of("Mole (animal)") == part_of("Mole")


# ---------------------------------------------------------------- what people wrote


def squad(path, **changed):
    text = "Malta is an island. Its capital is Valletta."
    asked = {
        "question": "What is the capital?",
        "answers": [{"text": "Valletta", "answer_start": text.index("Valletta")}],
    }
    none = {"question": "Who rules it?", "answers": [], "is_impossible": True}
    told = {"data": [{"title": title, "paragraphs": [{"context": text, "qas": [asked | changed, none]}]}
                     for title in map(str, range(40))]}  # fmt: skip
    path.write_text(json.dumps(told), encoding="utf-8")
    return str(path)


def test_a_file_in_the_format_of_squad_is_read_with_its_unanswerable_questions(tmp_path):
    parts = {part: published(squad(tmp_path / "s.json"), part) for part in ("train", "validation", "test")}
    assert sum(len(examples) for _, examples in parts.values()) == 80
    documents, examples = parts["train"]
    (document,) = documents
    assert isinstance(document, Document)
    assert {each.answer(document) for each in examples} == {"Valletta", ""}


def test_an_answer_that_is_not_there_and_a_file_that_is_none_are_refused(tmp_path):
    wrong = squad(tmp_path / "s.json", answers=[{"text": "Valletta", "answer_start": 3}])
    with pytest.raises(UserError, match="'Valletta' does not stand at 3"):
        published(wrong, "train")
    (tmp_path / "t.json").write_text('{"data": [{}]}', encoding="utf-8")
    with pytest.raises(UserError, match="no file in SQuAD's format"):
        published(str(tmp_path / "t.json"), "train")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE=0"):
        published("nobody/nothing", "train")
