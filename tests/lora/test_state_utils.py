"""Weights on disk: equal scores after a reload, and a refusal for everything that does not belong."""

import json

import pytest
import torch
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel

from projects.lora.models.lora import inject_lora, lora_layers, merge_lora
from projects.lora.utils.state_utils import load_lora_state, save_lora_state
from shared.errors import UserError


@pytest.fixture
def saved(tuned, tmp_path):
    save_lora_state(tuned, tmp_path / "adapter")
    return tmp_path / "adapter"


def fresh(tiny, lora, **options):
    """A model with the same base and other LoRA weights and head."""
    model = lora(tiny(), **options)
    torch.nn.init.normal_(model.head.weight)
    return model


def test_apart_and_loaded_the_scores_are_equal(tuned, saved, batch, tiny, lora):
    again = fresh(tiny, lora)
    assert not torch.equal(again(**batch), tuned(**batch))
    load_lora_state(again, saved)
    assert torch.equal(again(**batch), tuned(**batch))
    assert not any(layer.merged for _, layer in lora_layers(again))


def test_apart_and_loaded_merged(tuned, saved, batch, tiny, lora):
    again = fresh(tiny, lora)
    load_lora_state(again, saved, merge_weights=True)
    assert all(layer.merged for _, layer in lora_layers(again))
    assert_close(again(**batch), tuned(**batch), rtol=0.0, atol=1e-5)


def test_merged_and_loaded_into_a_plain_model(tuned, tmp_path, batch, tiny):
    before = {name: p.detach().clone() for name, p in tuned.state_dict().items()}
    save_lora_state(tuned, tmp_path / "merged", merge_weights=True)
    assert all(torch.equal(p, before[name]) for name, p in tuned.state_dict().items())
    plain = tiny(seed=1)
    load_lora_state(plain, tmp_path / "merged", merge_weights=True)
    assert_close(plain(**batch), tuned(**batch), rtol=0.0, atol=1e-5)


def test_a_merged_model_saves_the_same_two_states(tuned, saved, tmp_path, tiny, lora):
    """Whether the model in memory is merged does not change what is written."""
    save_lora_state(tuned, tmp_path / "a", merge_weights=True)
    merge_lora(tuned)
    save_lora_state(tuned, tmp_path / "b", merge_weights=True)
    save_lora_state(tuned, tmp_path / "c")
    assert (tmp_path / "a/adapter.safetensors").read_bytes() == (tmp_path / "b/adapter.safetensors").read_bytes()
    assert (tmp_path / "c/adapter.json").read_text() == (saved / "adapter.json").read_text()


def test_what_is_saved_does_not_depend_on_requires_grad(tuned, saved, tmp_path, tiny, lora, batch):
    """By layer: a model made ready for inference holds the same adapter and the same head."""
    tuned.requires_grad_(False)
    save_lora_state(tuned, tmp_path / "still")
    for name in ("adapter.safetensors", "adapter.json"):
        assert (tmp_path / "still" / name).read_bytes() == (saved / name).read_bytes()
    again = fresh(tiny, lora).requires_grad_(False)
    load_lora_state(again, saved)
    assert torch.equal(again(**batch), tuned(**batch))


@pytest.mark.parametrize("merge_weights", [False, True])
def test_a_merged_model_answers_with_what_was_loaded(tuned, saved, batch, tiny, lora, merge_weights):
    again = fresh(tiny, lora)
    merge_lora(again)
    load_lora_state(again, saved, merge_weights)
    assert all(layer.merged == merge_weights for _, layer in lora_layers(again))
    assert_close(again(**batch), tuned(**batch), rtol=0.0, atol=1e-5)


def test_a_refused_state_leaves_a_merged_model_merged(saved, tiny, lora):
    again = lora(tiny(), alpha=8.0)
    merge_lora(again)
    assert_refused(again, saved, "was saved with alpha")
    assert all(layer.merged for _, layer in lora_layers(again))


def two_injections(tiny, alpha):
    model = tiny()
    inject_lora(model.encoder, ["query"], rank=2, alpha=4.0)
    inject_lora(model.encoder, ["value"], rank=3, alpha=alpha)
    for _, layer in lora_layers(model):
        torch.nn.init.normal_(layer.B)
    return model


def test_rank_and_alpha_are_kept_layer_by_layer(tiny, tmp_path, batch):
    model = two_injections(tiny, alpha=12.0)
    save_lora_state(model, tmp_path / "two")
    described = json.loads((tmp_path / "two/adapter.json").read_text())
    assert described["alpha"] == [4.0, 12.0] * 2 and described["rank"] == [2, 3] * 2
    again = two_injections(tiny, alpha=12.0)
    load_lora_state(again, tmp_path / "two")
    assert torch.equal(again(**batch), model(**batch))
    other = two_injections(tiny, alpha=6.0)
    assert_refused(other, tmp_path / "two", r"was saved with alpha 12\.0, the model has 6\.0 \(.*value\)")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_base_in_another_type_is_told_from_another_base(saved, tiny, lora, dtype, tuned, batch):
    name = str(dtype).removeprefix("torch.")
    assert_refused(lora(tiny()).to(dtype), saved, f"was trained on a base in float32, the model's is in {name}: load")
    again = fresh(tiny, lora)  # as the message says
    load_lora_state(again, saved)
    assert_close(again.to(dtype)(**batch), tuned.to(dtype)(**batch), rtol=0.0, atol=0.0)


