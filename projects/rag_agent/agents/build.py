"""An agent as a configuration says: opened from disk where that fits, built where nothing is there."""

from collections.abc import Sequence
from pathlib import Path

from projects.rag_agent.agents.agent import Agent, policy_of
from projects.rag_agent.agents.memory import Conversation
from projects.rag_agent.config import Config
from projects.rag_agent.data import Document, Passage, load_documents, passages_of
from projects.rag_agent.models.engine_generator import EngineGenerator
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import RagModule, RagRetriever
from projects.rag_agent.prompts import TEMPLATES
from projects.rag_agent.retriever import versions
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from shared import devices
from shared.files import refuse_unwritable

CACHE = Path("runs/rag_agent/cache/embeddings.sqlite")


def open_agent(config: Config, conversation: Conversation | None = None) -> Agent:
    """The whole agent."""
    module = open_module(config)
    policy = policy_of(config.router, module.generator)
    return Agent(module, policy, conversation, max_steps=config.max_steps, history_tokens=config.history_tokens)


def open_module(config: Config) -> RagModule:
    """Retriever and generator."""
    documents = load_documents(config.dataset, config.limit)  # first: what is wrong with them costs no model's loading
    refuse_unwritable(config.folder)
    devices.use_all_cores()
    use_threads()
    generator = open_generator(config)  # before the passages are embedded, which takes longest
    return module_of(config, open_retriever(config, documents), generator)


def open_generator(config: Config) -> Generator:
    """The model that writes the answers, on the backend that was chosen."""
    if config.backend == "engine":
        return EngineGenerator(config.model)
    return Generator(config.model, device=config.device)


def module_of(config: Config, retriever: RagRetriever, generator: Generator, template: str = "") -> RagModule:
    """Both joined, with the configuration's prompt or another."""
    return RagModule(
        retriever,
        generator,
        template=TEMPLATES[template or config.template],
        k=config.k,
        cosine_share=config.cosine_share,
        threshold=config.threshold,
        budget=config.budget,
        answer_tokens=config.answer_tokens,
    )


def open_retriever(config: Config, documents: list[Document]) -> RagRetriever:
    """The index of the folder, brought up to date with the documents; a new one if there is none.

    Raises:
        UserError: If the folder holds an index of another model or dimension, or one that changed since it was saved.
    """
    embedder = Embedder(config.encoder, max_length=config.passage_tokens, cache=CACHE, device=config.device)
    if versions.exists(config.folder):
        retriever = RagRetriever.load(config.folder, embedder, hnsw=config.hnsw, **config.ranking)
    else:
        retriever = empty_retriever(config, embedder)
    if bring_up_to_date(retriever, config, documents):
        retriever.save(config.folder)
    return retriever


def empty_retriever(config: Config, embedder: Embedder) -> RagRetriever:
    """A retriever over a new index."""
    return RagRetriever(embedder, FaissIndex(embedder.dimension, hnsw=config.hnsw), **config.ranking)


def build_retriever(config: Config, documents: Sequence[Document], embedder: Embedder) -> RagRetriever:
    """Documents cut, embedded and indexed."""
    retriever = empty_retriever(config, embedder)
    retriever.add([passage for document in documents for passage in cut(config, document, embedder)])
    return retriever


def cut(config: Config, document: Document, embedder: Embedder) -> list[Passage]:
    """The passages of a document."""
    return passages_of(document, limit=config.passage_tokens, overlap=config.overlap, count=embedder.count)


def bring_up_to_date(retriever: RagRetriever, config: Config, documents: list[Document]) -> int:
    """Make the retriever hold exactly these documents, embedding what is new. Returns how many passages moved."""
    wanted = {document.id: cut(config, document, retriever.embedder) for document in documents}
    moved = sum(retriever.delete(gone) for gone in retriever.documents - wanted.keys())
    kept = {each for passages in wanted.values() for each in passages}
    stale = [passage for passage in retriever.passages.values() if passage not in kept]
    retriever.remove([passage.id for passage in stale])
    return moved + len(stale) + retriever.add([each for passages in wanted.values() for each in passages])
