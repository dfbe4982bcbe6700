"""Questions with their answers, made from documents without anybody's labels.

Three sources: facts that introductions state in so many words, with several ways of asking for each; sentences with a
name, a year or a number taken out, which a question word replaces; and, for what is not in a document, questions that
a document of the same kind answers and this one does not.

Sources: Mintz et al. 2009, "Distant supervision"; Lewis et al. 2019, "Unsupervised question answering by cloze
translation", §2 (questions in the order of the sentence); Rajpurkar et al. 2018, "Know what you don't know".
"""

import random
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from projects.qa_api.data.documents import Document, Language, Part, part_of, sentences

FACTS = Path(__file__).with_name("facts.toml")
MOST_OF_A_FACT = 250
"""Examples of one fact: professions would be most of all."""
ANSWERS: dict[str, str] = {
    "year": r"\b(?:1\d{3}|20[0-2]\d)\b(?!\s*(?:km|m|species|habitantes|hab))",
    "number": r"\b\d{1,3}(?:[,.  ]\d{3})*(?:[.,]\d+)?(?: (?:million|billion|millones|percent|%))?\b",
    "name": r"(?<![.!?] )(?<!^)\b[A-ZÁÉÍÓÚÑ][\w’'-]+(?: (?:(?:of|the|de|la|del|von|van) )*[A-ZÁÉÍÓÚÑ][\w’'-]+)*",
}
WORDS: dict[Language, dict[str, tuple[str, ...]]] = {
    "en": {"year": ("When", "In which year", "What year"), "number": ("How many", "How much", "What number"),
           "name": ("Who", "What", "Which", "Where")},
    "es": {"year": ("¿Cuándo", "¿En qué año"), "number": ("¿Cuántos", "¿Cuántas", "¿Cuánto"),
           "name": ("¿Quién", "¿Qué", "¿Cuál", "¿Dónde")},
}  # fmt: skip
PRONOUN = re.compile(r"^(?:He|She|It|They|Él|Ella|Ellos)\b")
LONGEST_CLOZE = 24  # words


@dataclass(frozen=True)
class Example:
    """A question to a document.

    Attributes:
        document: Id.
        start: Offset of the answer in the document's text, `stop` the one behind it; None where it has none.
        kind: Which fact, or which kind of cloze.
    """

    question: str
    language: Language
    document: str
    kind: str
    start: int | None = None
    stop: int | None = None

    def answer(self, document: Document) -> str:
        """The words of the document, "" without an answer."""
        return document.text[self.start : self.stop] if self.start is not None else ""


@dataclass(frozen=True)
class Fact:
    """A pattern, and wordings by part."""

    name: str
    find: re.Pattern[str]
    wordings: dict[Part, tuple[str, ...]]


@cache
def facts(language: Language) -> tuple[Fact, ...]:
    """What facts.toml says for a language."""
    told = tomllib.loads(FACTS.read_text(encoding="utf-8"))[language]
    parts: tuple[Part, ...] = ("train", "validation", "test")
    return tuple(
        Fact(name, re.compile(each["find"]), {part: tuple(each[part]) for part in parts}) for name, each in told.items()
    )


def fact_examples(documents: Sequence[Document], part: Part, seed: int = 0) -> list[Example]:
    """A question for each fact that a document of the part states, by a wording of the part."""
    found: list[Example] = []
    random_ = random.Random(seed)
    for language in ("en", "es"):
        own = [each for each in documents if each.language == language and part_of(each.title) == part]
        for fact in facts(language):
            matched = [(each, match) for each in own if (match := fact.find.search(each.text))]
            random_.shuffle(matched)
            found += [_asked(fact, part, each, match, random_) for each, match in matched[:MOST_OF_A_FACT]]
    return found


