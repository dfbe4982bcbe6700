"""Whether a question names something of which there are several: then a question back is better than a guess.

Two documents are homonyms if their titles differ in the remark in brackets alone ("Mole (animal)", "Mole (unit)"), and
aliases of one thing if they are the same page in two languages or say the same. A question that tells them apart (it
has words that one of the documents has and the others lack) is clear.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from projects.qa_api.data.documents import Document, normalised
from projects.qa_api.index.merge import contains

MOST_OPTIONS = 6


@dataclass(frozen=True)
class Option:
    """A document that may be meant, with the chance that its own answer is right."""

    document: Document
    chance: float
    answer: str


def homonyms(question: str, options: Sequence[Option], *, least: float, apart: float) -> list[Option]:
    """The options to ask about: at least two documents of one name that the question has, each with a good answer.

    Args:
        options: What may be meant by a question, best first.
        least: Chance that an option must have.
        apart: How much of the best one's chance it must have, 0 to 1; of all options, named or not.
    """
    asked = normalised(question).split()
    named = [each for each in options if _names(asked, normalised(each.document.name))]
    if not named:
        return []
    name, good = normalised(named[0].document.name), max(least, apart * options[0].chance)
    kept: list[Option] = []
    for each in named:
        same = normalised(each.document.name) == name and each.chance >= good
        if same and not any(alias(each, other) for other in kept):
            kept.append(each)
    answers = {normalised(each.answer) for each in kept}
    if len(kept) < 2 or len(answers) < 2 or told_apart(question, [each.document for each in kept]):
        return []
    return kept[:MOST_OPTIONS]


def alias(one: Option, other: Option) -> bool:
    """Whether both are one thing: the same document, the same title in another language, the same text."""
    a, b = one.document, other.document
    return a.id == b.id or (a.title == b.title and a.language != b.language) or normalised(a.text) == normalised(b.text)


def told_apart(question: str, documents: Sequence[Document]) -> bool:
    """Whether a word of the question stands in one of the documents and in none of the others."""
    told = [set(normalised(f"{each.title} {each.text}").split()) for each in documents]
    name = normalised(documents[0].name).split()
    asked = {word for word in normalised(question).split() if len(word) > 3} - {*name, *(f"{word}s" for word in name)}
    return any(sum(word in each for each in told) == 1 for word in asked)


def _names(asked: Sequence[str], name: str) -> bool:
    return contains(asked, name.split()) or contains(asked, f"{name}s".split())
