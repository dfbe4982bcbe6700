"""A film of the catalogue: what is known of it, and the parts of its text."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["introduction", "plot", ""]

_ABBREVIATIONS = r"(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bJr\.)(?<!\bvs\.)(?<!\bBros\.)"
_SENTENCE_END = re.compile(rf"(?<=[.!?])[\"”')\]]*{_ABBREVIATIONS}\s+(?=[\"“'(\[A-ZÀ-Þ0-9])")
_PART = r"[A-ZÀ-Þ](?:\.|[\w'’\-]+)"
_NAME = rf"{_PART}(?: +(?:(?:de|del|della|van|von|der|den|la|le|du|di|da|bin|al) +)*{_PART})+"
_LIST = re.compile(rf"\s*({_NAME}(?:\s*(?:,\s*and|,|and|&)\s*{_NAME})*)")
_CUE = re.compile(
    r"\b(?:directed|written|produced|co-written|screenplay|score|starring|stars|star|played|films?)\b[^.,(]{0,40}?"
    r"\b(?:by|of|with|starring|stars)\b|\b(?:starring|stars|star)\b"
)
_IN_BRACKETS = re.compile(rf"\(({_NAME})\)")
_CAPITALISED = re.compile(rf"\b(?:{_PART}|[A-ZÀ-Þ]\b)(?: +(?:(?:de|van|von|der|la|le|du|di) +)*{_PART})*")
_PRODUCTION = re.compile(
    r"\b(film|films|movie|directed|director|starring|stars|star|cast|released|release|premiered|awards?|oscars?|"
    r"nominated|"
    r"nominations?|won|wins prize|palme|box office|gross(ed|es)?|budget|produced|producer|screenplay|screenwriter|"
    r"written|"
    r"based on|adapt(ed|ation)|novel|critics?|critical|reviews?|acclaim(ed)?|festival|cinema|cinematograph\w+|"
    r"soundtrack|score|sequel|prequel|remake|trilogy|registry|institute|shot|filmed|filming|edited|footage|rated|poll|"
    r"masterpiece|greatest|genre|debut|studio|distributed|dvd|blu-ray|title|published|century)\b",
    re.IGNORECASE,
)
MOST_TEXT = 20_000
"""Characters of a text that are taken."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film, as the catalogue keeps it.

    Attributes:
        id: Its number, which a title never takes the place of.
        title: As people write it, with the article in front.
        year: When it came out; 0 if unknown.
        genres: In alphabetical order.
        people: Who made it or plays in it, as far as its text names them.
        text: An encyclopedia's introduction, a plot, or "".
        kind: Which of these the text is.
    """

    id: int
    title: str
    year: int = 0
    genres: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    text: str = ""
    kind: Kind = ""

    @property
    def digest(self) -> str:
        """Digest of all that its vectors depend on: with an equal digest nothing has to be computed again."""
        told = json.dumps([self.title, self.year, self.genres, self.people, self.text], ensure_ascii=False)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `film_of` reads it."""
        return asdict(self)


def film_of(told: dict[str, Any]) -> Film:
    """A film from what `as_dict` gave."""
    return Film(**{**told, "genres": tuple(told["genres"]), "people": tuple(told["people"])})


def sentences(text: str) -> list[str]:
    """Sentences of a text, in order.

    >>> sentences("Dr. Strange (J. Doe) falls. He gets up! Why?")
    ['Dr. Strange (J. Doe) falls.', 'He gets up!', 'Why?']
    """
    return [piece.strip() for piece in _SENTENCE_END.split(text[:MOST_TEXT].strip()) if piece.strip()]


def people(text: str, kind: Kind) -> tuple[str, ...]:
    """Names of those who made a film or play in it, by the words that go before them, or in brackets in a plot.

    >>> people("A film directed by Ridley Scott and starring Tom Skerritt, John Hurt and Ian Holm.", "introduction")
    ('Ridley Scott', 'Tom Skerritt', 'John Hurt', 'Ian Holm')
    """
    found: list[str] = []
    if kind == "introduction":
        for cue in _CUE.finditer(text):
            listed = _LIST.match(text, cue.end())
            found += re.findall(_NAME, listed[1]) if listed else []
    found += _IN_BRACKETS.findall(text) if kind == "plot" else []
    return tuple(dict.fromkeys(name.rstrip(".,'’") for name in found))


def without_names(film: Film) -> str:
    """The text with names of people, places and the film itself taken out: capitalised words that open no sentence.

    >>> without_names(Film(id=1, title="Alien", text="In space Ripley fights. Ridley Scott directs Alien."))
    'In space somebody fights. somebody directs somebody.'
    """
    first_words = set(film.title.split()) | {word for name in film.people for word in name.split()}
    masked = []
    for sentence in sentences(film.text):
        start, _, rest = sentence.partition(" ")
        rest = _CAPITALISED.sub("somebody", rest)
        opening = "somebody" if start.strip(".,'’()") in first_words or _goes_on(sentence) else start
        masked.append(re.sub(r"somebody(,? somebody)+", "somebody", f"{opening} {rest}".strip()))
    return " ".join(masked)


def _goes_on(sentence: str) -> bool:
    """Whether a sentence opens with a name of two words or more."""
    return re.match(rf"{_NAME}", sentence) is not None


def story(film: Film) -> str:
    """The sentences that tell what happens, without those about who made the film, prizes and money; "" if none.

    A plot is all story. Of an introduction a sentence stays if it says nothing of the making, or says outright that it
    tells the story.
    """
    if film.kind != "introduction":
        return film.text
    told = sentences(film.text)[1:]  # the first says what the film is
    return " ".join(each for each in told if not _PRODUCTION.search(each) or _tells(each))


def _tells(sentence: str) -> bool:
    found = re.search(
        r"\b(film|movie|story|plot|picture|it|set in)\b[^.]{0,60}\b(follows|tells|depicts|concerns|cent(er|re)s|"
        r"revolves|"
        r"is about|deals with|focus(es)? on|portrays|chronicles|recounts)\b",
        sentence,
        re.IGNORECASE,
    )
    return found is not None
