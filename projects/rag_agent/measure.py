"""Searching, refusing and answering, measured question by question, and what they are measured on."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from projects.rag_agent.agents.build import build_retriever
from projects.rag_agent.config import Config
from projects.rag_agent.data import Document, load_documents
from projects.rag_agent.evaluate import exact_match, f1, holds, reciprocal_rank
from projects.rag_agent.models.generator import BATCH, Generator
from projects.rag_agent.models.rag_module import Found, RagModule, RagRetriever, citations, confidence
from projects.rag_agent.prompts import Message
from projects.rag_agent.questions import (
    SEARCHES,
    SPLITS,
    Question,
    fact_questions,
    search_questions,
    shared_words,
    split_of,
    unanswerable_questions,
)
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import use_threads
from shared import devices
from shared.assets.splits import assign, shuffled

MEANING = 2  # raised when a score or a word comes to mean something else: what was measured before is another cell
PLACES = 50  # passages of a ranking that are looked at
Measured = tuple[dict[str, float], dict[str, Any]]
"""Numbers of a question, and what else is worth keeping of it."""
Fusion = dict[str, Any]
"""How a retriever ranks: method, weight, constant."""
Arm = Literal["closed_book", "retrieved", "right"]
"""What the model answers from: nothing; the passages that the retriever brings, which is the system as it is; or the
passage of the right film that states the answer, which is what a perfect retriever would give."""


@dataclass(frozen=True)
class Cell:
    """Settings of one measurement, which depends on nothing else but code and data; its run is in <study>/<name>."""

    study: str
    name: str
    settings: dict[str, Any]
    meaning: int = MEANING


@dataclass(frozen=True)
class Bench:
    """Films, what finds and answers, and questions of every kind.

    Attributes:
        part: Film → tune or test, also of films that are only asked for.
    """

    documents: list[Document]
    retriever: RagRetriever
    generator: Generator
    questions: list[Question]
    part: dict[str, str]

    @property
    def ranking(self) -> Fusion:
        """How the retriever ranks, as far as what is asked of it depends on it."""
        return {"method": self.retriever.method, "weight": self.retriever.weight}

    def of(self, part: str, *kinds: str) -> list[Question]:
        """The questions of these kinds on the films of one part."""
        return [q for q in self.questions if q.kind in kinds and self.part[q.film] == part]

    def drawn(self, part: str, kind: str, size: int) -> list[Question]:
        """So many of them, drawn without regard to anything but the texts' digests."""
        return sorted(self.of(part, kind), key=lambda question: shuffled(question.text))[:size]


def open_bench(config: Config, cache: Path) -> Bench:
    """A bench over an exact index; the generator comes first, since what is not there is said before work begins."""
    devices.use_all_cores()
    use_threads()
    generator = Generator(config.model)
    documents = load_documents(config.dataset, config.limit)
    embedder = Embedder(config.encoder, max_length=config.passage_tokens, cache=cache)
    retriever = build_retriever(replace(config, hnsw=False), documents, embedder)
    absent = unanswerable_questions(documents)
    part = assign([question.film for question in absent], [""] * len(absent), SPLITS) | split_of(documents)
    questions = [*search_questions(documents), *fact_questions(documents), *absent]
    return Bench(documents, retriever, generator, questions, part)


# ---------------------------------------------------------------- searching


def fusing(questions: Sequence[Question], retriever: RagRetriever, fusions: Iterable[Fusion]) -> Iterator[Measured]:
    """Mean reciprocal rank of the films that are meant, by each way of ranking, over each set and over all sets."""
    sets = {kind: [question for question in questions if question.kind == kind] for kind in SEARCHES}
    for fusion in fusions:
        retriever.rank_by(**fusion)
        means = {kind: statistics.mean(rank for rank, _ in ranks(retriever, asked)) for kind, asked in sets.items()}
        numbers = {"mrr": statistics.mean(means.values()), **{f"mrr_{kind}": mean for kind, mean in means.items()}}
        said = {"weight": fusion["weight"], "constant": fusion["constant"]}
        yield {name: round(value, 6) for name, value in numbers.items()} | said, fusion


