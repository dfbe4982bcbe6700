"""Adapters and hooks: identity, placement, life cycle, and what they refuse."""

import copy
import json
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertForSequenceClassification, BertModel

from projects.adapters.hooks.forward_hooks import (
    adapters_of,
    disable_adapters,
    disabled,
    enable_adapters,
    freeze,
    inserted,
    match_modules,
    register_adapters,
    remove_adapters,
    unfreeze,
)
from projects.adapters.hooks.inline import write_inline
from projects.adapters.models.adapter import AdapterBottleneck, AdapterParallel, adapter_parameters
from projects.adapters.models.transformer_base import encoder_from_bert
from shared.assets import load_encoder
from shared.errors import UserError

BOTH = ("blocks.*.attention", "blocks.*.feed_forward")
KINDS = [AdapterBottleneck, AdapterParallel]


def maker(kind=AdapterBottleneck, width=16, m=3, **more):
    return lambda _: kind(width, m, **more)


def moved(model):
    """Give every up-projection values, so that the adapters are not the identity."""
    for _, adapter in adapters_of(model):
        nn.init.normal_(adapter.up.weight, std=0.5)
        nn.init.normal_(adapter.up.bias, std=0.5)


# ---------------------------------------------------------------- the modules


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_those_of_the_formula(kind):
    for width, m in ((16, 3), (384, 64), (5, 9)):
        adapter = kind(width, m)
        assert sum(p.numel() for p in adapter.parameters()) == adapter_parameters(width, m) == 2 * width * m + width + m


def test_both_kinds_compute_their_formula():
    x, output = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    for kind, read in ((AdapterBottleneck, output), (AdapterParallel, x)):
        adapter = kind(16, 4, init="he", scale=2.5)
        nn.init.normal_(adapter.down.bias)
        nn.init.normal_(adapter.up.bias)
        inner = (read @ adapter.down.weight.T + adapter.down.bias).clamp(min=0)
        expected = output + 2.5 * (inner @ adapter.up.weight.T + adapter.up.bias)
        assert_close(adapter(output, x), expected)


