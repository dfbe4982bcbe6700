"""Language models small enough for tests (the real classes, random weights), a file of pairs, and judges that count."""

import json
from dataclasses import dataclass

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from projects.ppo_dpo_orpo.policies import Policy
from projects.ppo_dpo_orpo.prepare import Judges

WORDS = ("<|im_end|>", "[UNK]", "the", "a", "film", "story", "is", "was", "not", "good", "bad", "dull", "bright")
WORDS += ("and", "very", "plot", "actors", ".", ",", "it")


def word_tokenizer():
    """Whole words; pad is the end token, as in SmolLM2."""
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token=WORDS[0], eos_token=WORDS[0], unk_token="[UNK]", padding_side="left"
    )


def tiny_model(family="llama", seed=0):
    torch.manual_seed(seed)
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=3, n_head=2, n_positions=64, bos_token_id=0,
                       eos_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
        ).eval()  # fmt: skip
    size = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), **size, tie_word_embeddings=True)).eval()


def tiny_policy(kind="lora", family="llama", *, moved=False, values=False, upper=2 / 3):
    """Adapters in two of three layers; `moved` as after some training."""
    policy = Policy(tiny_model(family), kind, size=4, upper=upper, values=values)
    if moved:
        torch.manual_seed(1)
        for name, parameter in policy.named_parameters():
            if parameter.requires_grad and ("lora_B" in name or "up." in name or "value_head" in name):
                torch.nn.init.normal_(parameter, std=0.3)
    return policy


@dataclass
class Counting:
    """A judge that counts a word, and remembers how many texts it was asked about."""

    word: str
    digest: str
    asked: int = 0

    def rate(self, texts):
        self.asked += len(texts)
        return torch.tensor([text.count(self.word) - 0.1 * text.count("bad") for text in texts])


@pytest.fixture
def judges():
    return Judges(Counting("good", "proxy"), Counting("good", "gold"))


@pytest.fixture
def tokenizer():
    return word_tokenizer()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tiny_model().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def rows(count=24, films=6):
    """Pairs in which the good word wins; film 4 is validation's, film 5 the test's."""
    found = []
    for number in range(count):
        film = number % films
        split = {films - 1: "test", films - 2: "validation"}.get(film, "train")
        subject = ("plot", "story", "actors", "film")[number // films % 4]
        prompt = " ".join(["the", subject, *["very"] * film, "is"])
        found.append({"prompt": prompt, "chosen": "good and bright .", "rejected": "bad and dull and not it .",
                      "film": f"film{film}", "split": split})  # fmt: skip
    return found


def write_rows(path, found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture
def dataset(tmp_path):
    return write_rows(tmp_path / "pairs.jsonl", rows())
