"""LoRA layers against independent truths: PEFT, loralib, torch's attention, and the definition."""

import copy

import loralib
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel

from projects.lora.config import BERT_LINEAR
from projects.lora.models.lora import (
    LoRAAttention,
    LoRALinear,
    fold_lora,
    inject_lora,
    lora_layers,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from projects.lora.utils.state_utils import base_digest
from shared.errors import UserError

EXACT = {"rtol": 0.0, "atol": 1e-6}


def random_layer(d=12, k=8, rank=4, alpha=8.0, **options):
    layer = LoRALinear(nn.Linear(d, k), rank, alpha, **options)
    nn.init.normal_(layer.B, std=0.1)  # outputs of order one, as in a trained model: 1e-6 is then a few roundings
    return layer


def peft_twin(layer, *, rslora=False):
    """PEFT's layer with the same base, A and B; its matrices are the transposes of ours."""
    model = nn.Sequential(copy.deepcopy(layer.base))
    config = peft.LoraConfig(r=layer.rank, lora_alpha=layer.alpha, use_rslora=rslora, target_modules=["0"])
    twin = peft.inject_adapter_in_model(config, model)[0]
    with torch.no_grad():
        twin.lora_A["default"].weight.copy_(layer.A.T)
        twin.lora_B["default"].weight.copy_(layer.B.T)
    return twin


@pytest.mark.parametrize("scaling", ["alpha/r", "alpha/sqrt(r)"])
def test_forward_gradients_and_delta_equal_pefts(scaling):
    layer = random_layer(scaling=scaling)
    twin = peft_twin(layer, rslora=scaling == "alpha/sqrt(r)")
    x = torch.randn(5, 3, 12)
    mine, theirs = layer(x), twin(x)
    assert_close(mine, theirs, **EXACT)
    (mine.square().mean()).backward()
    (theirs.square().mean()).backward()
    assert_close(layer.A.grad, twin.lora_A["default"].weight.grad.T, **EXACT)
    assert_close(layer.B.grad, twin.lora_B["default"].weight.grad.T, **EXACT)
    assert_close(layer.delta(), twin.get_delta_weight("default"), **EXACT)
    layer.merge()
    twin.merge()
    assert_close(layer.base.weight, twin.base_layer.weight, **EXACT)


def test_forward_equals_loralibs():
    layer = random_layer()
    theirs = loralib.Linear(12, 8, r=4, lora_alpha=8)
    with torch.no_grad():
        theirs.weight.copy_(layer.base.weight)
        theirs.bias.copy_(layer.base.bias)
        theirs.lora_A.copy_(layer.A.T)
        theirs.lora_B.copy_(layer.B.T)
    x = torch.randn(6, 12)
    assert_close(layer(x), theirs(x), **EXACT)


@settings(max_examples=25, deadline=None)
@given(
    d=st.integers(1, 20), k=st.integers(1, 20), rank=st.integers(1, 20), batch=st.lists(st.integers(1, 3), max_size=2)
)
def test_at_its_start_it_is_the_base_and_later_the_definition(d, k, rank, batch):
    base = nn.Linear(d, k)
    if rank > min(d, k):
        with pytest.raises(UserError, match=rf"rank {rank} does not fit a {d}→{k} layer: use 1 to {min(d, k)}"):
            LoRALinear(base, rank, 1.0)
        return
    layer = LoRALinear(base, rank, alpha=3.0)
    x = torch.randn(*batch, d)
    assert torch.equal(layer(x), base(x))
    nn.init.normal_(layer.B)
    assert_close(layer(x), x @ base.weight.T + base.bias + 3.0 / rank * (x @ layer.A) @ layer.B, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(UserError, match=f"rank {rank} does not fit"):
        LoRALinear(nn.Linear(3, 3), rank, 1.0)


def test_only_a_and_b_learn_and_a_starts_like_a_linear_layer():
    layer = LoRALinear(nn.Linear(400, 6), 2, 1.0)
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["A", "B"]
    bound = 1 / 400**0.5  # Kaiming-uniform with a = √5 over a fan-in of d
    assert 0.9 * bound < layer.A.abs().max() <= bound
    layer(torch.randn(2, 400)).sum().backward()
    assert layer.base.weight.grad is None
    assert torch.count_nonzero(layer.A.grad) == 0  # B is zero: A cannot move at the first step
    assert torch.count_nonzero(layer.B.grad) > 0


def test_gradients_pass_gradcheck():
    layer = random_layer(4, 3, 2).double()
    assert torch.autograd.gradcheck(layer, torch.randn(2, 4, dtype=torch.double, requires_grad=True))


def test_merging_twice_and_unmerging_restores_every_bit():
    layer = random_layer()
    kept, x = layer.base.weight.clone(), torch.randn(2, 12)
    apart = layer(x)
    layer.merge()
    once = layer.base.weight.clone()
    layer.merge()
    assert layer.merged and torch.equal(layer.base.weight, once) and not torch.equal(once, kept)
    assert_close(layer(x), apart, rtol=0.0, atol=1e-5)
    layer.unmerge()
    layer.unmerge()
    assert not layer.merged and torch.equal(layer.base.weight, kept) and torch.equal(layer(x), apart)


def test_modes_do_not_merge():
    """loralib merges in eval() and unmerges in train(): here only the verbs do."""
    layer = random_layer()
    kept = layer.base.weight.clone()
    layer.eval()
    layer.train()
    assert torch.equal(layer.base.weight, kept) and not layer.merged
    layer.merge()
    layer.train()
    assert layer.merged


def test_merging_in_bfloat16_rounds_once():
    """The update is computed in float32 and only the sum is cast: the error is half a unit in the last place."""
    layer = random_layer().bfloat16()
    exact = layer.base.weight.double() + layer.scale * (layer.A.double() @ layer.B.double()).T
    layer.merge()
    assert torch.all((layer.base.weight.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-6)
    assert layer.base.weight.dtype is torch.bfloat16


def test_dropout_touches_the_update_only():
    layer = random_layer(dropout=0.5)
    x = torch.randn(64, 12)
    layer.train()
    assert not torch.equal(layer(x), layer(x))
    nn.init.zeros_(layer.B)
    assert torch.equal(layer(x), layer.base(x))


def torch_attention(width=16, heads=4):
    attention = nn.MultiheadAttention(width, heads, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)
    return attention.eval()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_at_its_start_equals_torchs(causal, padded):
    theirs = torch_attention()
    mine = LoRAAttention.from_torch(theirs, rank=2, alpha=2.0)
    x = torch.randn(3, 6, 16)
    padding = torch.zeros(3, 6, dtype=torch.bool)
    padding[1, 4:] = True
    padding = padding if padded else None
    future = torch.ones(6, 6, dtype=torch.bool).triu(1) if causal else None
    expected, _ = theirs(x, x, x, key_padding_mask=padding, attn_mask=future, need_weights=False)
    assert_close(mine(x, x, x, key_padding_mask=padding, is_causal=causal), expected, rtol=0.0, atol=1e-5)


def test_attention_with_updates_equals_torchs_with_merged_weights():
    theirs = torch_attention()
    mine = LoRAAttention.from_torch(theirs, rank=2, alpha=2.0)
    layers = (mine.query, mine.key, mine.value, mine.output)
    for layer in layers:
        nn.init.normal_(layer.B)
    with torch.no_grad():
        theirs.in_proj_weight += torch.cat([layer.delta() for layer in layers[:3]])
        theirs.out_proj.weight += mine.output.delta()
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    assert_close(mine(x, memory, memory), theirs(x, memory, memory, need_weights=False)[0], rtol=0.0, atol=1e-5)


def test_padding_and_future_are_not_read():
    mine = LoRAAttention(16, 4, 2, 2.0)
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 4:] += 1
    padding = torch.tensor([[False] * 4 + [True] * 2])
    one, other = (mine(x, y, y, key_padding_mask=padding) for y in (x, changed))
    assert torch.equal(one, other)
    one, other = (mine(y, y, y, is_causal=True)[:, :4] for y in (x, changed))
    assert_close(one, other, **EXACT)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="a hidden size of 10 does not divide into 4 heads"):
        LoRAAttention(10, 4, 2, 2.0)


def test_injection_freezes_the_encoder_and_leaves_the_head(plain, batch):
    before = plain(**batch)
    names = inject_lora(plain.encoder, BERT_LINEAR, rank=2, alpha=4.0)
    assert len(names) == 12  # six linear layers in each of two blocks
    assert torch.equal(plain(**batch), before)
    trainable = {name.rsplit(".", 1)[-1] for name, p in plain.named_parameters() if p.requires_grad}
    assert trainable == {"A", "B", "weight", "bias"}
    assert {name for name, p in plain.named_parameters() if p.requires_grad and not name.endswith((".A", ".B"))} == {
        "head.weight",
        "head.bias",
    }


def test_removing_restores_the_model(plain, batch):
    kept = {name: p.detach().clone() for name, p in plain.state_dict().items()}
    inject_lora(plain.encoder, ["query"], rank=2, alpha=4.0)
    for _, layer in lora_layers(plain):
        nn.init.normal_(layer.B)
    merge_lora(plain)
    assert remove_lora(plain) == 2
    assert plain.state_dict().keys() == kept.keys()
    assert all(torch.equal(p, kept[name]) for name, p in plain.state_dict().items())


def test_merging_folding_and_peft_agree_on_a_model(tuned, batch):
    apart = tuned(**batch)
    merge_lora(tuned)
    assert_close(tuned(**batch), apart, rtol=0.0, atol=1e-5)
    unmerge_lora(tuned)
    assert torch.equal(tuned(**batch), apart)
    assert fold_lora(tuned) == 12
    assert not list(lora_layers(tuned))
    assert_close(tuned(**batch), apart, rtol=0.0, atol=1e-5)


def test_a_second_injection_leaves_the_first_as_it_is(plain, batch):
    inject_lora(plain.encoder, ["query"], rank=2, alpha=4.0)
    first = dict(lora_layers(plain))
    for layer in first.values():
        nn.init.normal_(layer.B)
    before = plain(**batch)
    assert len(inject_lora(plain.encoder, ["value", "key"], rank=3, alpha=6.0)) == 4
    layers = dict(lora_layers(plain))
    assert torch.equal(plain(**batch), before) and all(layers[name] is layer for name, layer in first.items())
    assert sorted({(layer.rank, layer.scale) for layer in layers.values()}) == [(2, 2.0), (3, 2.0)]
    trained = {name for name, p in plain.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.{part}" for name in layers for part in "AB"} | {"head.weight", "head.bias"}
    with pytest.raises(UserError, match=r"attention\.self\.query has LoRA already: remove_lora first"):
        inject_lora(plain.encoder, ["output.dense", "query"], rank=2, alpha=4.0)
    assert dict(lora_layers(plain)) == layers
    assert remove_lora(plain) == 6


def test_merging_a_tied_layer_leaves_the_embedding_alone():
    """GPT-2's head is its embedding's weight: the update belongs to the head only."""
    size = {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**size)).eval()
    ids = torch.randint(0, 40, (2, 6))
    inject_lora(model, ["lm_head"], rank=2, alpha=4.0)
    nn.init.normal_(model.lm_head.B)
    kept, apart, digest = model.transformer.wte.weight.clone(), model(ids).logits, base_digest(model)
    merge_lora(model)
    assert_close(model(ids).logits, apart, rtol=0.0, atol=1e-5)
    assert torch.equal(model.transformer.wte.weight, kept) and base_digest(model) == digest
    unmerge_lora(model)
    assert model.lm_head.base.weight is model.transformer.wte.weight  # tied again
    assert torch.equal(model(ids).logits, apart)
    fold_lora(model)
    assert_close(model(ids).logits, apart, rtol=0.0, atol=1e-5)
    assert torch.equal(model.transformer.wte.weight, kept)


def test_a_layer_under_two_names_gets_one_update_under_both():
    shared = nn.Linear(6, 6)
    model = nn.ModuleDict({"one": shared, "two": shared, "three": nn.Linear(6, 6)})
    assert inject_lora(model, ["one"], rank=2, alpha=2.0) == ["one", "two"]
    assert model["one"] is model["two"] and len(dict(lora_layers(model))) == 1
    nn.init.normal_(model["one"].B)
    x = torch.randn(3, 6)
    apart = model["two"](x)
    merge_lora(model)
    assert_close(model["two"](x), apart, rtol=0.0, atol=1e-5)
    assert fold_lora(model) == 1
    assert type(model["one"]) is nn.Linear and model["one"] is model["two"]
    assert_close(model["two"](x), apart, rtol=0.0, atol=1e-5)


def test_a_merge_that_overflows_is_refused_and_nothing_is_merged():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).half()
    inject_lora(model, ["0", "1"], rank=1, alpha=1.0)
    nn.init.constant_(model[1].A, 300.0)
    nn.init.constant_(model[1].B, 300.0)  # 90,000; float16 ends at 65,504
    kept = [layer.base.weight.clone() for layer in model]
    for verb in (merge_lora, fold_lora):
        with pytest.raises(UserError, match=r"1: base weight and update together are not finite in torch\.float16"):
            verb(model)
        assert not any(layer.merged for layer in model)
        assert all(torch.equal(layer.base.weight, weight) for layer, weight in zip(model, kept, strict=True))