def searching(
    questions: Sequence[Question], retriever: RagRetriever, fusion: Fusion, documents: Sequence[Document]
) -> Iterator[Measured]:
    """Whether the film that a question means is found, and the share of the question's words that its article holds."""
    retriever.rank_by(**fusion)
    articles = {document.title: document for document in documents}
    for question, (rank, first) in zip(questions, ranks(retriever, questions), strict=True):
        numbers = {"recall_1": float(rank == 1), "recall_5": float(rank >= 0.2), "mrr": rank}
        numbers["shared"] = shared_words(question, articles[question.film])
        yield numbers, {"film": question.film, "question": question.text, "first": first}


def ranks(retriever: RagRetriever, questions: Sequence[Question]) -> list[tuple[float, str]]:
    """Reciprocal rank of the film that each question means, and the film that stands first.

    A film stands where its best passage does.
    """
    found = retriever.search_many([question.text for question in questions], PLACES)
    films = [list(dict.fromkeys(each.passage.title for each in hits)) for hits in found]
    return [
        (reciprocal_rank(ranking, question.film), ranking[0] if ranking else "")
        for question, ranking in zip(questions, films, strict=True)
    ]


# ---------------------------------------------------------------- refusing


def confidences(
    questions: Sequence[Question], retriever: RagRetriever, k: int, shares: Sequence[float]
) -> Iterator[Measured]:
    """The confidence in an answer to each question, by the share of the cosine in it ("share_0.5", …)."""
    for question, found in zip(questions, retriever.search_many([q.text for q in questions], k), strict=True):
        numbers = {f"share_{share:g}": confidence(found, share) for share in shares}
        yield numbers, {"film": question.film, "question": question.text}


def refusing(
    questions: Sequence[Question], retriever: RagRetriever, k: int, share: float, threshold: float
) -> Iterator[Measured]:
    """The confidence in an answer to each question, and whether it is refused."""
    for numbers, kept in confidences(questions, retriever, k, [share]):
        (confident,) = numbers.values()
        yield {"confidence": confident, "refused": float(confident < threshold)}, kept


# ---------------------------------------------------------------- answering


def answering(questions: Sequence[Question], module: RagModule, arm: Arm, k: int) -> Iterator[Measured]:
    """The model's answers against the right ones; with passages also whether these hold the right one and the given."""
    given = [passages_for(module.retriever, question, arm, k) for question in questions]
    prompts = [_prompt(module, question, found, arm) for question, found in zip(questions, given, strict=True)]
    answers: list[str] = []
    for start in range(0, len(prompts), BATCH):
        answers += module.generator.answer(prompts[start : start + BATCH], max_tokens=module.answer_tokens)
    for question, found, text in zip(questions, given, answers, strict=True):
        numbers = {"exact": exact_match(text, question.answers), "f1": f1(text, question.answers)}
        numbers["named"] = float(holds(text, question.answers))
        if arm != "closed_book":
            stands = holds(" ".join(each.passage.searched for each in found), question.answers)
            numbers["in_passages"] = float(stands)
            numbers["faithful"] = float(bool(citations(text, found, question.text)))
        kept = {"question": question.text, "film": question.film, "answer": text, "right": list(question.answers)}
        yield numbers, kept


def passages_for(retriever: RagRetriever, question: Question, arm: Arm, k: int) -> list[Found]:
    """Passages for the model; for "right" the first found, if none of the film's own states the answer."""
    if arm == "closed_book":
        return []
    found = retriever.search(question.text, PLACES)
    if arm == "retrieved":
        return found[:k]
    own = [each for each in found if each.passage.document == question.film]
    return [each for each in own if holds(each.passage.text, question.answers)][:1] or found[:1]


def _prompt(module: RagModule, question: Question, found: Sequence[Found], arm: Arm) -> list[Message]:
    if arm == "closed_book":
        return module.template.messages(question=question.text)
    return module.prompt(question.text, found)[0]
