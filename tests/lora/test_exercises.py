"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from projects.lora.models.lora import LoRALinear, inject_lora, scale_of
from projects.lora.utils.state_utils import save_lora_state
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import TEAMS, SheetTests
from shared.tensors import load_tensors

SHEET = sheet_of("lora")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 12, 64, 768, 0.5, "r", "alpha / r", "alpha / sqrt(r)", "2 * r * d", "r * (768 + 768)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


def test_parameters_against_an_injected_model():
    v, answer = values("parametros")
    d, m = v["d"], v["m"]
    block = nn.ModuleDict({n: nn.Linear(d, d) for n in "qkvo"} | {"up": nn.Linear(d, m), "down": nn.Linear(m, d)})
    inject_lora(block, [*"qkvo", "up", "down"], rank=v["r"], alpha=1.0)
    trained = sum(p.numel() for p in block.parameters() if p.requires_grad)
    assert answer.solve(v) == v["capas"] * trained


def test_budget_is_met_and_the_next_rank_breaks_it():
    for team in TEAMS:
        v, answer = values("presupuesto", team)
        one = NAMES["parametros"].answer.solve({**v, "r": 1})
        rank, most = answer.solve(v), v["tope"] / 100 * v["base"] * 1e6
        assert rank >= 1 and rank * one <= most + 1 and (rank + 1) * one > most


def test_scale_gradient_and_step_against_the_layer():
    v, answer = values("escala")
    assert scale_of(v["r2"], answer.solve(v), "alpha/sqrt(r)") == pytest.approx(
        scale_of(v["r1"], v["alpha"], "alpha/r")
    )
    v, answer = values("gradiente")
    layer = LoRALinear(nn.Linear(2, 1), 1, v["s"]).double()
    with torch.no_grad():
        layer.A.copy_(torch.tensor([[v["a1"]], [v["a2"]]]))
    x = torch.tensor([[v["x1"], v["x2"]]], dtype=torch.double)
    (v["g"] * layer(x)).sum().backward()
    assert layer.B.grad.item() == pytest.approx(answer.solve(v))
    v, answer = values("lora_plus")
    with torch.no_grad():
        layer.A.copy_(torch.tensor([[v["xa"]], [0.0]]))
    layer.scale, x = v["s"], torch.tensor([[1.0, 0.0]], dtype=torch.double)
    layer.zero_grad()
    before = layer(x)
    (v["g"] * before).sum().backward()
    with torch.no_grad():
        layer.A -= v["eta"] * layer.A.grad
        layer.B -= v["ratio"] * v["eta"] * layer.B.grad
    assert (layer(x) - before).item() == pytest.approx(answer.solve(v))


def test_rank_of_two_merged_updates():
    v, answer = values("rango")
    torch.manual_seed(0)
    delta = sum(
        torch.randn(v["d"], r, dtype=torch.double) @ torch.randn(r, v["k"], dtype=torch.double)
        for r in (min(v["r1"], v["d"], v["k"]), min(v["r2"], v["d"], v["k"]))
    )
    assert torch.linalg.matrix_rank(delta).item() == answer.solve(v)


def test_the_largest_change_that_bfloat16_swallows():
    v, answer = values("bfloat16")
    weight, change = v["w"] * 2.0 ** v["e"], 2.0 ** answer.solve(v)
    assert torch.tensor(weight + change, dtype=torch.double).to(torch.bfloat16).item() == weight
    assert torch.tensor(weight + change * 1.001, dtype=torch.double).to(torch.bfloat16).item() > weight


def test_tensors_in_a_saved_state(tmp_path):
    encoder = nn.ModuleList([nn.ModuleDict({f"t{i}": nn.Linear(4, 4) for i in range(3)}) for _ in range(5)])
    inject_lora(encoder, [f"t{i}" for i in range(3)], rank=1, alpha=1.0)
    save_lora_state(nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, 2)}), tmp_path / "state")
    answer = NAMES["estado"].answer.solve({"bloques": 5, "objetivos": 3})
    assert len(load_tensors(tmp_path / "state" / "adapter.safetensors")) == answer


def test_zeros_after_pruning_merging_and_half_a_mask():
    v, answer = values("poda")
    torch.manual_seed(0)
    n = 400_000
    weight = torch.randn(n)
    weight[weight.abs().argsort()[: round(n * v["p"] / 100)]] = 0
    kept = weight != 0
    reached = torch.rand(n) < v["q"] / 100
    merged = weight + reached * torch.randn(n)
    masked = reached & (torch.rand(n) < 0.5)
    merged[masked & ~kept] = 0
    assert (merged == 0).float().mean().item() * v["n"] == pytest.approx(answer.solve(v), rel=0.01)
    assert math.isfinite(answer.solve(v)) and Path(SHEET.folder).name == "lora"
