"""The model against GPT-2 with the same weights, and against what causality, caching and tying promise."""

import math

import pytest
import torch
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel

from projects.pretrain_lm.models.sampling import Sampling, generate, probabilities
from projects.pretrain_lm.models.transformer_lm import (
    KVCache,
    ModelConfig,
    TransformerLM,
    apply_rotary,
    gpt2_weights,
    rotary_cos_sin,
)
from shared.errors import UserError

SIZE = {"vocab_size": 40, "context_length": 12, "num_layers": 3, "num_heads": 4, "hidden_size": 32}
KINDS = [{"positions": "learned"}, {"positions": "rotary"}, {"bias": False}]


def model_of(seed=0, **more):
    torch.manual_seed(seed)
    model = TransformerLM(ModelConfig(**{**SIZE, **more})).eval()
    for parameter in model.parameters():  # away from the start, where norms are 1 and biases 0
        torch.nn.init.normal_(parameter, std=0.15)
    return model


def ids_of(*shape, seed=0):
    return torch.randint(SIZE["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def gpt2(seed=0):
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=40, n_positions=12, n_embd=32, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    theirs = GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return theirs


def test_with_its_weights_it_is_gpt2_in_scores_and_gradients():
    theirs, mine = gpt2(), TransformerLM(ModelConfig(**SIZE)).eval()
    mine.load_state_dict(gpt2_weights(theirs.state_dict(), num_layers=3))
    ids = ids_of(5, 12)
    assert_close(mine(ids), theirs(ids).logits, atol=1e-5, rtol=1e-5)
    theirs(ids, labels=ids).loss.backward()
    labels = torch.cat([ids[:, 1:], torch.full((5, 1), -100)], 1)
    summed, count = mine.loss(ids, labels)
    (summed / count).backward()
    assert count == 5 * 11
    expected = gpt2_weights({n: p.grad for n, p in theirs.named_parameters()}, num_layers=3)
    for name, parameter in mine.named_parameters():
        assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_causal_model_does_not_see_what_comes(kind):
    model, ids = model_of(**kind), ids_of(2, 12)
    changed = ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 40
    one, two = model(ids), model(changed)
    assert torch.equal(one[:, :7], two[:, :7])
    assert (one[:, 7:] - two[:, 7:]).abs().amax((0, 2)).min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_bidirectional_model_sees_both_sides(kind):
    model, ids = model_of(causal=False, **kind), ids_of(2, 12)
    changed = ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 40
    assert (model(ids) - model(changed)).abs().amax((0, 2)).min() > 1e-4


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_row_is_the_row_alone(causal, kind):
    model, ids = model_of(causal=causal, **kind), ids_of(2, 12)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[0, 8:] = False
    together = model(ids, mask)
    assert_close(together[:1, :8], model(ids[:1, :8]), atol=1e-5, rtol=0)
    assert_close(together[1:], model(ids[1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_with_the_cache_is_the_whole_pass(kind):
    model, ids = model_of(**kind), ids_of(3, 12)
    cache = KVCache.empty()
    pieces = [model(ids[:, :5], cache=cache), *(model(ids[:, t : t + 1], cache=cache) for t in range(5, 12))]
    assert cache.length == 12
    assert_close(torch.cat(pieces, 1), model(ids), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_several_new_tokens_behind_a_cache_do_not_see_each_others_future(kind):
    model, ids = model_of(**kind), ids_of(3, 12)
    cache = KVCache.empty()
    pieces = [model(some, cache=cache) for some in ids.split((4, 3, 1, 4), 1)]
    assert_close(torch.cat(pieces, 1), model(ids), atol=1e-4, rtol=0)


def test_rotated_products_depend_on_the_distance_alone():
    table = rotary_cos_sin(50, 8)
    q, k = torch.randn(2, 1, 1, 1, 8)

    def product(i, j):
        return (apply_rotary(q, table[:, i : i + 1]) * apply_rotary(k, table[:, j : j + 1])).sum()

    assert_close(product(3, 7), product(30, 34), atol=1e-5, rtol=0)
    assert (product(3, 7) - product(3, 8)).abs() > 1e-4
    assert_close(apply_rotary(q, table[:, 9:10]).norm(), q.norm())


def test_the_first_loss_is_that_of_a_guess():
    torch.manual_seed(0)
    model = TransformerLM(ModelConfig(**{**SIZE, "vocab_size": 500}))
    ids = torch.randint(500, (16, 12))
    summed, count = model.loss(ids, ids.roll(-1, 1))
    assert summed.item() / count == pytest.approx(math.log(500), rel=0.02)


def test_the_embedding_scores_too_and_is_counted_once():
    model = model_of()
    assert model.lm_head.weight is model.token_embedding.weight
    per_block = 4 * 32 + (3 * 32 * 32 + 3 * 32) + (32 * 32 + 32) + (8 * 32 * 32 + 4 * 32 + 32)
    assert sum(p.numel() for p in model.parameters()) == 40 * 32 + 12 * 32 + 3 * per_block + 2 * 32


def test_loss_is_over_labels_alone():
    model, ids = model_of(causal=False), ids_of(2, 12)
    labels = torch.full((2, 12), -100)
    labels[0, 3], labels[1, 0] = 5, 6
    summed, count = model.loss(ids, labels)
    logs = model(ids).log_softmax(2)
    assert count == 2
    assert_close(summed, -(logs[0, 3, 5] + logs[1, 0, 6]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 30, "does not divide"),
        ("num_layers", 0, "at least 1"),
        ("num_heads", 32, "odd"),
        ("context_length", -1, "at least 1"),
    ],
)
def test_a_shape_that_does_not_fit_is_one_line(field, value, message):
    with pytest.raises(UserError, match=message):
        ModelConfig(**{**SIZE, "positions": "rotary", field: value})


def test_a_sequence_beyond_the_context_is_one_line():
    with pytest.raises(UserError, match="13 tokens; the model's context is 12"):
        model_of()(ids_of(1, 13))


# ---------------------------------------------------------------- sampling


def test_generation_with_the_cache_is_generation_without():
    model, prompt = model_of(), ids_of(2, 3)
    written = generate(model, prompt, new_tokens=9, sampling=Sampling(temperature=0.0))
    ids = prompt
    for _ in range(9):
        ids = torch.cat([ids, model(ids)[:, -1:].argmax(2)], 1)
    assert torch.equal(written, ids[:, 3:])


def test_generation_goes_on_beyond_the_context():
    written = generate(model_of(), ids_of(1, 30), new_tokens=40, sampling=Sampling(temperature=0.0))
    assert written.shape == (1, 40)


def test_tokens_that_are_never_to_be_written_are_not():
    how, draw = Sampling(temperature=5.0), torch.Generator().manual_seed(0)
    written = generate(model_of(), ids_of(4, 3), new_tokens=60, sampling=how, generator=draw, suppressed=(0, 7))
    assert not torch.isin(written, torch.tensor([0, 7])).any()
    assert len(written.unique()) > 20
    with_a_hot_one = generate(
        model_of(), ids_of(4, 3), new_tokens=5, sampling=Sampling(temperature=3e38), suppressed=(0, 7)
    )
    assert not torch.isin(with_a_hot_one, torch.tensor([0, 7])).any()


@pytest.mark.parametrize("temperature", [1e-300, 1e-45, 1e-30, 1e-10])
def test_a_temperature_next_to_nothing_is_greedy(temperature):
    greedy, cold = (
        generate(model_of(), ids_of(2, 3), new_tokens=9, sampling=Sampling(temperature=t)) for t in (0.0, temperature)
    )
    assert torch.equal(greedy, cold)


def test_the_same_generator_writes_the_same_text():
    texts = [
        generate(
            model_of(), ids_of(1, 3), new_tokens=20, sampling=Sampling(), generator=torch.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    ]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])


SCORES = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Sampling(), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(temperature=0.0), [1.0, 0, 0, 0]),
        (Sampling(temperature=0.5), [0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345]),
        (Sampling(temperature=1e-320), [1.0, 0, 0, 0]),
        (Sampling(temperature=1e-45), [1.0, 0, 0, 0]),
        (Sampling(temperature=1e-38), [1.0, 0, 0, 0]),
        (Sampling(temperature=1e-10, top_p=0.5), [1.0, 0, 0, 0]),
        (Sampling(temperature=3e38), [0.25, 0.25, 0.25, 0.25]),
        (Sampling(top_k=2), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_k=9), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(top_p=0.75), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.76), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]),
        (Sampling(top_p=0.01), [1.0, 0, 0, 0]),
    ],
)
def test_probabilities_by_hand(how, expected):
    assert_close(probabilities(SCORES, how), torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": -1.0},
        {"temperature": 1e39},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_a_setting_that_draws_nothing_is_one_line(field):
    with pytest.raises(UserError):
        Sampling(**field)


def test_a_bidirectional_model_or_an_empty_prompt_cannot_be_continued():
    with pytest.raises(UserError, match="bidirectional"):
        generate(model_of(causal=False), ids_of(1, 3), new_tokens=1, sampling=Sampling())
    with pytest.raises(UserError, match="empty"):
        generate(model_of(), ids_of(1, 0), new_tokens=1, sampling=Sampling())


def test_weights_start_as_gpt2s():
    torch.manual_seed(0)
    model = TransformerLM(ModelConfig(vocab_size=300, num_layers=8, hidden_size=64, num_heads=4))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            writes = name.endswith(
                ("out_proj.weight", "down_proj.weight")
            )  # to the stream: 16 summands of one variance
            assert parameter.std().item() == pytest.approx(0.02 / 4 if writes else 0.02, rel=0.05), name
        else:
            assert parameter.unique().tolist() == [1.0 if name.endswith("norm.weight") else 0.0], name
