"""Copies and near copies, found as documents come by: what is kept of a document is a few hundred bytes."""

import hashlib
from collections import defaultdict

import numpy as np

from shared.assets.text import shingles, text_key

PERMUTATIONS, BANDS = 64, 16  # 16 bands of 4: a pair of similarity 0.5 meets in some band with probability 0.64
RUN = 5  # words of a shingle
THRESHOLD = 0.5  # estimated Jaccard similarity from which two documents are near copies
_DRAWN = np.random.Generator(np.random.PCG64(20170201)).integers(1 << 64, size=(2, PERMUTATIONS), dtype=np.uint64)

Signature = tuple[int, ...]


def signature(text: str) -> Signature:
    """Smallest hashes of the text's runs of five words under 64 permutations.

    Source: Broder 1997, "On the resemblance and containment of documents"; the share of equal places estimates the
    Jaccard similarity of two sets.
    """
    members = np.fromiter(shingles(text, RUN), dtype=np.uint64)
    factors, shifts = _DRAWN | np.uint64(1)
    hashed = (members[:, None] * factors + shifts) >> np.uint64(32)  # modulo 2⁶⁴, then the well-mixed half
    return tuple(hashed.min(0).tolist())


class Seen:
    """Documents so far."""

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
