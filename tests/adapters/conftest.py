"""An encoder small enough for tests: the real classes, random weights."""

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from projects.adapters.models.transformer_base import ModelConfig, SequenceClassifier, TransformerEncoder

SMALL = {"vocab_size": 50, "context_length": 32, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
SMALL |= {"intermediate_size": 32}


def small_encoder(seed=0, **more):
    torch.manual_seed(seed)
    encoder = TransformerEncoder(ModelConfig(**{**SMALL, **more})).eval()
    for parameter in encoder.parameters():  # larger than at a start, so that nothing cancels by being nearly zero
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def padded_batch():
    mask = torch.ones(4, 7, dtype=torch.long)
    mask[1, 4:] = 0
    mask[3, 1:] = 0
    return torch.randint(1, 50, (4, 7), generator=torch.Generator().manual_seed(0)), mask


def same_bits(one, other):
    return torch.equal(one.contiguous().view(torch.int32), other.contiguous().view(torch.int32))


def two_classes(name, **_):
    """In the place of TREC and the movie reviews: two classes that one word gives away."""
    features = Features(text=Value("string"), label=ClassLabel(names=["bad", "good"]))

    def split(count):
        rows = {
            "text": [f"{('bad', 'good')[n % 2]} item {n}" for n in range(count)],
            "label": [n % 2 for n in range(count)],
        }
        return Dataset.from_dict(rows, features=features)

    return DatasetDict(train=split(64), validation=split(20), test=split(20))


@pytest.fixture
def few_texts(monkeypatch):
    monkeypatch.setattr("projects.adapters.data.load_dataset", two_classes)


@pytest.fixture
def encoder():
    return small_encoder()


@pytest.fixture
def batch():
    return padded_batch()


@pytest.fixture
def small():
    return small_encoder


@pytest.fixture
def bits():
    return same_bits


@pytest.fixture
def classifier():
    return SequenceClassifier(small_encoder(), 3)
