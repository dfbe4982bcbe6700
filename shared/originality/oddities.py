"""The oddity channel: what two people rarely write alike by chance: literals, misspellings, comments.

Strings and numbers that are not commonplace, words that no background file spells that way, and comments. Renaming
and restructuring leave them alone; rewording destroys them, so this channel only ever adds to the other two.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from shared.originality.hashing import label
from shared.originality.tokens import Token

MIN_STRING = 8  # characters: shorter strings are keys and modes, shared by chance
MIN_WORDS = 3  # of a comment
MIN_LETTERS = 5  # of a word: shorter ones are abbreviations
MAX_WORD = 24  # letters: longer runs are encoded data
_WORD = re.compile(r"[A-Za-z][a-z]+|[a-z]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

WEIGHTS = {"literal": 1.5, "number": 1.5, "comment": 2.5, "misspelling": 2.5, "rare word": 0.4}


@dataclass(frozen=True, slots=True)
class Oddity:
    """One thing worth noticing: its kind (a key of WEIGHTS), the text as it is shown, and its first line."""

    kind: str
    text: str
    line: int


def oddities(tokens: list[Token]) -> dict[int, Oddity]:
    """Hash -> literals, numbers, comments and words of a file; what is commonplace is sorted out by the weights."""
    found: dict[int, Oddity] = {}
    seen: set[str] = set()
    for token in tokens:
        if token.text in seen:
            continue  # only the first appearance counts
        seen.add(token.text)
        if token.kind == "comment":
            words = _WORD.findall(token.text.lower())
            if len(words) >= MIN_WORDS:
                found.setdefault(label("c:" + " ".join(words)), Oddity("comment", token.text.strip("# \t"), token.line))
        elif token.kind == "string":
            _note_string(token, found)
        elif token.kind == "number" and _is_odd_number(token.text):
            found.setdefault(label("#:" + token.text.lower()), Oddity("number", token.text, token.line))
        if token.kind in ("comment", "string", "name"):
            _note_words(token, found)
    return found


def _note_string(token: Token, found: dict[int, Oddity]) -> None:
    body = token.text.lstrip("rRbBuUfFtT")
    quotes = 3 if body[:3] in ("'''", '"""') else 1
    for line_number, line in enumerate(body[quotes:-quotes].splitlines()):
        text = " ".join(line.split())
        if len(text) >= MIN_STRING and any(character.isalpha() for character in text):
            found.setdefault(label("s:" + text), Oddity("literal", text, token.line + line_number))


def _note_words(token: Token, found: dict[int, Oddity]) -> None:
    for word in _WORD.findall(token.text):
        if MIN_LETTERS <= len(word) <= MAX_WORD:
            lower = word.lower()
            found.setdefault(label("w:" + lower), Oddity("rare word", lower, token.line))


def _is_odd_number(text: str) -> bool:
    digits = text.lower().split("e")[0].replace("_", "").strip("0.j")
    return len(digits.replace(".", "")) >= 4 and not digits.startswith("x")


@lru_cache(maxsize=1 << 14)
def misspells(word: str, vocabulary: frozenset[int]) -> bool:
    """Whether one edit (Damerau 1964: a letter more, less, other, or two swapped) makes a common word of this one.

    Args:
        word: In lower case, itself not common.
        vocabulary: 32-bit keys of common words, as `key` makes them.
    """
    if len(word) < MIN_LETTERS + 1 or (word.endswith("s") and key("w:" + word[:-1]) in vocabulary):
        return False  # a plural is no mistake
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    edits = {left + right[1:] for left, right in cuts if right}
    edits |= {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    edits |= {left + letter + right[1:] for left, right in cuts if right for letter in _LETTERS}
    edits |= {left + letter + right for left, right in cuts for letter in _LETTERS}
    return any(len(edit) > MIN_LETTERS and key("w:" + edit) in vocabulary for edit in edits - {word})


def key(text: str) -> int:
    """The 32 bits of a hash that the background table keeps."""
    return label(text) >> 32
