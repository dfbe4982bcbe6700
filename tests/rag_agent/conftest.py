"""Stand-ins with the real interfaces: an embedder that hashes words, a generator that says what it is told to."""

import hashlib
from functools import cache

import numpy as np
import pytest

from projects.rag_agent.agents.build import module_of
from projects.rag_agent.config import Config
from projects.rag_agent.data import Document, Passage, passage_id
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import RagRetriever
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import FaissIndex
from projects.rag_agent.retriever.lexical import terms
from shared import assets

TEXTS = {
    "Vertigo": "Vertigo is a 1958 American film noir directed by Alfred Hitchcock, starring Kim Novak.",
    "Alien": "Alien is a 1979 science fiction film directed by Ridley Scott, starring Sigourney Weaver.",
    "Ran": "Ran is a 1985 epic film directed by Akira Kurosawa, starring Tatsuya Nakadai.",
    "Heat": "Heat is a 1995 crime film directed by Michael Mann, starring Al Pacino and Robert De Niro.",
}


class HashingEmbedder(Embedder):
    """Each word has a random direction; a text's vector is the sum of its words'."""

    def __init__(self, dimension=64, model_id="hashing"):
        self.dimension, self.model_id, self.asked = dimension, model_id, []

    def count(self, texts):
        return [len(text.split()) for text in texts]

    def encode(self, texts):
        self.asked += texts
        made = [sum((self._word(w) for w in terms(t)), np.full(self.dimension, 1e-3, np.float32)) for t in texts]
        rows = np.stack(made) if made else np.empty((0, self.dimension))
        return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    def _word(self, word):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        return np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)


class ScriptedGenerator(Generator):
    """Says its lines in turn and remembers what it was asked; a word is a token."""

    def __init__(self, *lines):
        self.lines, self.prompts = list(lines), []

    def count(self, messages):
        return sum(len(message["content"].split()) for message in messages)

    def count_text(self, text):
        return len(text.split())

    def answer(self, prompts, *, max_tokens, stream=None):
        self.prompts += prompts
        said = [self.lines.pop(0) if self.lines else "nothing" for _ in prompts]
        if stream:
            for piece in said[0].split(" "):
                stream(f"{piece} ")
        return said

    def likelihoods(self, messages, options):
        self.prompts.append(messages)
        return [-float(n) for n in range(len(options))]


def passage(document, text, position=0):
    return Passage(passage_id(document, text), document, document, position, text)


film_articles = cache(assets.film_articles)  # to tell mispaired ones takes a second


@pytest.fixture(autouse=True, scope="module")
def _one_reading():
    """The articles are read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "film_articles", film_articles)
        yield


@pytest.fixture
def documents():
    return [Document(title, title, text) for title, text in TEXTS.items()]


@pytest.fixture
def passages():
    return [passage(title, text) for title, text in TEXTS.items()]


@pytest.fixture
def retriever(passages):
    made = RagRetriever(HashingEmbedder(), FaissIndex(64))
    made.add(passages)
    return made


@pytest.fixture
def make_module(retriever):
    def make(*lines, **settings):
        return module_of(Config(**({"threshold": 0.3} | settings)), retriever, ScriptedGenerator(*lines))

    return make


@pytest.fixture
def embedder():
    return HashingEmbedder


@pytest.fixture
def make_passage():
    return passage