def test_a_merged_state_that_does_not_fit_a_tie_is_refused(tmp_path):
    size = {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**size))
    inject_lora(model, ["lm_head"], rank=2, alpha=4.0)
    torch.nn.init.normal_(model.lm_head.B)
    save_lora_state(model, tmp_path / "merged", merge_weights=True)
    message = r"transformer\.wte\.weight differ, and are one tied weight in it"
    assert_refused(GPT2LMHeadModel(GPT2Config(**size)), tmp_path / "merged", message, merge_weights=True)
    untied = GPT2LMHeadModel(GPT2Config(**size, tie_word_embeddings=False))
    load_lora_state(untied, tmp_path / "merged", merge_weights=True)
    ids = torch.randint(0, 40, (2, 6))
    assert_close(untied.eval()(ids).logits, model.eval()(ids).logits, rtol=0.0, atol=1e-5)


def test_a_state_with_a_nan_is_no_torn_tie(tuned, tmp_path, tiny, lora):
    torch.nn.init.constant_(tuned.head.bias, torch.nan)
    save_lora_state(tuned, tmp_path / "diverged")
    again = fresh(tiny, lora)
    load_lora_state(again, tmp_path / "diverged")
    assert again.head.bias.isnan().all()


def test_a_merged_state_that_overflows_is_not_written(tiny, lora, tmp_path):
    model = lora(tiny()).half()
    name, layer = next(iter(lora_layers(model)))
    torch.nn.init.constant_(layer.A, 300.0)
    torch.nn.init.constant_(layer.B, 300.0)
    with pytest.raises(UserError, match=rf"{name}: .* not finite in torch\.float16"):
        save_lora_state(model, tmp_path / "merged", merge_weights=True)
    assert not list(tmp_path.iterdir())


def test_apart_is_small_and_holds_the_head(saved):
    described = json.loads((saved / "adapter.json").read_text())
    assert described["rank"] == 2 and described["alpha"] == 4.0 and len(described["targets"]) == 12
    from safetensors import safe_open

    with safe_open(saved / "adapter.safetensors", "pt") as file:
        names = set(file.keys())
    assert {"head.weight", "head.bias"} < names and len(names) == 2 + 2 * 12


def assert_refused(model, path, message, merge_weights=False):
    before = {name: p.detach().clone() for name, p in model.state_dict().items()}
    with pytest.raises(UserError, match=message) as refusal:
        load_lora_state(model, path, merge_weights)
    assert "\n" not in str(refusal.value)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items()), "partly loaded"


def test_another_rank_scale_target_base_or_head_is_refused(saved, tiny, lora):
    assert_refused(lora(tiny(), rank=3), saved, "was saved with rank 2, the model has 3")
    assert_refused(lora(tiny(), alpha=8.0), saved, r"was saved with alpha 4\.0, the model has 8\.0")
    assert_refused(lora(tiny(), targets=("query",)), saved, "was saved with targets 12 layers")
    assert_refused(lora(tiny(seed=1)), saved, "was trained on another base model")
    assert_refused(lora(tiny(classes=5)), saved, r"head\.bias is \(3,\) saved, \(5,\) in the model")
    assert_refused(tiny(), saved, "the model has no LoRA layer")


def test_a_merged_state_is_refused_where_it_cannot_go(tuned, tmp_path, tiny, lora):
    save_lora_state(tuned, tmp_path / "merged", merge_weights=True)
    assert_refused(tiny(), tmp_path / "merged", "cannot be taken apart")
    assert_refused(lora(tiny()), tmp_path / "merged", "does not fit the model", merge_weights=True)


def test_cut_edited_and_missing_files_are_refused(saved, tuned):
    tensors, description = saved / "adapter.safetensors", saved / "adapter.json"
    whole, told = tensors.read_bytes(), description.read_text()
    tensors.write_bytes(whole[:-8])
    assert_refused(tuned, saved, "is cut or edited")
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert_refused(tuned, saved, "is cut or edited")
    tensors.write_bytes(whole)
    description.write_text(told[:40])
    assert_refused(tuned, saved, "cannot be read as JSON")
    description.write_text("{}")
    assert_refused(tuned, saved, "does not describe a LoRA state")
    description.unlink()
    assert_refused(tuned, saved, "is not there")
    description.write_text(told)
    tensors.unlink()
    assert_refused(tuned, saved, "cannot read")


def test_saving_does_not_overwrite_and_leaves_nothing_half_written(tuned, saved, tmp_path, plain):
    with pytest.raises(UserError, match="is not overwritten"):
        save_lora_state(tuned, saved)
    with pytest.raises(UserError, match="no LoRA layer"):
        save_lora_state(plain, tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save_lora_state(tuned, tmp_path / "file" / "below")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "file"]
