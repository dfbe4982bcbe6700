"""Queries for retrieval whose right document is known: what an editor wrote beside a title, in a few words.

A description ("1942 film by Michael Curtiz") is no part of a document's text, so that finding the document by it is
no copying. Those that share a word with the title are left out, and those of fewer than four words.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from projects.qa_api.data.documents import Document, Language, Part, normalised, part_of

SHORTEST = 4  # words


@dataclass(frozen=True)
class Query:
    """A text, its language, and the id of the document that it is about."""

    text: str
    language: Language
    document: str


def descriptions(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Query]:
    """Queries of one part, drawn; none twice, and none that two documents share."""
    shared = Counter(normalised(each.description) for each in documents)
    fit = [each for each in documents if part_of(each.title) == part and _fits(each)]
    fit = [each for each in fit if shared[normalised(each.description)] == 1]
    random.Random(seed).shuffle(fit)
    return [Query(each.description, each.language, each.id) for each in fit[:count]]


def across(documents: Sequence[Document], part: Part, count: int, seed: int = 0) -> list[Query]:
    """Spanish descriptions of titles that have an English document: the right one is that."""
    english = {each.title: each for each in documents if each.language == "en"}
    fit = [each for each in documents if each.language == "es" and part_of(each.title) == part and _fits(each)]
    fit = [each for each in fit if each.title in english and not _shares(each.description, english[each.title])]
    random.Random(seed).shuffle(fit)
    return [Query(each.description, "es", english[each.title].id) for each in fit[:count]]


def _fits(document: Document) -> bool:
    return len(document.description.split()) >= SHORTEST and not _shares(document.description, document)


def _shares(text: str, document: Document) -> bool:
    return bool(set(normalised(text).split()) & set(normalised(document.title).split()))
