"""What a film's article says of it: who directed, when, who stars, based on what, each with its place in the text.

The rules prefer precision: a sentence that they do not understand gives no fact, since a wrong answer in the training
data costs more than a missing one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["director", "year", "stars", "basis"]
KINDS: tuple[Kind, ...] = ("director", "year", "stars", "basis")

OPENING = 700  # characters in which an article says what its film is; later on it speaks of other films too

_WORD = r"(?:[A-ZÀ-ÞŌŠŽ]\.(?:[A-Z]\.)*|[A-ZÀ-ÞŌŠŽ][\w’'\-]*[^\W_](?: Jr\.| Sr\.)?)"
_PARTICLE = r"(?:von|van|der|den|de|del|della|di|da|dos|du|la|le|al|el|bin|ibn)"
_NAME = rf"{_WORD}(?: (?:{_PARTICLE} )*{_WORD})*"
_COUPLE = rf"{_NAME}(?:(?:, {_NAME})*,? (?:and|&) {_NAME})?"  # a list counts only if "and" closes it
_LIST = rf"{_NAME}(?:, {_NAME})*(?:,? (?:and|&) {_NAME})?"
_CALLING = r"(?:(?:the )?(?:[A-Z]\w+(?:[-–][A-Z]\w+)? )?(?:film ?makers?|film directors?|directors?|auteur) )?"
_SOURCE = (
    r"(?:novels?|novella|book|play|short story|story|stories|manga|memoirs?|poem|autobiography|comic|musical|tale)"
)

_PATTERNS: dict[Kind, re.Pattern[str]] = {
    "director": re.compile(rf"\bdirected(?:(?:, |,? and )[\w-]+){{0,3}} by {_CALLING}({_COUPLE})"),
    "stars": re.compile(rf"\b(?:starring|[Tt]he film stars|It stars|and stars|, stars) ({_LIST})"),
    "basis": re.compile(
        rf"\b[Bb]ased (?:up)?on ([^.;,()]{{0,90}}?\b{_SOURCE}\b[^.;,()]{{0,90}}?(?: by {_COUPLE})?)"
        r"(?=[.;,()]| and | starring )"
    ),
}
# Of people: "Icelandic musician Björk", "Renoir's brother", "Academy Award-nominated"; the first capitals are no name.
_DOUBTFUL = re.compile(
    rf"[\w-]+ (?!(?:and|as|in|with|for|{_PARTICLE})\b)[a-z]+|[^.,;()]*?(?:-nominated|-winning)"
    r"|[\w ]+['’]s (?!\d{4})[a-z]+ [A-Z]"
)
_CUES: dict[Kind, re.Pattern[str]] = {  # an article without them does not answer the question in any wording
    "director": re.compile(r"direct|film by|filmmaker|helmed|made by", re.IGNORECASE),
    "stars": re.compile(r"star|cast|featur|play|role|perform|appear|actor|actress| with ", re.IGNORECASE),
    "basis": re.compile(r"based|adapt|novel|book|play|stor(y|ies)|inspir|remake|version|legend", re.IGNORECASE),
}


@dataclass(frozen=True)
class Fact:
    """One thing that an article says: text[start:end] == answer.

    Attributes:
        kind: What is answered.
        answer: As the article spells it.
        start: First character of the answer in the article.
    """

    kind: Kind
    answer: str
    start: int

    @property
    def end(self) -> int:
        """One past the answer's last character."""
        return self.start + len(self.answer)


def facts_of(text: str, year: int) -> Iterator[Fact]:
    """The facts that an article states in a form that the rules know.

    Args:
        text: The article.
        year: The film's year, as the opening states it; negative if it does not.
    """
    for kind, pattern in _PATTERNS.items():
        found = pattern.search(text if kind == "basis" else text[:OPENING])
        if found and (kind == "basis" or not _DOUBTFUL.match(text, found.start(1))):
            yield Fact(kind, found.group(1).rstrip(), found.start(1))
    stated = re.search(rf"\b{year}\b", text[:OPENING]) if year > 0 else None
    if stated:
        yield Fact("year", stated.group(), stated.start())


def silent_on(text: str) -> list[Kind]:
    """The kinds of question that the article cannot answer: it lacks every word that stands beside an answer."""
    return [kind for kind, cue in _CUES.items() if not cue.search(text)]
