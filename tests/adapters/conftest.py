"""An encoder small enough for tests: the real classes, random weights."""

import pytest
import torch

from projects.adapters.models.transformer_base import SequenceClassifier, Size, TransformerEncoder

SMALL = {"vocabulary": 50, "positions": 32, "width": 16, "layers": 2, "heads": 2, "inner": 32}


def small_encoder(seed=0, **more):
    torch.manual_seed(seed)
    encoder = TransformerEncoder(Size(**{**SMALL, **more})).eval()
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
