"""What can be searched of one tenant: words and vectors that follow the store, and are swapped whole when made again.

A search reads one snapshot. A change goes to the store first, then here; a process that dies between the two catches
up by the numbers of changes when it starts again.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from projects.qa_api.data.documents import Document, Language
from projects.qa_api.index.encoder import Encoder
from projects.qa_api.index.merge import Candidates, Merge, candidates
from projects.qa_api.index.store import Change, Store
from projects.qa_api.index.vectors import VectorIndex
from projects.qa_api.index.words import WordIndex

FETCHED = 50  # hits of each search that are merged


@dataclass
class Snapshot:
    """Both indexes and the documents in them, up to a change.

    Attributes:
        seq: Number of the last change that is in it.
    """

    width: int
    words: WordIndex = field(default_factory=WordIndex)
    documents: dict[str, Document] = field(default_factory=dict)
    seq: int = 0

    def __post_init__(self) -> None:
        """An empty index of vectors."""
        self.vectors = VectorIndex(self.width)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in, in their order."""
        put = [each.kept for each in changes if each.kept is not None]
        gone = {each.id for each in changes if each.kept is None}
        self.words.put(each.document for each in put)
        self.words.remove(gone)
        self.words.commit()
        if put:
            self.vectors.put([each.document.id for each in put], np.stack([each.vector for each in put]))
        self.vectors.remove(sorted(gone))
        left = {**self.documents, **{each.document.id: each.document for each in put}}
        self.documents = {each: left[each] for each in left if each not in gone}  # a new one: who reads the old goes on
        self.seq = max([self.seq, *(each.seq for each in changes)])


@dataclass(frozen=True)
class Found:
    """A document that a search found."""

    document: Document
    score: float


class Library:
    """The searchable documents of one tenant.

    Args:
        merge: How both rankings become one; by reciprocal ranks without it.
    """

    def __init__(self, store: Store, tenant: str, encoder: Encoder, merge: Merge | None = None) -> None:
        self.store, self.tenant, self.encoder, self.merge = store, tenant, encoder, merge
        self._changing = threading.RLock()
        self._snapshot = Snapshot(encoder.width)
        self.catch_up()

    @property
    def snapshot(self) -> Snapshot:
        """What is searched now."""
        return self._snapshot

    def catch_up(self) -> int:
        """Take in what changed in the store since; returns the number that was reached."""
        with self._changing:
            waiting = list(self.store.changes(self.tenant, self._snapshot.seq))
            if waiting:
                self._snapshot.apply(waiting)
            return self._snapshot.seq

    def rebuild(self) -> int:
        """Make everything again from the store and swap it in; searches go on meanwhile. Returns the documents."""
        made = Snapshot(self.encoder.width)
        made.apply(list(self.store.changes(self.tenant, 0)))
        with self._changing:
            made.apply(list(self.store.changes(self.tenant, made.seq)))
            self._snapshot = made
        return len(made.documents)

    def query(self, text: str) -> Float[np.ndarray, " d"]:
        """A question's vector."""
        vector: Float[np.ndarray, " d"] = self.encoder.encode([text], "query")[0]
        return vector

    def candidates(self, text: str, language: Language, vector: Float[np.ndarray, " d"]) -> Candidates:
        """What both searches find."""
        now = self._snapshot
        words, vectors, documents = now.words.search(text, FETCHED), now.vectors.search(vector, FETCHED), now.documents
        words = [hit for hit in words if hit[0] in documents]
        vectors = [hit for hit in vectors if hit[0] in documents]
        return candidates(text, language, words, vectors, documents)

    def search(self, text: str, language: Language, k: int) -> list[Found]:
        """The best k documents for a text."""
        found = self.candidates(text, language, self.query(text))
        ranked = self.merge.ranked(found) if self.merge else by_ranks(found)
        documents = self._snapshot.documents
        return [Found(documents[each], score) for each, score in ranked[:k] if each in documents]


def by_ranks(found: Candidates) -> list[tuple[str, float]]:
    """Candidates in the order of reciprocal ranks, which is theirs."""
    return [(each, 1 / (1 + place)) for place, each in enumerate(found.ids)]
