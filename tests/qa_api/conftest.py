"""Documents by hand, an encoder of letters, and a tiny reader: the whole service without a trained model."""

from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from projects.qa_api.data.documents import Document
from projects.qa_api.index.store import Store
from projects.qa_api.measure.small import HashedWords, small_service
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import Settings

Letters = HashedWords


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
    """A BERT of two layers, saved with the tokenizer of minilm, so that windows are real and a pass is quick."""
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


@pytest.fixture
def small(tmp_path):
    """The service over hashed words and a reader of first words."""
    made = small_service(Settings(data=tmp_path / "data", dataset="none", rate=1e5))
    yield made
    made.close()


@pytest.fixture
def client(small):
    """A client of it with an administrator's key."""
    key = issue(keys_of(small.settings), "a", "admin", "ana")
    app = create_app(small, small.settings)
    with TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {key}"}) as made:
        yield made
