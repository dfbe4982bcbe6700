"""From a question to an answer, a question back, or an honest "not in them".

Documents are found, the best few are read, each span is weighed by what is known of it, and the best one is given if
its chance is high enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from projects.qa_api.ambiguity.homonyms import Option, homonyms
from projects.qa_api.ambiguity.suggest import Suggestions
from projects.qa_api.data.documents import Document, Language, normalised
from projects.qa_api.index.library import Found, Library
from projects.qa_api.index.merge import contains
from projects.qa_api.reader.calibrate import UNCALIBRATED, Calibrator, Evidence
from projects.qa_api.reader.decode import Span, read, trimmed
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.reader.rules import read_by_rules

READ = 5  # documents that are read
COMMON: dict[Language, str] = {
    "es": "que cual cuales quien quienes donde cuando como cuanto cuantos cuanta cuantas por el la los las de del en "
    "un una es fue son se su al con para y o",
    "en": "what which who whom whose where when how why the a an of in is was are were did does do to from by for and "
    "or with on",
}

Kind = Literal["answer", "none", "clarify"]


@dataclass(frozen=True)
class Given:
    """A candidate answer: words of a document, where they stand, and the chance that they are right."""

    document: Document
    start: int
    stop: int
    chance: float
    evidence: Evidence

    @property
    def text(self) -> str:
        """The very words."""
        return self.document.text[self.start : self.stop]


@dataclass(frozen=True)
class Answer:
    """What is said to a question.

    Attributes:
        given: The answer, where `kind` says so.
        candidates: All that was weighed, best first.
        options: Documents to choose from, where a question back is asked.
        suggestions: Names that may have been meant.
    """

    kind: Kind
    language: Language
    given: Given | None = None
    candidates: tuple[Given, ...] = ()
    options: tuple[Option, ...] = ()
    suggestions: tuple[str, ...] = ()


@dataclass
class Answerer:
    """Answers questions to a library.

    Attributes:
        reader: By rules without one.
    """

    library: Library
    reader: SpanReader | None
    calibrator: Calibrator = UNCALIBRATED
    _names: tuple[int, Suggestions] = field(default_factory=lambda: (-1, Suggestions(())))

    def ask(self, question: str, language: Language | None = None, *, only: str | None = None) -> Answer:
        """Answer a question; `only` is the id of the document that is meant."""
        told = language or language_of(question)
        if not normalised(question):
            return Answer("none", told)
        candidates = self.weigh(question, self.documents(question, told, only))
        best = candidates[0] if candidates else None
        limits = {"least": self.calibrator.least, "apart": self.calibrator.apart}
        if only is None and (back := homonyms(question, options_of(candidates), **limits)):
            return Answer("clarify", told, None, tuple(candidates), tuple(back))
        if best is None or best.chance < self.calibrator.threshold or not best.text:
            return Answer("none", told, None, tuple(candidates), (), tuple(self.suggestions(question)))
        return Answer("answer", told, best, tuple(candidates))

    def documents(self, question: str, language: Language, only: str | None) -> list[Found]:
        """The documents to read, and the homonyms of the best, which may be meant as well."""
        if only is not None:
            document = self.library.snapshot.documents.get(only)
            return [Found(document, 0.0)] if document else []
        found = self.library.search(question, language, 4 * READ)
        first = found[:READ]
        names = {normalised(each.document.name) for each in first[:2]}
        return first + [each for each in found[READ:] if normalised(each.document.name) in names][:READ]

    def weigh(self, question: str, found: Sequence[Found]) -> list[Given]:
        """Each document's best span with its chance, best first."""
        pairs = [(question, each.document.text) for each in found]
        spans = read(self.reader, pairs) if self.reader else read_by_rules(pairs)
        evidence = evidence_of(question, found, spans)
        chances = self.calibrator.chance(evidence) if found else np.zeros(0)
        given = []
        for each, span, own, chance in zip(found, spans, evidence, chances.tolist(), strict=True):
            given.append(Given(each.document, *trimmed(each.document.text, span), chance, own))
        return sorted(given, key=lambda one: (-one.chance, one.document.id))

    def weigh_one(self, question: str, document: Document) -> Given:
        """The best span of a document that is known to be meant."""
        return self.weigh(question, [Found(document, 0.0)])[0]

    def suggestions(self, question: str) -> list[str]:
        """Names near to what was asked, if the question has none."""
        now = self.library.snapshot
        if self._names[0] != now.seq:
            self._names = (now.seq, Suggestions(each.name for each in now.documents.values()))
        return self._names[1].near(question)


def options_of(candidates: Sequence[Given]) -> list[Option]:
    """What may be asked about."""
    return [Option(each.document, each.chance, each.text) for each in candidates if each.text]


def evidence_of(question: str, found: Sequence[Found], spans: Sequence[Span]) -> list[Evidence]:
    """What is known of each document's span."""
    asked, top = normalised(question).split(), max((each.score for each in found), default=0.0)
    told = []
    for at, (each, span) in enumerate(zip(found, spans, strict=True)):
        others = [other.margin for place, other in enumerate(spans) if place != at]
        named = float(contains(asked, normalised(each.document.name).split()))
        lead = span.margin - max(others, default=0.0)
        told.append(Evidence(span.margin, span.score, each.score - top, 1 / (1 + at), named, lead))
    return told


def language_of(text: str) -> Language:
    """Spanish or English, by marks and the commonest words; English where neither shows.

    >>> language_of("¿Quién?"), language_of("who was she"), language_of("capital de Malta")
    ('es', 'en', 'es')
    """
    if any(mark in text for mark in "¿¡ñ"):
        return "es"
    words = normalised(text).split()
    known = {language: sum(word in common.split() for word in words) for language, common in COMMON.items()}
    return "es" if known["es"] > known["en"] else "en"
