"""Words in any script: what deduplication, BM25 and the measures of answers take for the same."""

import re
import unicodedata
from collections.abc import Iterable

JOINERS = "\u200c\u200d"  # stand inside words of Persian and of Indic scripts


def _spans(points: Iterable[int]) -> str:
    """Code points in rising order as the inside of a character class: neighbours as a range."""
    spans: list[list[int]] = []
    for point in points:
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


# Python's \w leaves out combining marks, and with them most vowels of Hindi, Thai or Arabic.
_MARKS = _spans(point for point in range(0x300, 0x1F000) if unicodedata.category(chr(point)).startswith("M"))
_WORD = re.compile(rf"\w+(?:[{_MARKS}{JOINERS}]+\w*)*")


def words(text: str) -> list[str]:
    """Case-folded words, composed (NFC); a combining mark belongs to its letter.

    Text in a script without spaces (Chinese, Japanese, Thai) is one word from one punctuation mark to the next.

    Source: Unicode Standard Annex 29, rules WB4 to WB13, of which apostrophes, full stops and commas inside words are
    left out: they part words here, as everything else that is no letter, digit, mark or underscore.

    >>> words("Amélie's 2nd film")
    ['amélie', 's', '2nd', 'film']
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    return _WORD.findall(unicodedata.normalize("NFC", folded))  # folding takes some letters apart
