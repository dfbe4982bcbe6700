"""An agent as a configuration says: opened from disk where that fits, built where nothing is there."""

from pathlib import Path

from projects.rag_agent.agents.agent import Agent, policy_of
from projects.rag_agent.agents.memory import Conversation
from projects.rag_agent.config import Config
from projects.rag_agent.data import Document, Passage, load_documents, passages_of
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import RagModule, RagRetriever, settings_of
from projects.rag_agent.retriever import versions
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from shared import devices
from shared.files import refuse_unwritable

CACHE = Path("runs/rag_agent/cache/embeddings.sqlite")


def open_agent(config: Config, conversation: Conversation | None = None) -> Agent:
    """The whole agent."""
    module = open_module(config)
    return Agent(module, policy_of(config.router, module.generator), conversation, max_steps=config.max_steps)


def open_module(config: Config) -> RagModule:
    """Retriever and generator."""
    documents = load_documents(config.dataset, config.limit)  # first: what is wrong with them costs no model's loading
    refuse_unwritable(config.folder)
    devices.use_all_cores()
    use_threads()
    generator = Generator(config.model, device=config.device)  # before the passages are embedded, which takes longest
    return RagModule(open_retriever(config, documents), generator, config)


def open_retriever(config: Config, documents: list[Document]) -> RagRetriever:
    """The index of the folder, brought up to date with the documents; a new one if there is none.

    Raises:
        UserError: If the folder holds an index of another model or dimension, or one that changed since it was saved.
    """
    embedder = Embedder(config.encoder, max_length=config.passage_tokens, cache=CACHE, device=config.device)
    if versions.exists(config.folder):
        retriever = RagRetriever.load(config.folder, embedder, hnsw=config.hnsw, **settings_of(config))
    else:
        index = FaissIndex(embedder.dimension, hnsw=config.hnsw)
        retriever = RagRetriever(embedder, index, **settings_of(config))
    if bring_up_to_date(retriever, config, documents):
        retriever.save(config.folder)
    return retriever


def bring_up_to_date(retriever: RagRetriever, config: Config, documents: list[Document]) -> int:
    """Make the retriever hold exactly these documents, embedding what is new. Returns how many passages moved."""
    wanted: dict[str, list[Passage]] = {
        document.id: passages_of(
            document, limit=config.passage_tokens, overlap=config.overlap, count=retriever.embedder.count
        )
        for document in documents
    }
    moved = sum(retriever.delete(gone) for gone in retriever.documents - wanted.keys())
    kept = {each for passages in wanted.values() for each in passages}
    stale = [passage for passage in retriever.passages.values() if passage not in kept]
    retriever.remove([passage.id for passage in stale])
    return moved + len(stale) + retriever.add([each for passages in wanted.values() for each in passages])
