"""Copies and near copies, found as documents come by, and stories, found when all are there."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np

from shared.assets.splits import joined
from shared.assets.text import shingles, text_key

PERMUTATIONS, BANDS = 64, 16  # 16 bands of 4: a pair of similarity 0.5 meets in some band with probability 0.64
SHINGLE = 5  # words
THRESHOLD = 0.5  # estimated Jaccard similarity from which two documents are near copies
_DRAWN = np.random.Generator(np.random.PCG64(20170201)).integers(1 << 64, size=(2, PERMUTATIONS), dtype=np.uint64)

STORY = 0.2  # share of the shorter document's shingles from which two documents tell one story
BOILERPLATE = 100  # a shingle that so many documents share is an outlet's formula and tells no story

Signature = tuple[int, ...]


def signature(text: str) -> Signature:
    """MinHash signature: the smallest hashes of the text's shingles under 64 permutations.

    Source: Broder 1997, "On the resemblance and containment of documents"; the share of equal places estimates the
    Jaccard similarity of two sets.
    """
    members = np.fromiter(shingles(text, SHINGLE), dtype=np.uint64)
    factors, shifts = _DRAWN | np.uint64(1)
    hashed = (members[:, None] * factors + shifts) >> np.uint64(32)  # modulo 2⁶⁴, then the well-mixed half
    return tuple(hashed.min(0).tolist())


class Seen:
    """Documents so far; what is kept of one is a few hundred bytes."""

    def __init__(self) -> None:
        self._digests: set[str] = set()
        self._signatures: list[Signature] = []
        self._bands: dict[tuple[int, Signature], list[int]] = defaultdict(list)

    @staticmethod
    def digest(text: str) -> str:
        """The same for texts with the same words."""
        return hashlib.sha256(text_key(text).encode()).hexdigest()[:32]

    def copy(self, digest: str) -> bool:
        """Whether a document with this digest was seen; it is remembered."""
        if digest in self._digests:
            return True
        self._digests.add(digest)
        return False

    def near_copy(self, text: str) -> bool:
        """Whether a document like it was kept; if not, it is remembered as kept."""
        mine = signature(text)
        for other in {each for band in _bands(mine) for each in self._bands.get(band, ())}:
            theirs = self._signatures[other]
            if sum(a == b for a, b in zip(mine, theirs, strict=True)) >= THRESHOLD * PERMUTATIONS:
                return True
        for band in _bands(mine):
            self._bands[band].append(len(self._signatures))
        self._signatures.append(mine)
        return False


def _bands(mine: Signature) -> list[tuple[int, Signature]]:
    """Rare groups of places: documents that agree in one of them are compared."""
    rows = PERMUTATIONS // BANDS
    return [(band, mine[band * rows : (band + 1) * rows]) for band in range(BANDS)]


def stories(texts: Iterable[str], keep: int = 1) -> list[int]:
    """Position of the first text of each one's story: texts are linked where the longer holds a fifth of the shorter.

    Near duplicates by Jaccard similarity miss a note that a long article takes up: it is small beside their union.

    Args:
        texts: In the order in which they are told.
        keep: One shingle in so many is compared.

    Source: Broder 1997, §2: containment.
    """
    hashes = [np.fromiter(shingles(text, SHINGLE, keep), dtype=np.uint64) for text in texts]
    common = Counter(pair for those in _sharing(hashes) for pair in combinations(those, 2))
    links = [[str(position)] for position in range(len(hashes))]
    for (first, second), count in common.items():
        if count >= STORY * min(len(hashes[first]), len(hashes[second])):
            links[second].append(str(first))
    return [int(first) for first in joined(links)]


def _sharing(hashes: list[np.ndarray]) -> Iterator[list[int]]:
    """For each shingle of several documents, but too few for boilerplate, their positions in rising order."""
    if not hashes:
        return
    every = np.concatenate(hashes)
    owners = np.repeat(np.arange(len(hashes)), [len(each) for each in hashes])
    order = np.argsort(every, kind="stable")
    every, owners = every[order], owners[order]
    ends = np.append(np.flatnonzero(every[1:] != every[:-1]) + 1, len(every))
    starts = np.append(0, ends[:-1])
    shared = (ends - starts > 1) & (ends - starts <= BOILERPLATE)
    for start, end in zip(starts[shared].tolist(), ends[shared].tolist(), strict=True):
        yield owners[start:end].tolist()
