"""Steps, groups and schedules against what the textbook update would do."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from shared import optim
from shared.errors import UserError


def two_copies():
    model = nn.Linear(3, 2)
    other = nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    return model, other


def loss_sum(model, x, y):
    return (model(x) - y).square().sum()


def test_unequal_micro_batches_equal_the_whole_batch():
    whole, pieces = two_copies()
    x, y = torch.randn(7, 3), torch.randn(7, 2)
    optim.step(torch.optim.SGD(whole.parameters(), lr=0.1), loss_sum(whole, x, y) / 7, max_norm=0.5)
    parts = ((loss_sum(pieces, x[i:j], y[i:j]), j - i) for i, j in ((0, 1), (1, 5), (5, 7)))
    optim.accumulated_step(torch.optim.SGD(pieces.parameters(), lr=0.1), parts, total=7, max_norm=0.5)
    for mine, theirs in zip(pieces.parameters(), whole.parameters(), strict=True):
        assert_close(mine, theirs, rtol=1e-6, atol=1e-7)


def test_labels_that_do_not_add_up_are_refused_and_leave_no_gradient():
    model, _ = two_copies()
    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match="hold 2 labels, not 3"):
        optim.accumulated_step(
            torch.optim.SGD(model.parameters(), lr=0.1), [(loss_sum(model, torch.ones(2, 3), 0), 2)], total=3
        )
    assert model.weight.grad is None and torch.equal(model.weight, before)


def test_step_returns_the_norm_before_clipping_and_clips():
    model, _ = two_copies()
    before = [p.detach().clone() for p in model.parameters()]
    norm = optim.step(
        torch.optim.SGD(model.parameters(), lr=1.0), 100 * model(torch.ones(1, 3)).square().sum(), max_norm=0.25
    )
    moved = torch.cat([(p - b).flatten() for p, b in zip(model.parameters(), before, strict=True)]).norm()
    assert norm > 0.25
    assert_close(moved.item(), 0.25, rtol=1e-5, atol=0.0)


def test_each_trainable_parameter_is_in_exactly_one_group():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[1].weight.requires_grad_(False)
    rates = {"last": (lambda name: name.startswith("2."), 0.5), "rest": (lambda name: True, 0.1)}
    groups = optim.parameter_groups(model, rates, weight_decay=0.01)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    for group in groups:
        assert group["weight_decay"] == (0.01 if group["params"][0].ndim >= 2 else 0.0)
        assert group["lr"] == (0.5 if group["name"] == "last" else 0.1)


def test_a_parameter_without_a_rate_is_an_error():
    with pytest.raises(UserError, match=r"no learning rate covers the parameter 0\.weight"):
        optim.parameter_groups(nn.Sequential(nn.Linear(1, 1)), {"head": (lambda name: name.startswith("head"), 1.0)})


def test_the_schedule_rises_then_falls_to_zero():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = optim.linear_schedule(optimizer, total=10, warmup=0.2)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert_close(rates, [1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25])


def test_shared_parameters_are_counted_once():
    model = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
    model[1].weight = model[0].weight
    assert optim.count_parameters(model) == (9, 9)
