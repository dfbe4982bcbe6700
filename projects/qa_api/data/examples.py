"""Questions with their answers, made from documents without anybody's labels.

Four sources: facts that introductions state in so many words, with several ways of asking for each; what an editor
wrote beside a title, which asks for the name; sentences with a name, a year or a number taken out, which a question
word replaces; and, for what is not in a document, questions that a document of the same kind answers and this one
does not.

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
MOST_OF_A_FACT = 160
"""Examples of one fact: professions would be most of all."""
KINDS = (
    {"profession", "best_known", "won", "reign", "death", "nickname"},
    {"author", "director", "published"},
    {"capital", "population", "founded", "border", "river", "part_of"},
    {"species", "symbol", "number", "named_after"},
)
"""Facts of like things: of persons, works, places, nature."""
LOOSE = {"profession", "best_known", "part_of", "nickname"}
"""Facts that are stated in more ways than a pattern knows: never asked where they seem to be missing."""
ANSWERS: dict[str, str] = {
    "year": r"\b(?:1\d{3}|20[0-2]\d)\b(?!\s*(?:km|m|species|habitantes|hab))",
    "number": r"\b\d{1,3}(?:[,.  ]\d{3})*(?:[.,]\d+)?(?: (?:million|billion|millones|percent|%))?\b",
    "name": r"(?<![.!?] )(?<!^)\b[A-ZÁÉÍÓÚÑ][\w’'-]+(?: (?:(?:of|the|de|la|del|von|van) )*[A-ZÁÉÍÓÚÑ][\w’'-]+)*",
}
WORDS: dict[Language, dict[str, tuple[str, ...]]] = {
    "en": {"year": ("when", "in which year", "in what year"), "number": ("how many", "how much"),
           "name": ("who", "what", "which"), "place": ("where", "in which place", "in what country")},
    "es": {"year": ("cuándo", "en qué año"), "number": ("cuántos", "cuántas", "cuánto"),
           "name": ("quién", "qué", "cuál"), "place": ("dónde", "en qué lugar", "en qué país")},
}  # fmt: skip
PLACED = re.compile(r"\b(?:in|at|near|from|into|en|desde|hacia|cerca de)\s+(?:the |el |la )?$")
LINKING = re.compile(r"\s+(?:in|on|by|of|from|at|en|de|por|a|al|del|to|the|el|la)\s*$")
DESCRIBED: dict[Language, dict[Part, tuple[str, ...]]] = {
    "en": {"train": ("Who or what is the {D}?", "Which is the {D}?", "What is the name of the {D}?", "Name the {D}."),
           "validation": ("What do we call the {D}?",), "test": ("Tell me which one is the {D}.",)},
    "es": {"train": ("¿Quién o qué es: {D}?", "¿Cuál es el nombre de este {D}?", "¿Cómo se llama: {D}?"),
           "validation": ("¿Qué nombre damos a: {D}?",), "test": ("Dime cuál es: {D}.",)},
}  # fmt: skip
REMARK = re.compile(r"\s*\([^()]*\)")
PRONOUN = re.compile(r"^(?:He|She|It|They|Él|Ella|Ellos)\b")
LONGEST_CLOZE = 24  # words
LONGEST_ANSWER = 80  # characters


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
            matched = [(each, match) for each in own if (match := fact.find.search(each.text)) and _says(each, match)]
            random_.shuffle(matched)
            found += [_asked(fact, part, each, match, random_) for each, match in matched[:MOST_OF_A_FACT]]
    return found


def missing_examples(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Example]:
    """Facts asked of documents that do not state them: for most, nothing in the text answers.

    Half of them are facts of like things (the prize of a person of whom the death is told), which mislead more. A
    pattern misses some ways of stating a fact, so that a few of these have an answer after all.
    """
    random_ = random.Random(seed)
    own = [each for each in documents if part_of(each.title) == part]
    found: list[Example] = []
    while len(found) < count and own:
        document = random_.choice(own)
        stated = {fact.name for fact in facts(document.language) if fact.find.search(document.text)}
        like = set().union(*(kind for kind in KINDS if kind & stated)) if len(found) % 2 else set()
        open_ = [fact for fact in facts(document.language)
                 if fact.name not in stated | LOOSE and (not len(found) % 2 or fact.name in like)]  # fmt: skip
        if open_:
            fact = random_.choice(open_)
            question = _fill(random_.choice(fact.wordings[part]), document)
            found.append(Example(question, document.language, document.id, f"no {fact.name}"))
    return found


def described_examples(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Example]:
    """Questions for a name by what is written beside it: "Name the capital of Mongolia." has "Ulaanbaatar"."""
    random_ = random.Random(seed)
    own = [each for each in documents if part_of(each.title) == part and len(each.description.split()) > 1]
    random_.shuffle(own)
    found: list[Example] = []
    for document in own:
        told = REMARK.sub("", document.description)
        at = document.text.lower().find(document.name.lower())
        whole = len(document.text.lower()) == len(document.text)  # offsets are those of the text
        if len(found) < count and at >= 0 and len(told.split()) > 1 and whole:
            question = random_.choice(DESCRIBED[document.language][part]).replace("{D}", _inside(told, document.text))
            stop = at + len(document.name)
            found.append(Example(question, document.language, document.id, "described", at, stop))
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


def _inside(description: str, text: str) -> str:
    """A description within a sentence: its first letter small, unless the document writes the word with a large one."""
    first = description.split()[0]
    proper = re.search(rf"(?<=[\w,] ){re.escape(first)}\b", text)
    return description if proper or first.isupper() else description[0].lower() + description[1:]


def _says(document: Document, match: re.Match[str]) -> bool:
    """Whether the answer is one: short, and no part of the title that the question has."""
    answer = match["answer"]
    return len(answer) <= LONGEST_ANSWER and answer.casefold() not in document.title.casefold()


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
    """The clause around the gap, with a question word in front or in the gap; its pronoun becomes the title."""
    left = max(sentence.rfind(mark, 0, span[0]) for mark in (", ", "; ", " – ", ": ")) + 1
    rights = [at for mark in (", ", "; ", ". ", " – ") if (at := sentence.find(mark, span[1])) >= 0]
    before, after = sentence[left : span[0]].strip(), sentence[span[1] : min(rights, default=len(sentence))]
    placed = kind == "name" and PLACED.search(sentence[: span[0]])
    word = random_.choice(WORDS[document.language]["place" if placed else kind])
    before = PRONOUN.sub(document.name, before)
    if kind != "number":
        before = LINKING.sub("", f" {before}").strip()
    in_front = not before or random_.random() < 0.6
    told = f"{word} {before} {after}" if in_front else f"{before} {word} {after}"
    words = re.sub(r"\s+", " ", told).strip(" .,;:").split()
    if not 4 <= len(words) <= LONGEST_CLOZE:
        return ""
    asked = " ".join(words)
    if document.name.casefold() not in asked.casefold():
        asked += f" ({document.name})" if random_.random() < 0.5 else f", {document.name}"
    asked = f"{asked[0].upper()}{asked[1:]}?"
    return f"¿{asked}" if document.language == "es" else asked
