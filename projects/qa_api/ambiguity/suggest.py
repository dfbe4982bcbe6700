"""What somebody may have meant who misspelled a name, or asked nothing: titles near to it.

Words are compared by trigrams first, so that few are left to compare letter by letter.
"""

from collections import defaultdict
from collections.abc import Iterable
from difflib import SequenceMatcher

from projects.qa_api.data.documents import normalised

LEAST = 0.78  # likeness of a word and a name
SHORTEST = 4  # letters


class Suggestions:
    """Names of documents, found in spite of a slip."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {normalised(name): name for name in names}
        self._with: dict[str, set[str]] = defaultdict(set)
        for plain in self._names:
            for part in trigrams(plain):
                self._with[part].add(plain)

    def near(self, text: str, most: int = 3) -> list[str]:
        """Names like a piece of the text that is itself no name, the most like first."""
        words = normalised(text).split()
        scored: dict[str, float] = {}
        for length in (1, 2, 3):
            for at in range(len(words) - length + 1):
                piece = " ".join(words[at : at + length])
                if len(piece) >= SHORTEST and piece not in self._names:
                    for name in self._sharing(piece):
                        like = SequenceMatcher(None, piece, name).ratio()
                        scored[name] = max(scored.get(name, 0.0), like)
        best = sorted((-like, name) for name, like in scored.items() if like >= LEAST)
        return [self._names[name] for _, name in best[:most]]

    def _sharing(self, piece: str) -> list[str]:
        """Names that share at least half of the trigrams."""
        parts = trigrams(piece)
        count: dict[str, int] = defaultdict(int)
        for part in parts:
            for name in self._with.get(part, ()):
                count[name] += 1
        return [name for name, shared in count.items() if 2 * shared >= len(parts) and abs(len(name) - len(piece)) <= 3]


def trigrams(text: str) -> set[str]:
    """Three letters at a time, with the ends marked.

    >>> sorted(trigrams("ab"))
    [' ab', 'ab ']
    """
    told = f" {text} "
    return {told[at : at + 3] for at in range(len(told) - 2)}
