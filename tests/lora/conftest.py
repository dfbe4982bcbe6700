"""A classifier small enough for tests: the real classes, random weights."""

import pytest
import torch
from transformers import BertConfig, BertModel

from projects.lora.config import BERT_LINEAR
from projects.lora.models.classifier import Classifier
from projects.lora.models.lora import inject_lora, lora_layers


def tiny_classifier(seed=0, classes=3):
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return Classifier(BertModel(BertConfig(vocab_size=50, **size), add_pooling_layer=False), 16, classes).eval()


def with_lora(model, *, rank=2, alpha=4.0, targets=BERT_LINEAR, train_b=True):
    """Inject LoRA into the encoder; B gets values, so that the updates are not zero."""
    inject_lora(model.encoder, targets, rank=rank, alpha=alpha)
    if train_b:
        for _, layer in lora_layers(model):
            torch.nn.init.normal_(layer.B, std=0.1)
    return model


@pytest.fixture
def plain():
    return tiny_classifier()


@pytest.fixture
def tuned():
    return with_lora(tiny_classifier())


@pytest.fixture
def batch():
    mask = torch.ones(4, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return {"input_ids": torch.randint(1, 50, (4, 7)), "attention_mask": mask}


@pytest.fixture
def tiny():
    return tiny_classifier


@pytest.fixture
def lora():
    return with_lora
