"""What a reader answers to the questions that were written by hand, and how its scores are calibrated before."""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from projects.qa_api.ambiguity.homonyms import homonyms
from projects.qa_api.answers import Answer, Answerer, Given, options_of
from projects.qa_api.config import Config
from projects.qa_api.data.documents import Document, Language, by_title, load_documents, part_of
from projects.qa_api.data.examples import Example
from projects.qa_api.evaluate import Question, Scored, at_most_wrong, questions, scored
from projects.qa_api.index.encoder import SentenceEncoder, document_vectors
from projects.qa_api.index.library import Library
from projects.qa_api.index.store import Store
from projects.qa_api.measure.searching import LANGUAGES, every_document, taught_merge
from projects.qa_api.reader.calibrate import RIGHT, Calibrator, Judged, fit_calibrator
from projects.qa_api.train import load_reader
from projects.qa_api.train import questions as made_questions
from projects.qa_api.trained import save_fitted
from shared.progress import track
from shared.study import Item

TENANT = "study"
MOST_WRONG, MOST_NEEDLESS = 0.05, 0.02
WHAT: dict[Language, str] = {"en": "What is {}?", "es": "¿Qué es {}?"}


@dataclass(frozen=True, kw_only=True)
class Answering:
    """One reader on the questions by hand."""

    reader: str
    """A model that was trained, or "rules"."""
    language: Language = "en"
    seed: int = 0
    encoder: str = "e5"
    taught: int = 600
    """As in Searching."""
    calibrated: int = 120
    """Questions of the validation titles that the calibrator is fitted on."""


