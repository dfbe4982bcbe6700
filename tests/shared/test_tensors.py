"""Weights go back into the model that they came from, or nowhere."""

import pytest
import torch
from torch import nn

from shared.errors import UserError
from shared.tensors import contiguous, load_trainable, trainable_state


def frozen_and_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def test_the_parameters_that_training_moves_come_back():
    model = frozen_and_not()
    saved = contiguous(trainable_state(model))
    assert list(saved) == ["1.weight", "1.bias"]
    before = model[0].weight.clone()
    nn.init.zeros_(model[1].weight)
    load_trainable(model, saved)
    assert torch.equal(model[1].weight, saved["1.weight"]) and torch.equal(model[0].weight, before)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda saved: saved.pop("1.bias"), "another model: 1.bias only on one side"),
        (lambda saved: saved.update({"2.bias": torch.zeros(2)}), "another model: 2.bias only on one side"),
        (lambda saved: saved.update({"1.bias": torch.zeros(5)}), r"1.bias has the shape \(5,\), not \(2,\)"),
    ],
)
def test_weights_of_another_model_change_nothing(change, wrong):
    model = frozen_and_not()
    saved = {name: torch.zeros_like(tensor) for name, tensor in trainable_state(model).items()}
    before = contiguous(trainable_state(model))
    change(saved)
    with pytest.raises(UserError, match=wrong):
        load_trainable(model, saved)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainable_state(model).items())
