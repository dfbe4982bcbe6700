"""Pruning and int8: what becomes of the zeros, and what quantisation really swaps."""

import copy

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear as Int8Linear
from torch.testing import assert_close

from projects.lora.models.lora import fold_lora, lora_layers
from projects.lora.scripts.pruning_quant import (
    PruneConfig,
    apply_masks,
    dense_layers,
    int8,
    pruned,
    size_of,
    tensors_of,
    variants_of,
)
from shared.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")


def zeros(model):
    weights = [layer.weight for _, layer in dense_layers(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.9])
def test_pruning_removes_the_smallest_weights_over_all_layers(plain, level):
    sparse, masks = pruned(plain, level)
    assert zeros(sparse) == pytest.approx(level, abs=1e-3)
    magnitudes = torch.cat([layer.weight.abs().flatten() for _, layer in dense_layers(plain)])
    kept = torch.cat([masks[name].flatten() for name, _ in dense_layers(plain)]).bool()
    assert level == 0 or magnitudes[~kept].max() <= magnitudes[kept].min()
    assert not any(name.endswith(("_orig", "_mask")) for name in sparse.state_dict())  # prune.remove was called
    assert zeros(plain) == 0.0


def test_merging_destroys_the_zeros_and_the_mask_restores_them(tuned):
    sparse, masks = pruned(tuned, 0.5)
    merged = copy.deepcopy(sparse)
    fold_lora(merged)
    assert zeros(merged) < 0.01
    apply_masks(merged, masks)
    assert zeros(merged) == pytest.approx(0.5, abs=1e-3)


def test_pruning_before_and_after_merging_differ_and_leave_the_model_alone(tuned, batch):
    before = tuned(**batch)
    variants = {variant.name: variant.model for variant in variants_of(tuned, (0.5,))}
    assert list(variants) == [
        "prune",
        "prune, merge",
        "prune, merge, mask again",
        "merge, prune",
        "prune, int8",
        "merge, prune, int8",
    ]
    assert torch.equal(tuned(**batch), before)
    assert_close(variants["prune"](**batch), variants["prune, merge"](**batch), rtol=0.0, atol=1e-5)
    assert not torch.equal(variants["prune"](**batch), variants["merge, prune"](**batch))


def test_int8_swaps_every_plain_linear_layer_and_the_base_of_lora_layers(plain, tuned, batch):
    quantised = int8(plain)
    linear = sum(type(m) is nn.Linear for m in plain.modules())
    assert sum(isinstance(m, Int8Linear) for m in quantised.modules()) == linear
    apart = int8(tuned)
    assert all(isinstance(layer.base, Int8Linear) for _, layer in lora_layers(apart))
    # Each weight is off by at most half a step of its layer's scale; through two blocks of width 16 that stays small.
    assert_close(apart(**batch), tuned(**batch), rtol=0.0, atol=0.1)


def test_the_file_of_an_int8_model_holds_bytes(plain):
    tensors = tensors_of(int8(plain))
    weights = {name: t for name, t in tensors.items() if t.dtype is torch.int8}
    assert sum(t.numel() for t in weights.values()) == sum(
        m.weight.numel() for m in plain.modules() if type(m) is nn.Linear
    )
    name = next(iter(weights))
    original = plain.state_dict()[name]
    scale, zero = tensors[name.replace("weight", "scale")], tensors[name.replace("weight", "zero_point")]
    restored = (weights[name].float() - zero) * scale
    assert (restored - original).abs().max() <= scale  # rounding, and the saturation of the largest value
    assert size_of(int8(plain))["file_mb"] < size_of(plain)["file_mb"]


def test_levels_outside_the_range_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"shares in \[0, 1\) are expected"):
        PruneConfig(run=tmp_path, levels=(1.0,))