@cache
def shelf(encoder: str, taught: int, dataset: str) -> Library:
    """Documents as the service keeps them, made once a process, in a folder that goes when it ends; without anything
    taught, searches are merged by reciprocal ranks.
    """
    model = SentenceEncoder.load(encoder)
    folder = Path(tempfile.mkdtemp(prefix="qa_api-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = Store(folder / "store.sqlite", model.identity)
    for language in LANGUAGES:
        documents = [each for each in load_documents(dataset) if each.language == language]
        store.put_all(TENANT, documents, document_vectors(documents, model))
    return Library(store, TENANT, model, taught_merge(encoder, taught) if taught else None)


def calibration(reader: str, count: int) -> list[Example]:
    """Made questions of validation titles, with and without an answer; all documents are searched: none is "moved"."""
    made = [each for each in made_questions(Config(model=reader), "validation").examples if each.kind != "moved"]
    return made[:count]


def judged(answerer: Answerer, asked: Sequence[Example]) -> list[Judged]:
    """Every candidate of every question, with how right it is."""
    known, found = every_document(), []
    for example in track(asked, description="questions of validation", total=len(asked)):
        candidates = answerer.weigh(example.question, answerer.documents(example.question, example.language, None))
        answer = example.answer(known[example.document])
        right = [
            scored(each.text, [answer], example.language).f1 if answer and each.text else 0.0 for each in candidates
        ]
        found.append(Judged(tuple(each.evidence for each in candidates), tuple(right), bool(answer)))
    return found


def fitted(
    directory: Path | None, encoder: str, taught: int, calibrated: int, dataset: str = "introductions"
) -> Answerer:
    """The reader of a run with its merge and its calibrator, which are kept beside it; without a run, the rules."""
    here = shelf(encoder, taught, dataset)
    reader = load_reader(directory) if directory else None
    answerer = Answerer(here, reader)
    asked = calibration(reader.name if reader else encoder, calibrated)
    answerer.calibrator = with_sure(judged(answerer, asked))
    answerer.calibrator = with_asking(answerer, asked[: calibrated // 2])
    if directory:
        save_fitted(directory, here.merge, answerer.calibrator)
    return answerer


def with_sure(found: Sequence[Judged]) -> Calibrator:
    """A calibrator, with the chance from which on few answers of validation are wrong."""
    made = fit_calibrator(found)
    best = [int(made.chance(each.evidence).argmax()) for each in found if each.evidence]
    told = [each for each in found if each.evidence]
    chance = np.array([made.chance([each.evidence[at]])[0] for each, at in zip(told, best, strict=True)])
    right = np.array([float(each.right[at] >= RIGHT) for each, at in zip(told, best, strict=True)])
    return replace(made, sure=min(1.0, at_most_wrong(chance, right, MOST_WRONG).threshold))


def with_asking(answerer: Answerer, clear: Sequence[Example]) -> Calibrator:
    """A calibrator that asks back as often as it can where titles of training and validation have homonyms, and in at
    most a fiftieth of clear questions; of equals the most willing.
    """
    made, documents = answerer.calibrator, answerer.library.snapshot.documents.values()
    asked = [(WHAT[language].format(name), language, True) for language, name in shared_names(documents)]
    asked += [(each.question, each.language, False) for each in clear if each.start is not None]
    told = []
    for question, language, several in track(asked, description="names of several things", total=len(asked)):
        candidates = answerer.weigh(question, answerer.documents(question, language, None))
        told.append((question, options_of(candidates), several))

    def rates(least: float, apart: float) -> tuple[float, float]:
        backs = [(bool(homonyms(each, options, least=least, apart=apart)), several) for each, options, several in told]
        return tuple(sum(b for b, s in backs if s == wanted) / max(sum(s == wanted for _, s in backs), 1)
                     for wanted in (True, False))  # type: ignore[return-value]  # fmt: skip

    grid = [
        (share * made.threshold, apart) for share in (0.0, 0.1, 0.25, 0.5, 1.0) for apart in (0.0, 0.1, 0.2, 0.35, 0.5)
    ]
    fit = [limits for limits in grid if rates(*limits)[1] <= MOST_NEEDLESS] or grid[-1:]
    least, apart = max(fit, key=lambda limits: rates(*limits)[0])
    return replace(made, least=least, apart=apart)


def shared_names(documents: Iterable[Document]) -> list[tuple[Language, str]]:
    """Names of several things, each in its language; none that the questions by hand, or the test titles, are about."""
    found: dict[tuple[Language, str], list[str]] = {}
    for each in documents:
        if part_of(each.title) != "test":
            found.setdefault((each.language, each.name), []).append(each.id)
    return [name for name, ids in found.items() if len(ids) > 1]


def asked_of(language: Language) -> list[Question]:
    """The questions by hand in a language."""
    return [each for each in questions() if each.language == language]


def answered(answerer: Answerer, config: Answering) -> Iterator[Item]:
    """What is said to each question, with all documents to search, and with its own document given."""
    titles = by_title(every_document().values())
    every = asked_of(config.language)
    for question in track(every, description=f"questions by hand, {config.reader}", total=len(every)):
        told = answerer.ask(question.text, question.language)
        own = titles[question.language, question.document] if question.kind == "clear" else None
        given = answerer.weigh_one(question.text, own) if own else None
        yield numbers(question, told, given, answerer.calibrator.sure), kept(question, told)


def numbers(question: Question, told: Answer, own: Given | None, sure: float) -> dict[str, float]:
    """Numbers of one question: each measure only where it says something."""
    best = told.candidates[0] if told.candidates else None
    found: dict[str, float] = {}
    if question.kind == "ambiguous":
        return {"asked_ambiguous": float(told.kind == "clarify")}
    end = against(question, told.given.text if told.given else "")
    found["overall"], found["said_none"] = end.f1, float(told.kind == "none")
    found["chance"] = best.chance if best else 0.0
    found["right"] = float(question.kind == "clear" and best is not None and against(question, best.text).f1 >= RIGHT)
    found["covered"] = float(found["chance"] >= sure)
    if found["covered"]:
        found["wrong"] = 1 - found["right"]
    if question.kind == "clear":
        given = against(question, own.text if own and own.evidence.margin > 0 else "")
        found |= {"exact": end.exact, "f1": end.f1, "given_exact": given.exact, "given_f1": given.f1}
        found["asked_clear"] = float(told.kind == "clarify")
        found["found"] = float(any(each.document.title == question.document for each in told.candidates))
    return found


def kept(question: Question, told: Answer) -> dict[str, Any]:
    """What was said, for the errors."""
    best = told.candidates[0] if told.candidates else None
    return {"question": question.text, "kind": question.kind, "said": told.kind, "right": list(question.answers),
            "answer": best.text if best else "", "document": best.document.title if best else ""}  # fmt: skip


def against(question: Question, given: str) -> Scored:
    """How right an answer is."""
    return scored(given, question.answers if question.kind == "clear" else (), question.language)
