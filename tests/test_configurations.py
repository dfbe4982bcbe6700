"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import importlib

import pytest

from shared.errors import UserError

NAN, INF = float("nan"), float("inf")
REFUSED = [
    ("adapters", {"bottleneck": 0}, "--bottleneck 0: must be at least 1"),
    ("adapters", {"bottleneck": 10**9}, "--bottleneck 1000000000: must be at most 16384"),
    ("adapters", {"weight_decay": -0.1}, "--weight_decay -0.1: must be at least 0"),
    ("adapters", {"warmup": NAN}, "--warmup nan: must be in [0, 1)"),
    ("adapters", {"lr": INF}, "--lr inf: must be a positive number"),
    ("hf_finetune", {"neutral_band": NAN}, "--neutral_band nan: must be at least 0"),
    ("hf_finetune", {"mixout": 1.0}, "--mixout 1.0: must be in [0, 1)"),
    ("hf_finetune", {"warmup": 1.0}, "--warmup 1.0: must be in [0, 1)"),
    ("hf_finetune", {"save_every": -1}, "--save_every -1: must be at least 0"),
    ("hf_finetune", {"seed": -1}, "--seed -1: must be at least 0"),
    ("hf_finetune", {"memory_gb": NAN}, "--memory_gb nan: must be a positive number"),
    ("lora", {"rank": 10**6}, "--rank 1000000: must be at most 16384"),
    ("lora", {"weight_decay": -1.0}, "--weight_decay -1.0: must be at least 0"),
    ("lora", {"warmup": -0.1}, "--warmup -0.1: must be in [0, 1)"),
    ("lora", {"lora_dropout": NAN}, "--lora_dropout nan: must be in [0, 1)"),
    ("onnx_serving", {"window": 513}, "--window 513: must be at most 512"),
    ("onnx_serving", {"window": 60}, "--window 60: must be at least twice --overlap 28 plus 32"),
    ("onnx_serving", {"weight_decay": NAN}, "--weight_decay nan: must be at least 0"),
    ("onnx_serving", {"warmup": 1.5}, "--warmup 1.5: must be in [0, 1]"),
    ("pretrain_lm", {"width": 10**8}, "--width 100000000: must be at most 16384"),
    ("pretrain_lm", {"layers": 10**6}, "--layers 1000000: must be at most 16384"),
    ("pretrain_lm", {"beta2": 1.0}, "--beta2 1.0: must be in [0, 1)"),
    ("pretrain_lm", {"mask_ratio": 0.0}, "--mask_ratio 0.0: must be in (0, 1)"),
    ("rag_agent", {"weight": NAN}, "--weight nan: must be in [0, 1]"),
    ("rag_agent", {"constant": INF}, "--constant inf: must be a positive number"),
    ("rlhf_ppo", {"tokens": 5000}, "--tokens 5000: must be at most 4096"),
    ("rlhf_ppo", {"rank": 10**6}, "--rank 1000000: must be at most 16384"),
    ("rlhf_ppo", {"clip": NAN}, "--clip nan: must be at least 0"),
    ("rlhf_ppo", {"kl_target": -1.0}, "--kl_target -1.0: must be above 0, or None"),
]


@pytest.mark.parametrize(("project", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(project, settings, said):
    config = importlib.import_module(f"projects.{project}.config").Config
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said


def test_the_smallest_vocabulary_holds_for_every_tokenizer():
    config = importlib.import_module("projects.pretrain_lm.data.clean_corpus").CorpusConfig
    for tokenizer in ("bpe", "char"):
        with pytest.raises(UserError, match=r"^--vocabulary -5: must be at least 260$"):
            config(tokenizer=tokenizer, vocabulary=-5)
