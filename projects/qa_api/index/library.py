"""What can be searched of one tenant: words and vectors that follow the store, and are swapped whole when made again.

A search reads one snapshot. A change goes to the store first, then here; a process that dies between the two catches
up by the numbers of changes when it starts again, and one beside others by the same numbers when it is asked. An index
that fails, or does not hold what the store says, is made again from the store, and that is said.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from jaxtyping import Float

from projects.qa_api.data.documents import Document, Language
from projects.qa_api.index.encoder import Encoder
from projects.qa_api.index.merge import Candidates, Merge, candidates
from projects.qa_api.index.store import Change, Store
from projects.qa_api.index.vectors import VectorIndex
from projects.qa_api.index.words import WordIndex
from shared.web import logs

FETCHED = 50  # hits of each search that are merged
CHUNK, PAUSES = 100, 2.0  # documents of a rebuild, and how many times what they took searches have the processor
REST = 30.0  # seconds after a mending in which a search that fails is itself at fault
Hits = list[tuple[str, float]]


class Searched(ABC):
    """Both indexes of a tenant up to a change, in this process or on a server.

    Attributes:
        seq: Number of the last change that is in it.
        documents: All that can be found.
    """

    seq: int
    documents: Mapping[str, Document]

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether both indexes hold what `documents` does."""

    @abstractmethod
    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in, in their order; searches see them when this returns."""

    @abstractmethod
    def by_words(self, text: str, k: int) -> Hits:
        """(id, score), best first."""

    @abstractmethod
    def by_vector(self, vector: Float[np.ndarray, " d"], k: int) -> Hits:
        """(id, cosine), best first."""


@dataclass
class Snapshot(Searched):
    """Both indexes and the documents in them, in memory.

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

    @property
    def whole(self) -> bool:
        """Whether both indexes hold as many as there are documents."""
        return len(self.words) == len(self.vectors) == len(self.documents)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in, in their order."""
        put = [each.kept for each in changes if each.kept is not None]
        gone = {each.id for each in changes if each.kept is None}
        self.words.put(each.document for each in put)
        self.words.remove(gone)
        if put:
            self.vectors.put([each.document.id for each in put], np.stack([each.vector for each in put]))
        self.vectors.remove(sorted(gone))
        self.words.commit()
        left = {**self.documents, **{each.document.id: each.document for each in put}}
        self.documents = {each: left[each] for each in left if each not in gone}  # a new one: who reads the old goes on
        self.seq = max([self.seq, *(each.seq for each in changes)])

    def by_words(self, text: str, k: int) -> Hits:
        """(id, BM25), best first."""
        return self.words.search(text, k)

    def by_vector(self, vector: Float[np.ndarray, " d"], k: int) -> Hits:
        """(id, cosine), best first."""
        return self.vectors.search(vector, k)


@dataclass(frozen=True)
class Found:
    """A document that a search found."""

    document: Document
    score: float


class Library:
    """The searchable documents of one tenant.

    Args:
        merge: How both rankings become one; by reciprocal ranks without it.
        make: An empty index; by default one in memory.

    Attributes:
        mended: How often an index that failed was made again.
        rebuilding: Whether one is being made.
    """

    def __init__(
        self,
        store: Store,
        tenant: str,
        encoder: Encoder,
        merge: Merge | None = None,
        make: Callable[[], Searched] | None = None,
    ) -> None:
        self.store, self.tenant, self.encoder, self.merge = store, tenant, encoder, merge
        self._make = make or (lambda: Snapshot(encoder.width))
        self._changing = threading.RLock()
        self.mended, self.rebuilding, self._mended_at = 0, False, -REST
        self._snapshot = self._make()
        self.catch_up()

    @property
    def snapshot(self) -> Searched:
        """What is searched now."""
        return self._snapshot

    def follow(self) -> None:
        """Catch up if the store has gone on, whoever wrote to it."""
        if self.store.last(self.tenant) > self._snapshot.seq:
            self.catch_up()

    def catch_up(self) -> int:
        """Take in what changed in the store since; returns the number that was reached."""
        with self._changing:
            now = self._snapshot
            waiting = list(self.store.changes(self.tenant, now.seq))
            if waiting:
                try:
                    now.apply(waiting)
                except ConnectionError:  # a server that is away: nothing is broken, and it will be asked again
                    raise
                except Exception as error:  # whatever broke it: the store has all of it, and it is made again
                    self._mend(now, type(error).__name__)
                else:
                    if not now.whole:
                        self._mend(now, "counts differ")
            return self._snapshot.seq

    def rebuild(self) -> int:
        """Make everything again from the store and swap it in; searches go on meanwhile. Returns the documents."""
        self.rebuilding = True
        try:
            made = self._make()
            changes: Iterator[Change] = self.store.changes(self.tenant, 0)
            while some := list(islice(changes, CHUNK)):
                begun = time.perf_counter()
                made.apply(some)
                time.sleep(PAUSES * (time.perf_counter() - begun))
            with self._changing:
                made.apply(list(self.store.changes(self.tenant, made.seq)))
                self._snapshot = made
        finally:
            self.rebuilding = False
        return len(made.documents)

    def _mend(self, broken: Searched, what: str) -> None:
        """Make an index again that failed, unless somebody did so already."""
        with self._changing:
            if self._snapshot is broken:
                logs.line(30, event="index made again", error=what)
                self.rebuild()
                self.mended, self._mended_at = self.mended + 1, time.monotonic()

    def query(self, text: str) -> Float[np.ndarray, " d"]:
        """A question's vector."""
        vector: Float[np.ndarray, " d"] = self.encoder.encode([text], "query")[0]
        return vector

    def candidates(self, text: str, language: Language, vector: Float[np.ndarray, " d"]) -> Candidates:
        """What both searches find; an index that fails is made again first."""
        now = self._snapshot
        try:
            return self._candidates(now, text, language, vector)
        except ConnectionError:
            raise
        except Exception as error:  # whatever broke it, as above; if the search itself is at fault it fails again
            if time.monotonic() - self._mended_at < REST:  # nobody makes us build all day by a text that fails
                raise
            self._mend(now, type(error).__name__)
            return self._candidates(self._snapshot, text, language, vector)

    def _candidates(self, now: Searched, text: str, language: Language, vector: Float[np.ndarray, " d"]) -> Candidates:
        words, vectors, documents = now.by_words(text, FETCHED), now.by_vector(vector, FETCHED), now.documents
        known = {each: documents[each] for each, _ in [*words, *vectors] if each in documents}
        words = [hit for hit in words if hit[0] in known]
        vectors = [hit for hit in vectors if hit[0] in known]
        return candidates(text, language, words, vectors, known)

    def search(self, text: str, language: Language, k: int) -> list[Found]:
        """The best k documents for a text."""
        found = self.candidates(text, language, self.query(text))
        ranked = self.merge.ranked(found) if self.merge else by_ranks(found)
        documents = self._snapshot.documents
        return [Found(documents[each], score) for each, score in ranked[:k] if each in documents]


def by_ranks(found: Candidates) -> list[tuple[str, float]]:
    """Candidates in the order of reciprocal ranks, which is theirs."""
    return [(each, 1 / (1 + place)) for place, each in enumerate(found.ids)]
