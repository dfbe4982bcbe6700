"""What may not be said, seen where it is split over tokens, spelt with look-alikes, or filled with what nobody sees.

    stream = Moderated(rules)
    shown = stream.push(piece)     # text that is safe to show now
    shown = stream.finish()        # the rest; `stream.stopped` says whether a rule was met

Nothing that was shown must be taken back: a tail is held back for as long as a phrase may have begun in it, and no more
than that, so that a harmless text comes as fast as the model writes it.
"""

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import UserError

# Letters that look like Latin ones and are not changed by NFKC. Source: Unicode Technical Standard 39, confusables.txt.
LOOK_ALIKES = str.maketrans("аеорсухкмнтвіјѕԁɡαερτυνοιβκ", "aeopcyxkmhtbijsdgaeptuvoibk")
LEET = str.maketrans("013457@$!", "oieastasi")
LARGEST_FILE = 2**20  # bytes
LONGEST_PHRASE = 60  # characters, folded
MOST_MARKS = 8  # invisible characters after a letter; more of them look like the end of a word
MOST_HELD = 4 * LONGEST_PHRASE  # with any white space between its words


@dataclass(frozen=True)
class Rules:
    """Phrases that are refused.

    Attributes:
        phrases: As somebody wrote them; they match between words, in any case, whatever stands invisibly within.
    """

    phrases: tuple[str, ...]
    folded: tuple[str, ...] = field(init=False, compare=False, repr=False)
    pattern: re.Pattern[str] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse phrases that cannot be held back."""
        folded = [" ".join(fold(phrase).text.split()) for phrase in self.phrases]
        for phrase, seen in zip(self.phrases, folded, strict=True):
            if not seen or len(seen) > LONGEST_PHRASE:
                raise UserError(f"a phrase has 1 to {LONGEST_PHRASE} letters: {phrase[:40]!r} has {len(seen)}")
        longest_first = sorted(folded, key=len, reverse=True)
        joined = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
        object.__setattr__(self, "folded", tuple(longest_first))
        object.__setattr__(self, "pattern", re.compile(rf"(?<!\w)(?:{joined})(?!\w)") if joined else None)

    def find(self, text: str, after: int = 0) -> int | None:
        """Where the first match at or after a place begins, or None; what is before it says where words begin."""
        if self.pattern is None:
            return None
        seen = fold(text)
        first = bisect_left(seen.places, after)
        found = self.pattern.search(seen.text, first) or self.pattern.search(seen.text.translate(LEET), first)
        return None if found is None else seen.places[found.start()]

    def begins(self, text: str, after: int = 0) -> int:
        """Where the longest end begins, at or after a place, that a phrase may begin with; else the text's length."""
        if self.pattern is None:
            return len(text)
        seen = fold(text)
        first = max(bisect_left(seen.places, after), len(seen.text) - MOST_HELD)
        for start in range(first, len(seen.text)):
            if not seen.text[start].isspace() and (start == 0 or not _of_a_word(seen.text[start - 1])):
                end = " ".join(seen.text[start:].split()) + (" " if seen.text[-1].isspace() else "")
                if any(phrase.startswith(each) for phrase in self.folded for each in (end, end.translate(LEET))):
                    return seen.places[start]
        return len(text)


def _of_a_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@dataclass(frozen=True)
class Folded:
    """A text as a reader sees it, and where each of its characters comes from."""

    text: str
    places: tuple[int, ...]


def fold(text: str) -> Folded:
    """Case, width, look-alikes and accents away; what is not visible is left out."""
    seen, places = [], []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", character):
            if unicodedata.category(part) in ("Cf", "Mn", "Me", "Cc") and not part.isspace():
                continue  # zero-width, joiners, marks of direction, accents
            for letter in part.casefold().translate(LOOK_ALIKES):
                seen.append(letter)
                places.append(place)
    return Folded("".join(seen), tuple(places))


def read_rules(path: Path) -> Rules:
    """A phrase a line; lines that begin with # are remarks.

    Raises:
        UserError: If the file cannot be read, or a phrase is too long.
    """
    try:
        with path.open("rb") as opened:
            read = opened.read(LARGEST_FILE + 1)
        if len(read) > LARGEST_FILE:
            raise UserError(f"{path}: more than {LARGEST_FILE // 1024} KiB")
        lines = read.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    return Rules(tuple(line.strip() for line in lines if line.strip() and not line.startswith("#")))


@dataclass
class Moderated:
    """An answer on its way to those who read it.

    Attributes:
        rules: What is refused.
        stopped: Whether a rule was met; nothing more is shown then.
    """

    rules: Rules
    stopped: bool = False
    _held: str = ""
    _before: str = ""

    def push(self, piece: str) -> str:
        """Take a piece; give what may be shown now."""
        self._held += piece
        return self._release(final=False)

    def finish(self) -> str:
        """The rest of what may be shown."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        if self.stopped:
            return ""
        whole, known = self._before + self._held, len(self._before)
        found = self.rules.find(whole, known)
        # A match that reaches the end of what is known may be the beginning of another word: only time tells.
        if found is not None and (final or self.rules.find(f"{whole}x", known) == found):
            self.stopped, self._held = True, ""
            return whole[known:found]
        end = len(whole) if final else self.rules.begins(whole, known)
        shown, self._held = whole[known:end], whole[end:]
        self._before = (self._before + shown)[-MOST_MARKS:]  # a word may go on from here
        return shown
