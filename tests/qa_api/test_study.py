"""The whole study in small, from nothing and again; the questions by hand stand as they were written."""

import dataclasses

import pytest

from projects.qa_api import study, train
from projects.qa_api.config import SMOKE, Config
from projects.qa_api.data import documents
from projects.qa_api.evaluate import questions
from projects.qa_api.index.encoder import SentenceEncoder
from projects.qa_api.measure import answering, searching, shown
from projects.qa_api.measure.answering import Answering
from projects.qa_api.measure.searching import Searching
from shared.errors import UserError
from shared.report import read_csv

CACHED = (train._questions, train.word_index, searching.every_document, searching.nearest, searching.hits,
          searching.taught_merge, answering.shelf)  # fmt: skip


@pytest.fixture
def small(tmp_path, monkeypatch, encoder, tiny_reader):
    """Some titles of both languages, those of ten questions among them; words for vectors; a BERT of two layers."""
    asked = [each for language in ("en", "es") for each in [q for q in questions() if q.language == language][:6]]
    asked += [each for each in questions() if each.kind != "clear"][::9]
    named = {each.document for each in asked} | {title for each in asked for title, _ in each.options}
    known = {
        language: tuple(
            each for at, each in enumerate(documents.introductions(language)) if at % 120 == 0 or each.title in named
        )
        for language in ("en", "es")
    }
    for module in (train, searching):
        monkeypatch.setattr(module, "introductions", lambda language: known[language])
    monkeypatch.setattr(answering, "load_documents", lambda _: known["en"] + known["es"])
    monkeypatch.setattr(answering, "questions", lambda: tuple(asked))
    monkeypatch.setattr(SentenceEncoder, "load", classmethod(lambda *_: encoder))
    for module in (searching, answering):
        monkeypatch.setattr(module, "document_vectors", lambda found, by: by.encode([d.text for d in found], "passage"))
    for each in CACHED:
        each.cache_clear()
    model = tiny_reader.name
    monkeypatch.setitem(shown.READERS, model, "MiniLM")
    base = dataclasses.replace(SMOKE, model=model, facts=True, tokens=64, batch=16)
    parts = ("searches", "readers", "answers")
    config = study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results", only=parts)
    yield lambda: study.Study(
        config, (0, 1), (model,), base,
        Searching(task="en", method="words", queries=6, taught=8), Answering(reader="rules", taught=8, calibrated=8),
    )  # fmt: skip
    for each in CACHED:
        each.cache_clear()


def test_a_study_from_nothing_and_again(small, monkeypatch):
    first = small()
    study.main(first.config, first)
    names = {path.stem for path in first.config.out.glob("*.csv")}
    assert names == {table.name for table in shown.TABLES}
    kept = {path.name: path.read_bytes() for path in first.config.out.glob("*.csv")}
    rows = read_csv(first.config.out / "search.csv")
    assert len(rows) == len(searching.TASKS) * len(searching.METHODS)
    for name in ("train", "answered", "searched"):
        monkeypatch.setattr(study, name, lambda *_, **__: pytest.fail("measured again"))
    again = small()
    study.main(again.config, again)
    assert {path.name: path.read_bytes() for path in again.config.out.glob("*.csv")} == kept


def test_an_unknown_part_is_refused():
    with pytest.raises(UserError, match="--only nothing: the parts are searches"):
        study.main(study.StudyConfig(only=("nothing",)))


def test_the_questions_by_hand_are_those_that_were_counted():
    every = questions()
    assert [sum(each.language == language for each in every) for language in ("en", "es")] == [150, 100]
    titles = {
        (each.language, each.title): each for language in ("en", "es") for each in documents.introductions(language)
    }
    for each in every:
        if each.kind == "clear":
            text = titles[each.language, each.document].text.replace("\u00a0", " ")
            assert any(answer in text for answer in each.answers), each.text


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(UserError, match="nothing is left to learn from"):
        Config(facts=False, described=0, cloze=0)
