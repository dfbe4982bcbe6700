"""A tiny model of random weights, its graph, and the real one."""

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A Llama of two layers with SmolLM2's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from shared.assets import resolve_model

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2"))
    torch.manual_seed(0)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "tie_word_embeddings": True}
    config = LlamaConfig(vocab_size=len(tokenizer), **size, **heads, **ends, initializer_range=0.3)
    config.max_position_embeddings = 512
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_graph(tiny_folder, tmp_path_factory):
    """Its graph, in a cache of its own."""
    from shared.engine.graph import graph_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC0C2_CACHE", str(tmp_path_factory.mktemp("cache")))
        return graph_folder(str(tiny_folder), "float32")


@pytest.fixture(scope="session")
def tiny(tiny_graph):
    """The engine on it."""
    from shared.engine import Engine

    return Engine(tiny_graph, threads=1)


@pytest.fixture(scope="session")
def tiny_torch(tiny_folder):
    """The same model in transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def steerable(tiny_graph):
    """The engine whose requests may bring what is added to the model."""
    from shared.engine import Engine

    return Engine(tiny_graph, threads=1, steerable=True)
