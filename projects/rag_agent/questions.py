"""Questions made from the film articles by templates, each with its film and the answers that are right.

Three sets ask for a film, with fewer and fewer of the article's words; none uses a word of the title:

    names         "Which film of 1958 did Alfred Hitchcock direct, with James Stewart and Kim Novak?"
    reworded      a sentence of the article about its plot, without names, with other words where `paraphrases` has them
    other_words   the same, and the words for which it has none are left out too

Fact questions (year, director, cast) name the film and ask for what the article's first sentences say. The unanswerable
ones name films whose article is not among the documents, or ask something else altogether (TREC).
"""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from projects.rag_agent.data import Document, sentences
from projects.rag_agent.paraphrases import COUNTRIES, GENRES, PARAPHRASES
from projects.rag_agent.retriever.lexical import STOPWORDS, terms
from shared.assets.film_pages import year as year_of
from shared.assets.splits import assign, shuffled
from shared.words import words

Kind = Literal["names", "reworded", "other_words", "year", "director", "cast", "not indexed", "off topic"]
SEARCHES: tuple[Kind, ...] = ("names", "reworded", "other_words")
FACTS: tuple[Kind, ...] = ("year", "director", "cast")
SPLITS = {"tune": 0.4, "test": 0.6}

_WORD = r"(?:(?:[A-ZÀ-Þ]\.)+|[JS]r\.|[A-ZÀ-Þ][\w’'\-]+)"
_LINK = r"(?:de|von|van|der|den|la|del|di|da|le|du|ter|bin|dos|y|al)"
_NAME = rf"{_WORD}(?: (?:{_LINK} )*{_WORD}){{1,3}}"
_ROLE = r"(?:(?:[A-Z]\w+(?:-[A-Z]\w+)* )?(?:director|filmmaker|film-maker|auteur)s? )?"
_DIRECTED = re.compile(rf"\b[Dd]irected (?:and \w+ )?by {_ROLE}({_NAME}(?:(?:, and | and |, ){_NAME})?)")
_STARRING = re.compile(rf"\b(?:[Ss]tarring|[Ss]tars) ({_NAME}(?:(?:, and | and |, ){_NAME})*)")
_BETWEEN = re.compile(r", and | and |, ")
_CUE = re.compile(
    r"\b(?:follows|tells|centers|centres|is set|about|concerns|depicts|chronicles|focuses|revolves|portrays|recounts)\b"
)
_BRACKETS = re.compile(r"\s*\([^)]*\)")
FEWEST = 5  # words that are replaced in a question in other words
LEAST_REPLACED = 0.4  # of its content words
FEWEST_REPLACED = 3  # words that are replaced in a reworded one


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        kind: What is asked for: a film (SEARCHES), a fact about one (FACTS), or what no document answers.
        film: Title of the film that it is about, or "".
        answers: All that are right; for a search the title alone, for an unanswerable question none.
    """

    text: str
    kind: Kind
    film: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Year, directors and cast as the opening of an article states them; empty where it does not."""

    year: str
    directors: tuple[str, ...]
    cast: tuple[str, ...]


def facts_of(document: Document) -> Facts:
    """Year, directors and cast by the opening's own words.

    >>> facts_of(Document("", "X", "X is a 1958 film directed by Ann Lee, starring Al Fox, Bo Dee and Cy Orr."))
    Facts(year='1958', directors=('Ann Lee',), cast=('Al Fox', 'Bo Dee', 'Cy Orr'))
    """
    opening = _BRACKETS.sub("", " ".join(sentences(document.text)[:3]))
    stated = year_of(document.text)
    directed, starring = _DIRECTED.search(opening), _STARRING.search(opening)
    return Facts(
        str(stated) if stated > 0 else "",
        _names(directed[1]) if directed else (),
        _names(starring[1]) if starring else (),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(_BETWEEN.split(text))


def split_of(documents: Sequence[Document]) -> dict[str, str]:
    """Film → tune or test: constants and thresholds are chosen on the former, numbers reported on the latter."""
    titles = [document.title for document in documents]
    return assign(titles, [""] * len(titles), SPLITS)


def search_questions(documents: Sequence[Document]) -> list[Question]:
    """One question of each set in SEARCHES for every film that has the words for it."""
    made = []
    for document in documents:
        title = content(document.title)
        asked: tuple[tuple[Kind, str], ...] = (
            ("names", _by_names(document)),
            ("reworded", _reworded(document, title)),
            ("other_words", _in_other_words(document, title)),
        )
        for kind, text in asked:
            if text and not title & content(text):
                made.append(Question(text, kind, document.title, (document.title,)))
    return made


def fact_questions(documents: Sequence[Document]) -> list[Question]:
    """Year, director and cast of every film whose article states them."""
    made = []
    for document in documents:
        facts, name = facts_of(document), re.sub(r" \((?:\d{4} )?film\)$", "", document.title)
        asked: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
            ("year", f"In which year was {name} released?", (facts.year,) if facts.year else ()),
            ("director", f"Who directed {name}?", (*facts.directors, " and ".join(facts.directors))),
            ("cast", f"Name an actor in {name}.", facts.cast),
        )
        for kind, text, answers in asked:
            right = tuple(dict.fromkeys(answer for answer in answers if answer))
            if right:
                made.append(Question(text, kind, document.title, right))
    return made


