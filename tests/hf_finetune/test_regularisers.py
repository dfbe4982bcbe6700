"""AWP and mixout against their definitions, and the Trainer's step against the gradient of the whole batch."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from projects.hf_finetune.training.awp import perturbable, perturbation_scales, perturbed
from projects.hf_finetune.training.mixout import keep_mask, mix, mixed, mixout_targets
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.regularised import RegularisedTrainer

CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def batch(rows=6, seed=0, length=7):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 60, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (rows,), generator=generator)}


def parts_of(whole, sizes):
    pieces = {name: tensor.split(sizes) for name, tensor in whole.items()}
    return [{name: pieces[name][i] for name in whole} for i in range(len(sizes))]


def trainer(model, tmp_path, *, awp=0.0, mixout=0.0, kind=RegularisedTrainer):
    options = {"model": model, "args": TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")}
    if kind is Trainer:
        return Trainer(**options)
    return kind(awp=awp, mixout=mixout, targets=mixout_targets(model), **options)


def window_step(made, model, batches):
    """What the Trainer's loop does with a window, up to the optimizer; returns the accumulated gradients."""
    window, items = made.get_batch_samples(iter(batches), len(batches), torch.device("cpu"))
    made.current_gradient_accumulation_steps = len(window)
    model.zero_grad()
    for inputs in window:
        made.training_step(model, dict(inputs), items)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_bits(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# ---------------------------------------------------------------- mixout


def mixed_by_definition(w, u, lost, p):
    """Lee et al. 2020, eq. 3: (M∘u + (1 − M)∘w − p·u) / (1 − p)."""
    return (lost * u + (1 - lost) * w - p * u) / (1 - p)


@settings(max_examples=30, deadline=None)
@given(p=st.integers(1, 15), seed=st.integers(0, 1000))
def test_mixing_is_the_papers_formula(p, seed):
    p = p / 16  # a multiple of 2⁻¹⁶: no rounding to allow for
    torch.manual_seed(seed)
    w, u = torch.randn(5, 7, dtype=torch.double), torch.randn(5, 7, dtype=torch.double)
    keep = keep_mask(w, p)
    lost = (keep == 0).double()
    assert_close(mix(w, u, keep), mixed_by_definition(w, u, lost, p))
    assert torch.equal(mix(w, u, keep)[keep == 0], u[keep == 0])


def test_its_gradient_passes_gradcheck():
    w, u = torch.randn(4, 5, dtype=torch.double, requires_grad=True), torch.randn(4, 5, dtype=torch.double)
    keep = keep_mask(w.detach(), 0.4)
    assert torch.autograd.gradcheck(lambda weight: mix(weight, u, keep), (w,))
    gradient = torch.autograd.grad(mix(w, u, keep).sum(), w)[0]
    assert set(gradient.unique().tolist()) == {0.0, keep.max().item()}
    assert keep.max().item() == pytest.approx(1 / 0.6, rel=1e-4)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_its_mean_is_the_weight(p):
    w, u = torch.full((1000, 1000), 2.0), torch.full((1000, 1000), -1.0)
    mixed_weight = mix(w, u, keep_mask(w, p))
    error = (3 * (p / (1 - p)) ** 0.5) / 1000  # standard error of a million draws of |w − u|·K
    assert abs(mixed_weight.mean().item() - 2.0) < 4 * error
    assert (mixed_weight == -1.0).float().mean().item() == pytest.approx(p, abs=0.003)


def test_target_zero_is_dropconnect():
    w = torch.randn(6, 6)
    torch.manual_seed(1)
    keep = keep_mask(w, 0.5)
    assert_close(mix(w, torch.zeros_like(w), keep), w * (keep > 0) / 0.5)


def test_masks_are_independent_and_even():
    """The four draws of one 64-bit number are as good as four numbers."""
    keep = (keep_mask(torch.empty(400, 1000), 0.5) > 0).float().view(-1, 4)
    assert_close(keep.mean(0), torch.full((4,), 0.5), rtol=0, atol=0.01)
    correlation = torch.corrcoef(keep.T) - torch.eye(4)
    assert correlation.abs().max().item() < 0.02
    assert not torch.equal(keep_mask(torch.empty(8, 8), 0.5), keep_mask(torch.empty(8, 8), 0.5))


def test_the_targets_are_the_encoders_linear_weights_and_stay_as_they_are(tiny):
    model = tiny()
    targets = mixout_targets(model)
    assert len(targets) == 2 * 6 + 1  # six a block, and the pooler
    assert not any("classifier" in name or "embeddings" in name or name.endswith("bias") for name in targets)
    before = {name: target.clone() for name, target in targets.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert same_bits(before, targets)


def test_p_zero_and_evaluation_are_the_identity_and_draw_nothing(tiny):
    model, inputs = tiny().eval(), batch()
    targets = {name: target + 1 for name, target in mixout_targets(model).items()}
    plain = model(**inputs).logits
    random = torch.get_rng_state()
    with mixed(model, targets, 0.0):
        assert torch.equal(model(**inputs).logits, plain)
    assert torch.equal(torch.get_rng_state(), random)
    with mixed(model, targets, 0.5):
        assert not torch.equal(model(**inputs).logits, plain)
    assert torch.equal(model(**inputs).logits, plain)


def test_parameters_are_back_in_their_places_also_after_an_exception(tiny):
    model = tiny()
    named, before = list(model.named_parameters()), state(model)
    with pytest.raises(ZeroDivisionError), mixed(model, mixout_targets(model), 0.5):
        raise ZeroDivisionError
    again = list(model.named_parameters())
    assert [name for name, _ in again] == [name for name, _ in named]  # the optimizer's state goes by their order
    assert all(now is then for (_, now), (_, then) in zip(again, named, strict=True))
    assert same_bits(before, state(model))


def test_gradients_reach_the_trained_weights_through_the_mask(tiny, tmp_path):
    """A kept weight's gradient is that of the mixed one times 1/(1 − p), a replaced one's is zero."""
    model, p = tiny(dropout=0.0), 0.5
    made = trainer(model, tmp_path, mixout=p)
    made.targets = {name: torch.randn_like(target) for name, target in made.targets.items()}
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    torch.manual_seed(5)
    keeps = {each: keep_mask(target, p) for each, target in sorted(made.targets.items())}
    stand_in = copy.deepcopy(model)
    with torch.no_grad():
        for each, keep in keeps.items():
            weight = stand_in.get_parameter(each)
            weight.copy_(mix(weight, made.targets[each], keep))
    F.cross_entropy(
        stand_in(**{k: v for k, v in batch().items() if k != "labels"}).logits, batch()["labels"]
    ).backward()
    torch.manual_seed(5)
    gradients = window_step(made, model, [batch()])
    assert_close(gradients[name], stand_in.get_parameter(name).grad * keeps[name], **CLOSE)
    assert (gradients[name] == 0).float().mean().item() == pytest.approx(p, abs=0.1)


# ---------------------------------------------------------------- AWP


def test_delta_is_gamma_times_the_norms(tiny):
    model = tiny()
    weights = perturbable(model)
    assert all(w.ndim > 1 for w in weights) and len(weights) == 3 + 2 * 6 + 2  # embeddings, blocks, pooler and head
    gradients = [torch.randn_like(w) for w in weights]
    before = [w.detach().clone() for w in weights]
    with perturbed(weights, gradients, perturbation_scales(weights, gradients, 0.01)):
        for w, g, start in zip(weights, gradients, before, strict=True):
            assert_close(w.detach() - start, 0.01 * start.norm() * g / g.norm(), rtol=1e-3, atol=1e-6)


def test_what_is_frozen_or_has_no_gradient_stays(tiny):
    model = tiny()
    model.bert.embeddings.requires_grad_(False)
    assert len(perturbable(model)) == 2 * 6 + 2
    w = nn.Parameter(torch.ones(2, 2))
    for nothing in (None, torch.zeros(2, 2)):
        with perturbed([w], [nothing], perturbation_scales([w], [nothing], 1.0)):
            assert torch.equal(w, torch.ones(2, 2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6), fails=st.booleans())
def test_every_bit_is_back(seed, scale, fails):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(3, 4, generator=generator) * 10.0**e for e in (-30, 0, 20)]
    weights[1][0, 0] = -0.0
    before = [w.clone() for w in weights]
    gradients = [torch.randn(3, 4, generator=generator) for _ in weights]
    try:
        with perturbed(weights, gradients, [scale] * 3):
            assert not torch.equal(weights[1], before[1])
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    for w, start in zip(weights, before, strict=True):
        assert torch.equal(w.view(torch.int32), start.view(torch.int32))


def test_the_step_takes_the_gradient_at_the_perturbed_weights(tiny, tmp_path):
    model, gamma = tiny(dropout=0.0), 0.05
    made = trainer(model, tmp_path, awp=gamma)
    before = state(model)
    gradients = window_step(made, model, [batch()])
    assert same_bits(before, state(model))
    twin = copy.deepcopy(model)
    inputs = {k: v for k, v in batch().items() if k != "labels"}
    weights = perturbable(twin)
    g = torch.autograd.grad(F.cross_entropy(twin(**inputs).logits, batch()["labels"]), weights)
    with torch.no_grad():
        for w, each in zip(weights, g, strict=True):
            w.add_(gamma * w.norm() * each / each.norm())
    twin.zero_grad()
    risen = F.cross_entropy(twin(**inputs).logits, batch()["labels"])
    risen.backward()
    assert risen > F.cross_entropy(model(**inputs).logits, batch()["labels"])
    for name, parameter in twin.named_parameters():
        assert_close(gradients[name], parameter.grad, **CLOSE)


def test_an_exception_inside_the_step_leaves_the_weights(tiny, tmp_path, monkeypatch):
    model = tiny()
    made = trainer(model, tmp_path, awp=0.1, mixout=0.5)
    before, order = state(model), [name for name, _ in model.named_parameters()]

    def fail(*_):
        assert not same_bits(before, state(model))  # it happens while they are perturbed
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(Trainer, "training_step", fail)
    with pytest.raises(RuntimeError, match="allocate"):
        window_step(made, model, [batch()])
    assert same_bits(before, state(model)) and [name for name, _ in model.named_parameters()] == order


def test_accumulated_gradients_are_not_touched_by_the_ascent(tiny, tmp_path):
    model = tiny()
    made = trainer(model, tmp_path, awp=0.05)
    made.get_batch_samples(iter([batch()]), 1, torch.device("cpu"))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    made.window_gradients(model, perturbable(model))
    assert all((p.grad == 7.0).all() for p in model.parameters())


@pytest.mark.parametrize(("awp", "mixout"), [(0.05, 0.0), (0.05, 0.5)])
def test_the_ascent_sees_the_dropout_of_the_step_and_draws_no_number(tiny, tmp_path, awp, mixout):
    model = tiny(dropout=0.3)
    made = trainer(model, tmp_path, awp=awp, mixout=mixout)
    plain = trainer(copy.deepcopy(model), tmp_path, mixout=mixout)
    torch.manual_seed(3)
    window_step(made, model, [batch(), batch(seed=1)])
    after = torch.get_rng_state()
    torch.manual_seed(3)
    accumulated = window_step(plain, plain.model, [batch(), batch(seed=1)])
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(3)
    ascent = made.window_gradients(model, perturbable(model))
    names = {id(p): name for name, p in model.named_parameters()}
    for weight, gradient in zip(perturbable(model), ascent, strict=True):
        assert_close(gradient, accumulated[names[id(weight)]], **CLOSE)


# ---------------------------------------------------------------- accumulation

SPLITS = {"even": [4, 4, 4], "uneven": [5, 1, 6], "one partial": [8, 4]}


@pytest.mark.parametrize("sizes", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("awp", [0.0, 0.05])
def test_accumulated_gradients_are_those_of_the_whole_batch(tiny, tmp_path, sizes, awp):
    model = tiny(dropout=0.0)
    whole = batch(12)
    expected = window_step(trainer(copy.deepcopy(model), tmp_path, awp=awp), model, [whole])
    found = window_step(trainer(model, tmp_path, awp=awp), model, parts_of(whole, sizes))
    assert found.keys() == expected.keys()
    for name in expected:
        assert_close(found[name], expected[name], **CLOSE)


def test_the_librarys_own_loss_is_off_by_the_number_of_micro_batches(tiny, tmp_path):
    """Why `window_loss` is there. If this fails, the library has changed, and it may go."""
    model, whole = tiny(dropout=0.0), batch(12)
    expected = window_step(trainer(model, tmp_path), model, [whole])
    found = window_step(trainer(model, tmp_path, kind=Trainer), model, parts_of(whole, [6, 6]))
    name = "classifier.weight"
    assert_close(found[name], 2 * expected[name], **CLOSE)


def test_a_partial_last_window_counts_its_own_sentences(tiny, tmp_path, folder):
    """Through the real loop: 10 sentences, batch 4 as 2 + 2: windows of 4, 4 and 2, one SGD epoch, no dropout."""
    tokenizer = load_tokenizer(str(folder / "model"), max_length=16)
    weights = {}
    for accumulation in (1, 2, 4):
        model = tiny(dropout=0.0, vocab=len(tokenizer))
        rows = [{**tokenizer(f"thing{n} " * (1 + n % 3)), "labels": n % 3} for n in range(10)]
        options = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "optim": "sgd"}
        arguments = TrainingArguments(
            str(tmp_path / str(accumulation)),
            per_device_train_batch_size=4 // accumulation,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=1,
            learning_rate=0.1,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            dataloader_pin_memory=False,
            **options,
        )
        made = RegularisedTrainer(
            awp=0.02,
            mixout=0.0,
            targets={},
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        assert made.train().global_step == 3
        weights[accumulation] = state(model)
    for accumulation in (2, 4):
        for name, tensor in weights[1].items():
            assert_close(weights[accumulation][name], tensor, rtol=1e-4, atol=1e-5)