def missing_examples(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Example]:
    """Facts asked of documents that do not state them: for most, nothing in the text answers.

    A pattern misses some ways of stating a fact, so that a few of these have an answer after all; a document with the
    fact's own words elsewhere is left out.
    """
    random_ = random.Random(seed)
    own = [each for each in documents if part_of(each.title) == part]
    found: list[Example] = []
    while len(found) < count and own:
        document = random_.choice(own)
        fact = random_.choice(facts(document.language))
        if not fact.find.search(document.text) and fact.name not in ("profession", "best_known", "part_of"):
            question = _fill(random_.choice(fact.wordings[part]), document)
            found.append(Example(question, document.language, document.id, f"no {fact.name}"))
    return found


def cloze_examples(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Example]:
    """Sentences in which a question word stands for a name, a year or a number; one a document."""
    random_ = random.Random(seed)
    own = [each for each in documents if part_of(each.title) == part]
    random_.shuffle(own)
    found: list[Example] = []
    for document in own:
        if len(found) == count:
            break
        if example := _cloze(document, random_):
            found.append(example)
    return found


def moved_examples(
    examples: Sequence[Example],
    near: Callable[[str, Language], Sequence[str]],
    documents: dict[str, Document],
    count: int,
    seed: int = 0,
) -> list[Example]:
    """Questions put to another document that is near to them by its words, and does not hold the answer.

    Args:
        near: Ids of documents near to a question, best first.
    """
    random_ = random.Random(seed)
    order = [each for each in examples if each.start is not None]
    random_.shuffle(order)
    found: list[Example] = []
    for each in order:
        if len(found) == count:
            break
        answer = each.answer(documents[each.document]).casefold()
        others = [other for other in near(each.question, each.language)
                  if other != each.document and answer not in documents[other].text.casefold()
                  and part_of(documents[other].title) == part_of(documents[each.document].title)]  # fmt: skip
        if others:
            found.append(Example(each.question, each.language, others[0], "moved"))
    return found


def _asked(fact: Fact, part: Part, document: Document, match: re.Match[str], random_: random.Random) -> Example:
    start, stop = match.span("answer")
    question = _fill(random_.choice(fact.wordings[part]), document)
    return Example(question, document.language, document.id, fact.name, start, stop)


def _fill(wording: str, document: Document) -> str:
    return wording.replace("{T}", document.name).replace("{S}", document.name.rsplit(" ", maxsplit=1)[-1])


def _cloze(document: Document, random_: random.Random) -> Example | None:
    """A question from one sentence, or None if none is fit."""
    spans = sentences(document.text)
    random_.shuffle(spans)
    for start, stop in spans[:3]:
        sentence = document.text[start:stop]
        kind = random_.choice(sorted(ANSWERS))
        hits = [match for match in re.finditer(ANSWERS[kind], sentence) if match[0] not in document.title]
        if hits:
            hit = random_.choice(hits)
            question = _question(sentence, hit.span(), kind, document, random_)
            if question:
                at = start + hit.start()
                return Example(question, document.language, document.id, f"cloze {kind}", at, start + hit.end())
    return None


def _question(sentence: str, span: tuple[int, int], kind: str, document: Document, random_: random.Random) -> str:
    """The clause around the gap behind a question word; its pronoun becomes the title, its order stays."""
    left = max(sentence.rfind(mark, 0, span[0]) for mark in (", ", "; ", " – ", ": ")) + 1
    rights = [at for mark in (", ", "; ", ". ", " – ") if (at := sentence.find(mark, span[1])) >= 0]
    right = min(rights) if rights else len(sentence)
    rest = f"{sentence[left : span[0]]} {sentence[span[1] : right]}".strip(" .,;:")
    rest = re.sub(r"\s+(?:in|on|by|of|from|en|de|por|a|al|del|to|the|el|la)\s*$", "", re.sub(r"\s+", " ", rest))
    rest = PRONOUN.sub(document.name, rest)
    words = rest.split()
    if not 3 <= len(words) <= LONGEST_CLOZE:
        return ""
    named = document.name.casefold() in rest.casefold()
    word = random_.choice(WORDS[document.language][kind])
    about = "" if named else f" ({document.name})" if random_.random() < 0.5 else f", {document.name}"
    return f"{word} {rest[0].lower() if named is False else rest[0]}{rest[1:]}{about}?"