def drawn_by_lot(documents: Sequence[Document], size: int = 6, seed: int = 0) -> list[Question]:
    """Fact questions on the films that nothing was chosen on; one more says "it" of the film before.

    The lot is drawn once for all: whoever picked the questions could pick what the agent knows.
    """
    split = split_of(documents)
    facts = [question for question in fact_questions(documents) if split[question.film] == "test"]
    asked = random.Random(seed).sample(facts, min(size, len(facts)))
    years = [question for question in facts if asked and question.film == asked[-1].film and question.kind == "year"]
    again = [Question("In which year was it released?", each.kind, each.film, each.answers) for each in years]
    return asked if asked[-1:] == years else asked + again


def unanswerable_questions(documents: Sequence[Document]) -> list[Question]:
    """As many about films that are not among the documents as questions of TREC.

    The former are the titles whose article turned out to be about something else; a title that some document mentions
    is left out.
    """
    from shared.assets import film_articles, trec

    everything = _unadorned(" ".join(f"{document.title}. {document.text}" for document in documents))
    titles = sorted(row["title"] for part in film_articles().values() for row in part if row["mispaired"])
    absent = [title for title in titles if (said := _unadorned(title)).strip() and said not in everything]
    patterns = ("Who directed {}?", "In which year was {} released?", "Name an actor in {}.")
    films = [
        Question(patterns[number % 3].format(title), "not indexed", title, ()) for number, title in enumerate(absent)
    ]
    asked = sorted((row["text"] for row in trec()["test"]), key=shuffled)[: len(films)]
    return films + [Question(_joined(text), "off topic", text, ()) for text in asked]


def _unadorned(text: str) -> str:
    """The words with a space before and behind each, without what people leave out of titles: accents, articles."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return f" {' '.join(word for word in words(plain) if word not in ('a', 'an', 'the'))} "


def _joined(text: str) -> str:
    """TREC's "What 's the capital of Peru ?" as one would type it."""
    return re.sub(r" (?=[?.,!]|'s\b)", "", text)


def content(text: str) -> set[str]:
    """The words that a retriever can match, as BM25 sees them."""
    return set(terms(text))


def shared_words(question: Question, document: Document) -> float:
    """Share in [0, 1] of a question's content words that its film's article holds."""
    asked = content(question.text)
    return len(asked & content(f"{document.title} {document.text}")) / len(asked) if asked else 0.0


def _by_names(document: Document) -> str:
    facts = facts_of(document)
    if not (facts.year and facts.directors and facts.cast):
        return ""
    return (
        f"Which film of {facts.year} did {' and '.join(facts.directors)} direct, with {' and '.join(facts.cast[:2])}?"
    )


def _plot(document: Document) -> str:
    """The first sentence that tells of the plot, from the telling word on, without brackets."""
    for sentence in sentences(document.text):
        cue = _CUE.search(sentence)
        if cue and len(sentence[cue.end() :].split()) >= FEWEST:
            return _BRACKETS.sub("", sentence[cue.start() :])
    return ""


def _reworded(document: Document, title: set[str]) -> str:
    tokens = [token for token in _plot(document).rstrip(".").split() if not _named(token)]
    replaced = [PARAPHRASES.get(_bare(token), token) for token in tokens]
    if sum(_bare(token) in PARAPHRASES for token in tokens) < FEWEST_REPLACED:
        return ""
    kept = _without(title, " ".join(replaced))
    return f"Which film {'is ' if kept[0] == 'about' else ''}{_without_runs(kept)}?"


def _in_other_words(document: Document, title: set[str]) -> str:
    """The sentence that loses least: most of its content words have another, few are left out."""
    best, share = [], 0.0
    for sentence in sentences(_BRACKETS.sub("", document.text)):
        tokens = [_bare(token) for token in sentence.split()]
        replaced = sum(token in PARAPHRASES for token in tokens)
        topical = sum(token.casefold() not in STOPWORDS for token in tokens if token)
        if replaced >= FEWEST and replaced / topical > share:
            best, share = tokens, replaced / topical
    if share < LEAST_REPLACED:
        return ""
    known = [token for token in best if token in PARAPHRASES or (token in STOPWORDS and not _named(token))]
    kept = _without(title, " ".join(PARAPHRASES.get(token, token) for token in known))
    return f"Which picture{_manner(document)} is it: {_without_runs(kept)}?"


def _bare(token: str) -> str:
    """A word without the punctuation around it."""
    return re.sub(r"[^\w'’-]", "", token)


def _without(title: set[str], text: str) -> list[str]:
    """The words of a text but those of the title."""
    return [word for word in text.split() if not content(word) & title]


def _manner(document: Document) -> str:
    """Country, genre and decade in other words."""
    opening = sentences(document.text)[0]
    country = next((f" from {COUNTRIES[word]}" for word in opening.split() if word in COUNTRIES), "")
    genre = next((f" {GENRES[word]}" for word in re.findall(r"[a-z]+", opening) if word in GENRES), "")
    return f"{country}{',' if country and genre else ''}{genre}"


def _without_runs(tokens: Sequence[str]) -> str:
    """Function words that lost the words between them: of a run only the last two stay."""
    kept: list[str] = []
    for token in tokens:
        kept.append(token)
        if len(kept) >= 3 and all(word.casefold() in STOPWORDS for word in kept[-3:]):
            del kept[-3]
    while kept and kept[-1].casefold() in STOPWORDS:
        kept.pop()
    return " ".join(kept)


def _named(token: str) -> bool:
    """Whether a word is a name, a number or a year: a capital or a digit in it."""
    return any(letter.isupper() or letter.isdigit() for letter in token)
