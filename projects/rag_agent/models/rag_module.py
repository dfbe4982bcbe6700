"""`RagRetriever` finds passages, `RagModule` has the generator answer from them, cites them, or says that it cannot."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from projects.rag_agent.config import Method
from projects.rag_agent.data import Passage
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.prompts import NOT_FOUND, Template, fitted
from projects.rag_agent.retriever import versions
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import FaissIndex, Vector, Vectors
from projects.rag_agent.retriever.lexical import STOPWORDS, Bm25, fuse_ranks, fuse_scores
from shared.errors import UserError
from shared.files import write_text
from shared.words import words

DEPTH = 50  # places of each ranking that the fusion looks at
SIDECAR = "passages.jsonl"


@runtime_checkable
class VectorIndex(Protocol):
    """Interface of an index: FaissIndex has it, and MilvusIndex."""

    dimension: int

    def __len__(self) -> int: ...
    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Store vectors under new ids."""

    def update(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Put other vectors under known ids."""

    def delete(self, ids: Sequence[int]) -> None:
        """Take vectors out."""

    def search(self, queries: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """For each query at most k (id, inner product), the best first."""
        ...

    def vector(self, each: int) -> Vector:
        """The vector stored under an id."""
        ...


@dataclass(frozen=True)
class Found:
    """A passage with its scores.

    Attributes:
        score: What it was ranked by: the cosine, the share of the best possible BM25, or the fusion's sum.
        cosine: Cosine of question and passage, in [−1, 1].
        coverage: Share in [0, 1] of the question's words, weighted by rarity, that the passage holds.
    """

    passage: Passage
    score: float
    cosine: float
    coverage: float


class RagRetriever:
    """Passages under their ids, found by vectors, by words, or by both.

    Args:
        embedder: Makes vectors of passages and questions.
        index: Empty, or holding exactly the vectors of `passages`.
        method: Ranking by vectors, by words (bm25), or by both (hybrid, rrf).
        constant: c of reciprocal rank fusion.
        weight: Weight of the vectors in either fusion.
    """

    def __init__(
        self,
        embedder: Embedder,
        index: VectorIndex,
        passages: Sequence[Passage] = (),
        *,
        method: Method = "hybrid",
        constant: float = 10.0,
        weight: float = 0.5,
    ) -> None:
        if index.dimension != embedder.dimension:
            raise UserError(
                f"the index holds vectors of dimension {index.dimension}, {embedder.model_id} {embedder.dimension}"
            )
        self.embedder, self.index = embedder, index
        self.rank_by(method=method, constant=constant, weight=weight)
        self.passages = {passage.id: passage for passage in passages}
        self._words: Bm25 | None = None

    def __len__(self) -> int:
        return len(self.passages)

    def rank_by(self, *, method: Method, constant: float, weight: float) -> None:
        """Rank in another way from now on; the arguments are those of the class."""
        self.method, self.constant, self.weight = method, constant, weight

    def add(self, passages: Sequence[Passage]) -> int:
        """Store passages; those that are there already stay as they are. Returns how many were new."""
        new = list({p.id: p for p in passages if p.id not in self.passages}.values())
        if new:
            self.index.add([p.id for p in new], self.embedder.encode([p.searched for p in new]))
            self.passages |= {p.id: p for p in new}
            self._words = None
        return len(new)

    def remove(self, ids: Sequence[int]) -> None:
        """Take passages out; an id that comes twice counts once.

        Raises:
            UserError: If one is not there; then nothing is taken out.
        """
        self.index.delete(ids)
        for each in set(ids):
            del self.passages[each]
        if ids:
            self._words = None

    def delete(self, document: str) -> int:
        """Take every passage of a document out. Returns how many.

        Raises:
            UserError: If there is no such document.
        """
        gone = [each for each, passage in self.passages.items() if passage.document == document]
        if not gone:
            raise UserError(f"no document {document!r} in the index")
        self.remove(gone)
        return len(gone)

    def update(self, document: str, passages: Sequence[Passage]) -> tuple[int, int]:
        """Make a document consist of these passages; what did not change is not embedded again.

        Returns:
            How many passages came and how many went.
        """
        wanted = set(passages)
        gone = [each for each, p in self.passages.items() if p.document == document and p not in wanted]
        self.remove(gone)
        return self.add(passages), len(gone)

    @property
    def documents(self) -> set[str]:
        """Ids of the documents whose passages are held."""
        return {passage.document for passage in self.passages.values()}

    def search(self, query: str, k: int) -> list[Found]:
        """At most k passages, the best first.

        Raises:
            UserError: If k < 1.
        """
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str], k: int) -> list[list[Found]]:
        """`search` for several queries, embedded together. Raises as `search`."""
        if k < 1:
            raise UserError(f"k = {k}: must be at least 1")
        if not self.passages:
            return [[] for _ in queries]
        vectors = self.embedder.encode(queries)
        near = self.index.search(vectors, max(k, DEPTH))
        return [self._rank(*each, k) for each in zip(queries, vectors, near, strict=True)]

    def _rank(self, query: str, vector: Vector, hits: list[tuple[int, float]], k: int) -> list[Found]:
        by_words = dict(self.lexical.search(query, max(k, DEPTH)))
        cosines = dict(hits)
        cosines |= self._cosines(vector, [each for each in by_words if each not in cosines])
        ranked = {
            "vectors": lambda: hits,
            "bm25": lambda: list(by_words.items()),
            "rrf": lambda: fuse_ranks(
                [[each for each, _ in hits], list(by_words)], [self.weight, 1 - self.weight], constant=self.constant
            ),
            "hybrid": lambda: fuse_scores(cosines, by_words, self.weight),
        }[self.method]()
        return [self._found(each, score, cosines[each], query) for each, score in ranked[:k]]

    def _cosines(self, vector: Vector, ids: Sequence[int]) -> dict[int, float]:
        """Cosines of passages that only their words brought up."""
        if not ids:
            return {}
        return {each: float(self.index.vector(each) @ vector) for each in ids}

    def _found(self, each: int, score: float, cosine: float, query: str) -> Found:
        passage = self.passages[each]
        return Found(passage, score, cosine, self.lexical.coverage(query, passage.searched))

    @property
    def lexical(self) -> Bm25:
        """BM25 over the passages as they are now."""
        if self._words is None:
            held = list(self.passages.values())
            self._words = Bm25([p.id for p in held], [p.searched for p in held])
        return self._words

    def save(self, root: Path) -> None:
        """Make this the current version of the index in a folder, atomically.

        Raises:
            UserError: If the folder cannot be written, or the index is not one that FAISS keeps in a file.
        """
        if not isinstance(self.index, FaissIndex):
            raise UserError("this index keeps its vectors itself; only a FAISS index is saved in a folder")
        save_index(root, self.index, list(self.passages.values()), self.embedder.model_id)

    @classmethod
    def load(cls, root: Path, embedder: Embedder, *, hnsw: bool = False, **settings: Any) -> "RagRetriever":
        """Load what `save` wrote.

        Args:
            embedder: Has to be the model that made the vectors.
            hnsw: Whether the index has to be a graph.
            settings: method, constant and weight.

        Raises:
            UserError: If nothing was saved there, it changed since, or another model, dimension or kind made it.
        """
        index, passages = load_index(root, model=embedder.model_id, dimension=embedder.dimension, hnsw=hnsw)
        return cls(embedder, index, passages, **settings)


def save_index(root: Path, index: FaissIndex, passages: Sequence[Passage], model: str) -> None:
    """Publish index and passages as one version (see `versions`)."""
    about = {
        "model": model,
        "dimension": index.dimension,
        "metric": "inner product",
        "normalised": True,
        "hnsw": index.hnsw,
        "passages": len(passages),
    }
    with versions.publish(root, about) as folder:
        index.save(folder)
        lines = (json.dumps(asdict(passage), ensure_ascii=False) for passage in passages)
        write_text(folder / SIDECAR, "".join(f"{line}\n" for line in lines))


def load_index(root: Path, *, model: str, dimension: int, hnsw: bool = False) -> tuple[FaissIndex, list[Passage]]:
    """Load what `save_index` published, if it was made by this model with this dimension and is of this kind.

    Raises:
        UserError: If not, or if nothing was saved there or it changed since.
    """
    expected = {"model": model, "dimension": dimension, "metric": "inner product", "normalised": True, "hnsw": hnsw}

    def read(folder: Path, about: dict[str, Any]) -> tuple[FaissIndex, list[Passage]]:
        for name, value in expected.items():
            if about.get(name) != value:
                raise UserError(
                    f"{root} was built with {name} = {about.get(name)}, not {value}: remove it or choose another --out"
                )
        index = FaissIndex.load(folder, dimension=dimension, hnsw=hnsw)
        lines = (folder / SIDECAR).read_text(encoding="utf-8").split("\n")
        return index, [Passage(**json.loads(line)) for line in lines if line]

    index, passages = versions.current(root, read)
    if len(passages) != len(index) or any(passage.id not in index for passage in passages):
        raise UserError(f"{root}: the vectors and the passages are not the same ones: build the index again")
    return index, passages


@dataclass(frozen=True)
class Answer:
    """An answer from the documents with its sources.

    Attributes:
        text: The answer, or NOT_FOUND where it is refused.
        sources: The passages that the model was given, in the order of their numbers.
        cited: Numbers (from 1) of the sources that hold what the answer says; empty: none does (see `citations`).
        confidence: What the threshold is compared with, in [0, 1].
    """

    text: str
    refused: bool
    sources: list[Found] = field(default_factory=list)
    cited: list[int] = field(default_factory=list)
    confidence: float = 0.0


class RagModule:
    """Retriever and generator joined.

    Args:
        template: Prompt of an answer.
        k: Passages that are retrieved for a question.
        cosine_share: Weight of the cosine in the confidence.
        threshold: Confidence below which the answer is NOT_FOUND.
        budget: Tokens of a prompt.
        answer_tokens: Tokens of an answer.
    """

    def __init__(
        self,
        retriever: RagRetriever,
        generator: Generator,
        *,
        template: Template,
        k: int,
        cosine_share: float,
        threshold: float,
        budget: int,
        answer_tokens: int,
    ) -> None:
        self.retriever, self.generator, self.template = retriever, generator, template
        self.k, self.cosine_share, self.threshold = k, cosine_share, threshold
        self.budget, self.answer_tokens = budget, answer_tokens

    def answer(
        self, question: str, history: Sequence[str] = (), *, stream: Callable[[str], None] | None = None
    ) -> Answer:
        """Answer from the documents, or say that they do not.

        Args:
            question: Has to make sense without the conversation; retrieval sees only it.
            history: Lines of the conversation that the model may read.
            stream: Called with each piece of the answer as it comes.

        Raises:
            UserError: If the question is empty, or alone does not fit the budget.
        """
        if not question.strip():
            raise UserError("the question is empty")
        found = self.retriever.search(question, self.k)
        sure = confidence(found, self.cosine_share)
        if sure < self.threshold:
            return Answer(NOT_FOUND, True, found, [], sure)
        messages, used = self.prompt(question, found, history)
        (text,) = self.generator.answer([messages], max_tokens=self.answer_tokens, stream=stream)
        return Answer(text, False, found[:used], citations(text, found[:used], question), sure)

    def prompt(
        self, question: str, found: Sequence[Found], history: Sequence[str] = ()
    ) -> tuple[list[dict[str, str]], int]:
        """The model's prompt, and how many of the passages are in it."""
        pairs = [(each.passage.title, each.passage.text) for each in found]
        return fitted(self.template, question, pairs, history, budget=self.budget, count=self.generator.count)


def confidence(found: Sequence[Found], cosine_share: float) -> float:
    """How likely a passage is to speak of what is asked: the best mix of its cosine and its coverage of the words."""
    return max((cosine_share * each.cosine + (1 - cosine_share) * each.coverage for each in found), default=0.0)


def citations(text: str, found: Sequence[Found], question: str = "") -> list[int]:
    """Numbers of the passages that hold every word with which the answer goes beyond the question.

    "Vertigo was released in 1958." says nothing but 1958 to who asked when Vertigo was released; a passage has to hold
    that. Words that carry no topic do not count; an answer that only repeats the question counts as a whole.
    """
    said = [word for word in words(text) if word not in STOPWORDS]
    new = set(said) - set(words(question)) or set(said)
    if not new:
        return []
    return [n for n, each in enumerate(found, start=1) if new <= set(words(each.passage.searched))]
