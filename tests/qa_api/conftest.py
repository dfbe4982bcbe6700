"""Documents by hand, an encoder of letters, and a tiny reader: the whole service without a trained model."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.qa_api.data.documents import Document
from projects.qa_api.index.store import Store
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import Settings

WIDTH = 32


class Letters:
    """Vectors of hashed words: texts that share words are near."""

    width = WIDTH
    identity = "letters-32"

    def encode(self, texts, role):
        found = np.zeros((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                found[row, int(hashlib.sha256(word.strip("?.,¿").encode()).hexdigest(), 16) % WIDTH] += 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


DOCUMENTS = (
    Document(
        "sun", "Sun", "The Sun is the star at the centre of the Solar System. It is about 4.6 billion years old.", "en"
    ),
    Document("mole-animal", "Mole (animal)", "Moles are small mammals that live under the ground.", "en"),
    Document("mole-unit", "Mole (unit)", "The mole is the unit of amount of substance in the SI.", "en"),
    Document("malta", "Malta", "Malta es un país insular del Mediterráneo. Su capital es La Valeta.", "es"),
)


@pytest.fixture
def encoder():
    return Letters()


@pytest.fixture
def store(tmp_path, encoder):
    made = Store(tmp_path / "store.sqlite", encoder.identity)
    yield made
    made.close()


@pytest.fixture(scope="session")
def tiny_reader(tmp_path_factory):
    """A BERT of two layers, saved with the tokenizer of minilm, so that windows are real and a pass takes a millisecond."""
    from transformers import BertConfig, BertModel

    from shared.assets import load_encoder

    folder = tmp_path_factory.mktemp("reader") / "bert"
    _, tokenizer = load_encoder("minilm")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=32)  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return SpanReader(str(folder), 1).eval()


@pytest.fixture
def service(tmp_path, encoder, tiny_reader):
    made = Service(Settings(data=tmp_path / "data", dataset="none", rate=1e5), encoder, tiny_reader)
    yield made
    made.close()


def folder_of(service: Service) -> Path:
    return service.settings.data