def test_a_merged_copy_converts_and_unmerges_on_its_own():
    layer = random_layer()
    layer.merge()
    twin = copy.deepcopy(layer).double()
    twin.unmerge()
    assert layer.merged and not torch.equal(layer.base.weight.double(), twin.base.weight)
    assert torch.equal(twin.base.weight, layer.merged_base.double())


def test_a_state_dict_of_the_other_state_does_not_load_without_an_error():
    one, other = random_layer(), random_layer()
    apart = one.state_dict()
    one.merge()
    with pytest.raises(RuntimeError, match="merged_base"):
        other.load_state_dict(one.state_dict())
    with pytest.raises(RuntimeError, match="merged_base"):
        one.load_state_dict(apart)
    twin = random_layer()
    twin.merge()
    twin.load_state_dict(one.state_dict())
    one.unmerge()
    twin.unmerge()
    assert torch.equal(twin.base.weight, one.base.weight)


def test_a_base_under_a_pruning_mask_is_refused_until_the_mask_is_made_good():
    layer = random_layer()
    prune.l1_unstructured(layer.base, "weight", amount=0.5)
    with pytest.raises(UserError, match=r"prune\.remove before merging"):
        layer.merge()
    prune.remove(layer.base, "weight")
    layer.merge()
    assert layer.merged


def test_an_unknown_target_names_what_is_near_and_changes_nothing(plain):
    with pytest.raises(UserError, match=r"target 'querry' names no linear layer of the model; near it: query"):
        inject_lora(plain.encoder, ["key", "querry"], rank=2, alpha=4.0)
    assert not list(lora_layers(plain))
    assert all(p.requires_grad for p in plain.parameters())


def test_a_rank_too_large_for_one_layer_changes_nothing(plain):
    with pytest.raises(UserError, match="rank 17 does not fit a 16→16 layer"):
        inject_lora(plain.encoder, BERT_LINEAR, rank=17, alpha=4.0)
    assert not list(lora_layers(plain))
    mixed = nn.Sequential(nn.Linear(20, 20), nn.Linear(4, 4))
    with pytest.raises(UserError, match="rank 9 does not fit a 4→4 layer"):
        inject_lora(mixed, ["0", "1"], rank=9, alpha=4.0)
    assert not list(lora_layers(mixed)) and all(p.requires_grad for p in mixed.parameters())
