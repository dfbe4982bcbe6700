"""What the service does, without HTTP: a store, a library a tenant, a reader, and every change in the store first."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from projects.qa_api.answers import Answer, Answerer, language_of
from projects.qa_api.data.documents import Document, Language, load_documents
from projects.qa_api.index.elastic import ElasticServer
from projects.qa_api.index.encoder import Encoder, document_vectors, passage
from projects.qa_api.index.library import Found, Library
from projects.qa_api.index.merge import Merge
from projects.qa_api.index.store import By, FullError, Kept, Store
from projects.qa_api.reader.calibrate import UNCALIBRATED, Calibrator
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.server.followups import FollowUps, secret_of
from projects.qa_api.server.people import Caller, Usage
from projects.qa_api.server.settings import Settings
from shared.errors import UserError
from shared.web.problems import BusyError

DEMO = "demo"
CACHED = 512  # answers a tenant


class Gate:
    """Lets so many compute at once and so many wait; the rest is told to come back."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free, self._lock = threading.Semaphore(at_once), threading.Lock()
        self._inside, self._most = 0, at_once + waiting

    def __enter__(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise BusyError("too many questions are being answered", 1.0)
            self._inside += 1
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()
        with self._lock:
            self._inside -= 1


@dataclass(frozen=True)
class State:
    """How the service is: what it cannot do now, and what it has mended."""

    full: bool
    index: bool
    rebuilding: bool
    mended: int


@dataclass(frozen=True)
class Put:
    """What became of a document that was put."""

    id: str
    status: str
    etag: str = ""
    detail: str = ""


class Service:
    """The service.

    Args:
        settings: What the server was told.
        encoder: Makes vectors of documents and questions.
        reader: Trained; it and the encoder must be safe for several threads (runtime.py).
        merge: How both searches become one; by reciprocal ranks without it.
        exact: Encodes the documents that there are at first; the encoder itself by default.

    Raises:
        UserError: If the store cannot be used, or holds another encoder's vectors.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: Encoder,
        reader: SpanReader,
        merge: Merge | None = None,
        calibrator: Calibrator = UNCALIBRATED,
        exact: Encoder | None = None,
    ) -> None:
        self.settings, self.encoder, self.reader, self.merge, self.calibrator = (
            settings, encoder, reader, merge, calibrator,
        )  # fmt: skip
        self.store = Store(settings.data / "store.sqlite", encoder.identity)
        self.elastic = ElasticServer(settings.elastic, self.store) if settings.elastic else None
        self.gate, self.usage = Gate(settings.at_once, settings.waiting), Usage()
        self.followups = FollowUps(secret_of(settings.data), settings.valid)
        self._lock = threading.Lock()
        self._tenants: dict[str, Answerer] = {}
        self._cache: dict[str, OrderedDict[tuple[str, str, int], Answer]] = {}
        if settings.dataset != "none" and not self.store.last(DEMO):
            self._begin(exact or encoder)
        for tenant in self.store.tenants():
            self.answerer(tenant)

    def close(self) -> None:
        """End."""
        if self.elastic:
            self.elastic.close()
        self.store.close()

    def state(self) -> State:
        """What /ready says."""
        self.store.tenants()  # the disk answers
        rebuilding = any(each.library.rebuilding for each in list(self._tenants.values()))
        index = self.elastic is None or self.elastic.answers()
        return State(self.store.full, index, rebuilding, self.mended())

    def mended(self) -> int:
        """How often an index that failed was made again."""
        return sum(each.library.mended for each in list(self._tenants.values()))

    def _begin(self, exact: Encoder) -> None:
        every = load_documents(self.settings.dataset)
        for language in ("en", "es"):
            documents = [each for each in every if each.language == language]
            self.store.put_all(DEMO, documents, document_vectors(documents, exact))

    def answerer(self, tenant: str) -> Answerer:
        """A tenant's own; its index is made from the store the first time."""
        with self._lock:
            if tenant not in self._tenants:
                make = self.elastic.maker(tenant, self.encoder.width) if self.elastic else None
                library = Library(self.store, tenant, self.encoder, self.merge, make)
                self._tenants[tenant] = Answerer(library, self.reader, self.calibrator)
                self._cache[tenant] = OrderedDict()
            return self._tenants[tenant]

    def following(self, tenant: str) -> Answerer:
        """A tenant's own, with all that this process or another one has put by now.

        Raises:
            BusyError: If the index is on a server that does not answer.
        """
        with away():
            own = self.answerer(tenant)
            own.library.follow()
        return own

    # ------------------------------------------------------------ questions

    def ask(self, caller: Caller, question: str, language: Language | None, only: str | None = None) -> Answer:
        """An answer, from the cache where nothing has changed since it was given.

        Raises:
            BusyError: If too many questions wait.
        """
        own = self.following(caller.tenant)
        key = (f"{language or ''}|{only or ''}", question, own.library.snapshot.seq)
        cache = self._cache[caller.tenant]
        with self._lock:
            known = cache.get(key)
            if known is not None:
                cache.move_to_end(key)
        self.usage.add(caller.tenant, "questions")
        if known is not None:
            return known
        with self.gate, away():
            answer = own.ask(question, language, only=only)
        with self._lock:
            cache[key] = answer
            while len(cache) > CACHED:
                cache.popitem(last=False)
        return answer

    def search(self, caller: Caller, text: str, language: Language | None, k: int) -> list[Found]:
        """The best documents for a text."""
        self.usage.add(caller.tenant, "searches")
        own = self.following(caller.tenant)
        with self.gate, away():
            return own.library.search(text, language or language_of(text), k)

    # ------------------------------------------------------------ documents

    def put(self, caller: Caller, document: Document, if_match: str | None, request: str = "") -> tuple[Kept, bool]:
        """Add or replace a document: in the store when this returns, and in the next answer.

        Args:
            request: Id of the request, for the audit.

        Raises:
            ConflictError: If it has another ETag than is expected.
            UserError: If the tenant has as many as it may.
            FullError: If the disk takes no more.
        """
        if self.store.count(caller.tenant) >= self.settings.most and not self.store.get(caller.tenant, document.id):
            raise UserError(f"{self.settings.most} documents are there, as many as a tenant may have")
        own = self.answerer(caller.tenant)
        with self.gate:
            vector = self.encoder.encode([passage(document)], "passage")[0]
        by = By(caller.owner, request)
        kept, new = self.store.put(caller.tenant, document, vector, if_match=if_match, by=by)
        self._caught_up(own)
        self.usage.add(caller.tenant, "changes")
        return kept, new

    def put_many(self, caller: Caller, documents: Sequence[Document], request: str = "") -> list[Put]:
        """Each apart and in order: one that is refused leaves the others; of two of one id the last is kept."""
        told = []
        for document in documents:
            try:
                kept, new = self.put(caller, document, None, request)
                told.append(Put(document.id, "created" if new else "kept", kept.etag))
            except (UserError, BusyError, FullError) as error:
                told.append(Put(document.id, "refused", detail=str(error)))
        return told

    def remove(self, caller: Caller, identity: str, if_match: str | None, request: str = "") -> bool:
        """Take a document out of the store, both indexes and every cached answer; whether it was there.

        Raises:
            ConflictError: If it has another ETag than is expected.
        """
        by = By(caller.owner, request)
        done = self.store.remove(caller.tenant, identity, if_match=if_match, by=by)
        self._caught_up(self.answerer(caller.tenant))
        self.usage.add(caller.tenant, "changes")
        return done is not None

    def rebuild(self, caller: Caller, request: str = "") -> int:
        """Make a tenant's index again from the store; returns its documents."""
        self.store.note(caller.tenant, By(caller.owner, request), "rebuild")
        with away():
            return self.answerer(caller.tenant).library.rebuild()

    def _caught_up(self, own: Answerer) -> None:
        """Searches know the change. It is in the store: with the index's server away, the next question tries again."""
        with suppress(ConnectionError):
            own.library.follow()


@contextmanager
def away() -> Iterator[None]:
    """An index on a server that does not answer is no failure of ours: the client is told to come back."""
    try:
        yield
    except ConnectionError as error:
        raise BusyError(f"the index does not answer ({error})", 2.0) from None
