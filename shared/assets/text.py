"""What makes two texts the same, nearly the same, or different; used to deduplicate corpora and to group them.

A split that shares a text with another measures memory. Sameness has two degrees here: texts with equal keys
(`text_key`) are one and only one copy is kept; near duplicates (`near_duplicates`) stay, but in one group, and a group
is never divided.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from shared.words import words

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that every word of a run keeps its weight modulo 2⁶⁴


def text_key(text: str) -> str:
    """The words alone (`shared.words`): case folded, punctuation gone ("What 's up ?" equals "what s up").

    A text without a single word ("?!", ":-)") is its own key, stripped.
    """
    return " ".join(words(text)) or text.strip()


def split_key(text: str) -> str:
    """What a split draws its lots from, and never what texts are compared by.

    A word is here what it was when the splits were made first: letters and digits, parted by combining marks. So the
    splits stay, and what was measured on them.
    """
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()


def shingles(text: str, size: int, keep: int = 1) -> frozenset[int]:
    """Hashes of the runs of `size` words in a text; of one that is shorter, the hash of all of it.

    Args:
        text: Anything; compared by its `text_key`.
        size: Words in a run, at least 1.
        keep: Only hashes divisible by it stay, about one in `keep`: an unbiased sample of the set, the same in every
            text, so Jaccard similarities of samples estimate those of the sets.

    Source: Broder 1997, "On the resemblance and containment of documents", §2 and §4 (the mod m sketch). A polynomial
    over CRC-32 of the words takes the place of his fingerprints: Python's own hash changes from process to process.
    """
    each = text_key(text).encode().split() or [b""]
    codes = np.array([zlib.crc32(word) for word in each], dtype=np.uint64)
    size = min(size, len(codes))
    runs = len(codes) - size + 1
    hashes = np.zeros(runs, dtype=np.uint64)
    for offset in range(size):
        hashes = hashes * _BASE + codes[offset : offset + runs]  # modulo 2⁶⁴
    hashes ^= hashes >> np.uint64(32)
    return frozenset(hashes[hashes % np.uint64(keep) == 0].tolist())


def near_duplicates(texts: Iterable[str], *, size: int, threshold: float, keep: int = 1) -> list[int]:
    """Group number of each text: texts linked by a chain of pairs with Jaccard similarity ≥ threshold share one.

    Exact over the (sampled) shingles: no pair is missed.

    Args:
        texts: In any order; of each only the shingles are kept.
        size: Words in a shingle.
        threshold: In (0, 1].
        keep: Share of the shingles that are kept.

    Returns:
        For each text, the position of the first text of its group.
    """
    sets = [shingles(text, size, keep) for text in texts]
    parent = list(range(len(sets)))
    for left, right in _candidates(sets, threshold):
        roots = _root(parent, left), _root(parent, right)
        if roots[0] != roots[1] and jaccard(sets[left], sets[right]) >= threshold:
            parent[max(roots)] = min(roots)
    return [_root(parent, position) for position in range(len(sets))]


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """Size of the intersection over that of the union; 0 for two empty sets, which say nothing."""
    common = len(left & right)
    return common / (len(left) + len(right) - common) if common else 0.0


def _candidates(sets: Sequence[frozenset[int]], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs that share one of their rare shingles.

    Two sets with similarity ≥ t share at least ⌈t·|A|⌉ members, so at least one lies among the |A| − ⌈t·|A|⌉ + 1 rarest
    of each. Source: Chaudhuri, Ganti and Kaushik 2006, prefix filtering.
    """
    frequency = Counter(member for each in sets for member in each)
    holders: dict[int, list[int]] = defaultdict(list)
    for position, each in enumerate(sets):
        needed = -int(-threshold * len(each) // 1)  # ⌈t·|A|⌉
        by_rarity = sorted(each, key=lambda member: (frequency[member], member))
        seen: set[int] = set()
        for member in by_rarity[: len(each) - needed + 1]:
            if frequency[member] > 1:
                seen.update(holders[member])
                holders[member].append(position)
        yield from ((other, position) for other in sorted(seen))


def _root(parent: list[int], position: int) -> int:
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = parent[position]
    return position
