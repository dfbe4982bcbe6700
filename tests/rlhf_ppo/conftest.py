"""A language model and an encoder small enough for tests: the real classes, random weights."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from projects.rlhf_ppo import train_rlhf
from projects.rlhf_ppo.models.policy import Policy
from projects.rlhf_ppo.models.text_encoder import TextEncoder
from shared.assets import load_dataset

WORDS = ("<|im_end|> [UNK] the a film story is was not good bad dull bright and very plot actors . , it").split()  # noqa: SIM905 - a list of twenty strings is harder to read
END = 0


def word_tokenizer(side):
    """Whole words; pad is the end token, as in SmolLM2."""
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token=WORDS[0], eos_token=WORDS[0], unk_token="[UNK]", padding_side=side
    )


def tiny_policy(seed=0, temperature=0.7, ends=(END,), moved=False):
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), **size, tie_word_embeddings=True))
    policy = Policy(model, rank=2, temperature=temperature, ends=ends).eval()
    if moved:  # adapters and value head as after some training
        for name, parameter in policy.named_parameters():
            if "lora_B" in name or name.startswith("value_head"):
                torch.nn.init.normal_(parameter, std=0.3)
    return policy


def tiny_encoder(seed=0):
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    return TextEncoder(BertModel(BertConfig(vocab_size=len(WORDS), **size)).eval(), word_tokenizer("right"))


@pytest.fixture(scope="session")
def reviews():
    """The film reviews, read once: to divide them takes a second."""
    return load_dataset("movie_reviews")


@pytest.fixture(autouse=True, scope="module")
def _reviews_once(reviews):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_rlhf, "load_dataset", lambda _: reviews)
        yield


@pytest.fixture
def decoder_tokenizer():
    return word_tokenizer("left")


@pytest.fixture
def policy_of():
    return tiny_policy


@pytest.fixture
def encoder_of():
    return tiny_encoder


@pytest.fixture(scope="module")
def small_models():
    """A bare language model, its tokenizer, and an encoder with its own."""
    policy = tiny_policy()
    return policy.language.unload(), word_tokenizer("left"), tiny_encoder()