def test_initialisations_have_the_variance_of_their_paper():
    """He: 2/fan_in; Xavier: 2/(fan_in + fan_out); biases zero; zero_up: the up-projection zero."""
    for init, down_var, up_var in (("he", 2 / 384, 2 / 96), ("xavier", 2 / 480, 2 / 480)):
        adapter = AdapterBottleneck(384, 96, init=init)
        assert adapter.down.weight.var().item() == pytest.approx(down_var, rel=0.05)
        assert adapter.up.weight.var().item() == pytest.approx(up_var, rel=0.05)
        assert not adapter.down.bias.any() and not adapter.up.bias.any()
    for down, var in (("he", 2 / 384), ("xavier", 2 / 480)):
        adapter = AdapterBottleneck(384, 96, init="zero_up", down_init=down)
        assert adapter.down.weight.var().item() == pytest.approx(var, rel=0.05)
        assert not adapter.up.weight.any() and not adapter.up.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bottleneck": 0}, "bottleneck 0"),
        ({"bottleneck": -3}, "bottleneck -3"),
        ({"scale": 0.0}, "scale 0.0"),
        ({"scale": float("inf")}, "scale inf"),
        ({"dropout": 1.0}, "dropout 1.0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        AdapterBottleneck(16, **{"bottleneck": 2, **arguments})


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_gradient_reaches_the_up_projection_only(kind):
    """With up = 0 the down-projection's gradient is exactly zero at step 1, and not at step 2."""
    adapter = kind(16, 4)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    x, output = torch.randn(5, 16), torch.randn(5, 16)
    for step in (1, 2):
        optimizer.zero_grad()
        adapter(output, x).square().sum().backward()
        assert adapter.up.weight.grad.any() and adapter.up.bias.grad.any()
        assert bool(adapter.down.weight.grad.any()) == (step == 2)
        optimizer.step()


def test_dropout_is_between_the_projections_and_in_training_only():
    adapter = AdapterBottleneck(16, 8, init="he", dropout=0.5)
    h = torch.randn(4, 16)
    adapter.eval()
    assert torch.equal(adapter(h), adapter(h))
    adapter.train()
    assert not torch.equal(adapter(h), adapter(h))
    nn.init.zeros_(adapter.up.weight)
    assert torch.equal(adapter(h), h)


# ---------------------------------------------------------------- placement


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_sit_before_residual_and_norm(small, batch, kind, norm_first):
    """Oracle: the block written out with the adapter at its place."""
    ids, mask = batch
    encoder = small(norm_first=norm_first)
    register_adapters(encoder, BOTH, maker(kind, scale=2.0))
    moved(encoder)
    real, x = mask.bool(), encoder.embeddings(ids)
    with disabled(encoder):  # the sublayers alone; the adapters are called by hand
        for block in encoder.blocks:
            first, second = block.attention.adapter, block.feed_forward.adapter
            if norm_first:
                given = block.attention_norm(x)
                x = x + first(block.attention(given, real), given)
                given = block.feed_forward_norm(x)
                x = x + second(block.feed_forward(given), given)
            else:
                x = block.attention_norm(x + first(block.attention(x, real), x))
                x = block.feed_forward_norm(x + second(block.feed_forward(x), x))
        expected = encoder.final_norm(x)
    assert_close(encoder(ids, mask), expected, rtol=1e-5, atol=1e-5)


def test_the_inline_form_computes_the_same(encoder, batch):
    register_adapters(encoder, BOTH, maker(init="he", dropout=0.1))
    moved(encoder)
    freeze(encoder)
    hooked = encoder(*batch)
    write_inline(encoder)
    assert not any(module._forward_hooks for module in encoder.modules())
    assert_close(encoder(*batch), hooked, rtol=0.0, atol=0.0)


class Tupled(nn.Module):
    """As attention in transformers: takes its input by keyword and returns a tuple."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, flag=None, *, hidden_states):
        return self.inner(hidden_states), "weights"


@pytest.mark.parametrize("kind", KINDS)
def test_tuples_and_keywords(kind):
    model = nn.ModuleDict({"self": Tupled()})
    register_adapters(model, ["self"], maker(kind))
    moved(model)
    x = torch.randn(2, 16)
    output, weights = model["self"](hidden_states=x)
    assert weights == "weights"
    assert_close(output, model["self"].adapter(model["self"].inner(x), x))


def test_a_module_that_returns_something_else_is_named(encoder, batch):
    class Odd(nn.Module):
        def forward(self, x):
            return {"x": x}

    model = nn.Sequential(Odd())
    register_adapters(model, ["0"], maker())
    with pytest.raises(UserError, match="Odd returns dict"):
        model(torch.randn(2, 16))


BERT_PLACES = [
    (AdapterBottleneck, ("attention.output.dense", "layer.*.output.dense")),
    (AdapterParallel, ("attention.self",)),  # returns a tuple
    (AdapterParallel, ("layer.*.attention",)),  # the whole attention sublayer with residual and norm, a tuple too
]


@pytest.mark.parametrize(("kind", "patterns"), BERT_PLACES)
def test_any_module_found_by_name_transformers_bert(kind, patterns, batch, bits):
    ids, mask = batch
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=50, **size), add_pooling_layer=False).eval()
    before = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    names = register_adapters(bert, patterns, maker(kind))
    assert len(names) == 2 * len(patterns)
    assert bits(bert(input_ids=ids, attention_mask=mask).last_hidden_state, before)
    moved(bert)
    assert not torch.allclose(bert(input_ids=ids, attention_mask=mask).last_hidden_state, before, atol=1e-3)
    assert remove_adapters(bert) == len(names)
    assert bits(bert(input_ids=ids, attention_mask=mask).last_hidden_state, before)


def test_in_berts_own_modules_the_bottleneck_does_what_it_does_in_ours(batch):
    """The same adapters at attention.output.dense and output.dense of BERT, and at our two sublayers."""
    ids, mask = batch
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=50, **size), add_pooling_layer=False).eval()
    ours = encoder_from_bert(bert)
    register_adapters(bert, ("attention.output.dense", "layer.*.output.dense"), maker(init="he"))
    register_adapters(ours, BOTH, maker(init="he"))
    for number, block in enumerate(ours.blocks):
        layer = bert.encoder.layer[number]
        block.attention.adapter.load_state_dict(layer.attention.output.dense.adapter.state_dict())
        block.feed_forward.adapter.load_state_dict(layer.output.dense.adapter.state_dict())
    theirs = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    assert_close(ours(ids, mask)[mask.bool()], theirs[mask.bool()], rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- identity and life cycle


@pytest.mark.parametrize("kind", KINDS)
def test_inserted_in_minilm_every_bit_stays_and_removed_too(kind, bits):
    bert, tokenizer = load_encoder("minilm", max_length=64)
    tokens = tokenizer(["Who wrote Hamlet ?", "A much longer text , so that one is padded ."], padding=True)
    ids, mask = torch.tensor(tokens["input_ids"]), torch.tensor(tokens["attention_mask"])
    encoder = encoder_from_bert(bert)
    state = {name: p.clone() for name, p in encoder.state_dict().items()}
    with torch.inference_mode():
        before = encoder(ids, mask)
        assert len(register_adapters(encoder, BOTH, maker(kind, 384, 64, scale=4.0))) == 12
        assert bits(encoder(ids, mask), before)
        for _, adapter in adapters_of(encoder):
            adapter.up.bias.add_(0.1)
        assert not torch.equal(encoder(ids, mask), before)
        assert remove_adapters(encoder) == 12
        assert bits(encoder(ids, mask), before)
    assert encoder.state_dict().keys() == state.keys()
    assert all(bits(p, state[name]) for name, p in encoder.state_dict().items())
    assert not any(m._forward_hooks or m._forward_hooks_with_kwargs for m in encoder.modules())


def test_drawing_both_projections_breaks_the_identity(encoder, batch):
    before = encoder(*batch)
    register_adapters(encoder, BOTH, maker(init="xavier"))
    assert not torch.allclose(encoder(*batch), before, atol=1e-3)


def test_inserting_twice_is_inserting_once(encoder, batch):
    register_adapters(encoder, BOTH, maker())
    moved(encoder)
    once = encoder(*batch)
    kept = dict(adapters_of(encoder))
    assert len(register_adapters(encoder, BOTH, maker())) == 4
    assert dict(adapters_of(encoder)) == kept
    assert torch.equal(encoder(*batch), once)
    assert all(len(m._forward_hooks) == 1 for m in (b.attention for b in encoder.blocks))


@pytest.mark.parametrize("other", [maker(AdapterParallel), maker(m=5), maker(scale=2.0)])
def test_another_adapter_in_the_place_of_one_is_refused_and_nothing_changes(encoder, batch, other):
    register_adapters(encoder, ["blocks.0.attention"], maker())
    moved(encoder)
    before = encoder(*batch)
    with pytest.raises(UserError, match=r"blocks\.0\.attention holds another adapter") as refused:
        register_adapters(encoder, BOTH, other)
    assert "\n" not in str(refused.value)
    assert torch.equal(encoder(*batch), before)
    assert len(dict(adapters_of(encoder))) == 1


def test_disable_and_enable(encoder, batch, bits):
    before = encoder(*batch)
    register_adapters(encoder, BOTH, maker())
    moved(encoder)
    adapted = encoder(*batch)
    assert disable_adapters(encoder) == 4
    assert bits(encoder(*batch), before)
    assert enable_adapters(encoder) == 4
    assert bits(encoder(*batch), adapted)


def test_context_managers_leave_things_as_they_were(encoder, batch, bits):
    before = encoder(*batch)
    with inserted(encoder, BOTH, maker()) as names:
        assert len(names) == 4
        moved(encoder)
        assert not torch.equal(encoder(*batch), before)
    assert bits(encoder(*batch), before) and not dict(adapters_of(encoder))
    register_adapters(encoder, ["blocks.0.attention"], maker())
    with inserted(encoder, BOTH, maker()) as names:
        assert len(names) == 3
    assert [name for name, _ in adapters_of(encoder)] == ["blocks.0.attention"]
    one = encoder.blocks[0].attention.adapter
    one.enabled = False
    with disabled(encoder):
        pass
    assert one.enabled is False
    with pytest.raises(ZeroDivisionError), inserted(encoder, ["blocks.1.attention"], maker()):
        raise ZeroDivisionError
    assert len(dict(adapters_of(encoder))) == 1


def test_a_copy_has_adapters_of_its_own(encoder, batch):
    register_adapters(encoder, BOTH, maker())
    moved(encoder)
    before = encoder(*batch)
    twin = copy.deepcopy(encoder)
    assert torch.equal(twin(*batch), before)
    moved(twin)  # other values, in the copy only
    assert torch.equal(encoder(*batch), before)
    assert not torch.equal(twin(*batch), before)
    remove_adapters(encoder)
    assert not torch.equal(twin(*batch), encoder(*batch))
    remove_adapters(twin)
    assert torch.equal(twin(*batch), encoder(*batch))
    assert not any(m._forward_hooks for m in twin.modules())


def test_adapters_are_submodules(encoder):
    register_adapters(encoder, BOTH, maker())
    assert "blocks.0.attention.adapter.down.weight" in encoder.state_dict()
    encoder.to(torch.float64)
    assert all(p.dtype == torch.float64 for _, a in adapters_of(encoder) for p in a.parameters())
    half = nn.Sequential(nn.Linear(16, 16)).to(torch.bfloat16)
    register_adapters(half, ["0"], maker())
    assert half(torch.randn(2, 16, dtype=torch.bfloat16)).dtype == torch.bfloat16


# ---------------------------------------------------------------- names


def test_patterns_compare_the_end_of_the_name_part_by_part(encoder):
    assert match_modules(encoder, "feed_forward") == ["blocks.0.feed_forward", "blocks.1.feed_forward"]
    assert match_modules(encoder, "blocks.1.*") == [
        f"blocks.1.{part}" for part in ("attention", "attention_norm", "feed_forward", "feed_forward_norm")
    ]
    assert match_modules(encoder, "att*n") == ["blocks.0.attention", "blocks.1.attention"]
    assert match_modules(encoder, "*.*.down") == ["blocks.0.feed_forward.down", "blocks.1.feed_forward.down"]
    register_adapters(encoder, BOTH, maker())
    assert match_modules(encoder, "down") == ["blocks.0.feed_forward.down", "blocks.1.feed_forward.down"]


def test_a_pattern_that_names_nothing_names_the_nearest(encoder):
    with pytest.raises(UserError, match=r"pattern 'blocks\.\*\.atention' names no module.*blocks\.\*\.attention") as no:
        register_adapters(encoder, ["blocks.*.feed_forward", "blocks.*.atention"], maker())
    assert "\n" not in str(no.value)
    assert not dict(adapters_of(encoder))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, on importing its compiler
def test_a_compiled_model_is_refused(encoder):
    register_adapters(encoder, ["blocks.0.attention"], maker())
    wrapped = torch.compile(encoder)
    for change in (lambda: register_adapters(wrapped, BOTH, maker()), lambda: remove_adapters(wrapped)):
        with pytest.raises(UserError, match="the model is compiled"):
            change()
    encoder.blocks[1].compile()
    with pytest.raises(UserError, match=r"blocks\.1 is compiled"):
        remove_adapters(encoder)
    assert len(dict(adapters_of(encoder))) == 1


# ---------------------------------------------------------------- the frozen base


def test_a_frozen_base_stays_in_evaluation_mode(classifier, batch):
    encoder = classifier.encoder
    register_adapters(encoder, BOTH, maker(dropout=0.5))
    freeze(encoder)
    for call in (classifier.train, encoder.train, lambda: classifier.eval().train()):
        call()
        assert classifier.training
        inside = {id(m) for _, adapter in adapters_of(encoder) for m in adapter.modules()}
        assert all(module.training == (id(module) in inside) for module in encoder.modules())
    classifier.eval()
    assert not any(module.training for module in classifier.modules())
    trainable = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trainable and all(".adapter." in name for name in trainable)


def test_freezing_is_undone(encoder):
    kind = type(encoder)
    freeze(encoder)
    freeze(encoder)
    assert isinstance(encoder, kind) and not encoder.train().training
    twin = copy.deepcopy(encoder)
    assert not twin.train().blocks[0].training
    unfreeze(encoder)
    assert type(encoder) is kind and encoder.train().blocks[0].training
    assert all(p.requires_grad for p in encoder.parameters())


def test_freezing_leaves_the_class_its_name_and_pickling_alone(tmp_path, batch):
    ids, mask = batch
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, **size))
    register_adapters(model.bert, ["layer.*.output.dense"], maker(dropout=0.5))
    moved(model)
    freeze(model)
    assert type(model) is BertForSequenceClassification
    again = pickle.loads(pickle.dumps(model))
    before = model.eval()(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(again.eval()(input_ids=ids, attention_mask=mask).logits, before)
    for each in (model, again, copy.deepcopy(model)):
        each.train()
        inside = {id(m) for _, adapter in adapters_of(each) for m in adapter.modules()}
        assert inside and all(module.training == (id(module) in inside) for module in each.modules())
    model.eval()
    assert not any(module.training for module in model.modules())
    assert any(module.training for module in again.modules())  # the copy's train() is the copy's own
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForSequenceClassification"]
    unfreeze(model)
    assert vars(model).keys() == vars(BertForSequenceClassification(model.config)).keys()
