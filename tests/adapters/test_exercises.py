"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import pytest
import torch
from safetensors.torch import load_file

from projects.adapters.arms import build_model
from projects.adapters.config import Config
from projects.adapters.data import IGNORE_INDEX, Texts
from projects.adapters.evaluate import score_tags
from projects.adapters.hooks.forward_hooks import adapters_of, register_adapters
from projects.adapters.models.adapter import AdapterBottleneck
from projects.adapters.state import save_adapters
from shared.course.exercises import sheet_of
from shared.course.exercises.expressions import evaluate
from shared.course.exercises.testing import TEAMS, SheetTests

SHEET = sheet_of("adapters")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 12, 64, 384, 0.5, "m", "2 * d * m", "4 * 384 * m", "b * max(0, a * h)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


def test_parameters_and_tensors_against_a_model(small, tmp_path):
    """Two adapters a block in a small encoder, with the exercise's numbers of blocks and sizes put in."""
    encoder = small(num_layers=3)
    config = Config(bottleneck=5)
    model = build_model(config, encoder, 2, tagging=False)
    adapters = sum(p.numel() for _, a in adapters_of(encoder) for p in a.parameters())
    assert NAMES["parametros"].answer.solve({"capas": 3, "d": 16, "m": 5}) == adapters
    save_adapters(model, tmp_path / "s", config, classes=["a", "b"], tagging=False)
    saved = load_file(tmp_path / "s" / "adapter.safetensors")
    assert NAMES["estado"].answer.solve({"capas": 3, "por": 2}) == len(saved)


def test_the_budget_is_met_and_the_next_width_breaks_it():
    for team in TEAMS:
        v, answer = values("presupuesto", team)
        m, most = answer.solve(v), v["tope"] / 100 * v["base"] * 1e6
        cost = [NAMES["parametros"].answer.solve({**v, "m": each}) for each in (m, m + 1)]
        assert m >= 1 and cost[0] <= most < cost[1]


def test_initial_deviations_against_drawn_adapters():
    v, answer = values("he_xavier")
    he, xavier = (AdapterBottleneck(v["d"], v["m"], init=init).down.weight.std().item() for init in ("he", "xavier"))
    assert xavier / he == pytest.approx(answer.solve(v), rel=0.02)
    v, answer = values("desviacion")
    drawn = []
    for _ in range(20):
        adapter = AdapterBottleneck(v["d"], v["m"], init="xavier")
        x = v["v"] ** 0.5 * torch.randn(400, v["d"])
        drawn.append((v["s"] * adapter.update(x)).square().mean().item())
    assert sum(drawn) / 20 == pytest.approx(answer.solve(v), rel=0.03)


def test_gradients_against_an_adapter():
    def adapter_with(v, down):
        adapter = AdapterBottleneck(2, 1, scale=v["s"]).double()
        with torch.no_grad():
            adapter.down.weight.copy_(torch.tensor([down]))
        return adapter

    v, answer = values("gradiente_u")
    adapter = adapter_with(v, [v["d1"], v["d2"]])
    x = torch.tensor([[v["x1"], v["x2"]]], dtype=torch.double)
    (v["g"] * v["s"] * adapter.update(x)[0, 0]).backward()
    assert adapter.up.weight.grad[0, 0].item() == pytest.approx(answer.solve(v))
    assert not adapter.down.weight.grad.any()
    v, answer = values("segundo_paso")
    adapter = adapter_with(v, [v["r"] / v["x1"], 0.0])
    x = torch.tensor([[v["x1"], 0.0]], dtype=torch.double)
    (v["g"] * v["s"] * adapter.update(x)[0, 0]).backward()
    with torch.no_grad():
        adapter.up.weight -= v["eta"] * adapter.up.weight.grad
    adapter.zero_grad()
    (v["g"] * v["s"] * adapter.update(x)[0, 0]).backward()
    assert adapter.down.weight.grad[0, 0].item() == pytest.approx(answer.solve(v))


def test_the_rule_against_hooks():
    """One unit wide: the reference is what an adapter of that scale and kind adds."""
    v, answer = values("regla")
    for case in answer.cases(v):
        parallel = case["bloque"] > v["corte"]
        adapter = AdapterBottleneck(1, 1, scale=v["s"] if parallel else 1.0)
        with torch.no_grad():
            adapter.down.weight.fill_(case["a"])
            adapter.up.weight.fill_(case["b"])
        read = torch.tensor([case["x"] if parallel else case["h"]])
        assert (adapter.scale * adapter.update(read)).item() == pytest.approx(answer.solve(v, case), rel=1e-5)
    assert evaluate(SHEET.answers("demo")["regla"], {"bloque": 1, "h": 2.0, "x": 9.0, "a": 1.0, "b": 3.0}) == 6.0


def test_strict_f1_against_seqeval():
    v, answer = values("f1_estricto")
    gold, predicted = [], []
    rest = v["p"] - v["c"] - v["b"]
    for kind, count in (("right", v["c"]), ("kind", v["b"]), ("end", rest), ("none", v["n"] - v["c"] - v["b"] - rest)):
        said = {"right": ["B-A", "I-A"], "kind": ["B-B", "I-B"], "end": ["B-A", "O"], "none": ["O", "O"]}[kind]
        gold += [["B-A", "I-A"]] * max(0, count)
        predicted += [said] * max(0, count)
    short = v["n"] - len(gold)
    if short < 0:  # more predictions than entities: the surplus meets none
        gold[short:] = [["O", "O"]] * -short
    assert score_tags(gold, predicted).entity_f1 == pytest.approx(answer.solve(v))


def test_ignored_positions_against_a_batch():
    words, pieces = [3, 5], [4, 9]
    rows = []
    for w, k in zip(words, pieces, strict=True):
        rows.append([IGNORE_INDEX, *([1] * w), *([IGNORE_INDEX] * (k - w)), IGNORE_INDEX])
    batch = Texts([""] * 2, [[1] * len(row) for row in rows], rows, pad_id=0).batch([0, 1])
    t = batch.labels.shape[1]
    found = int((batch.labels == IGNORE_INDEX).sum())
    assert NAMES["ignoradas"].answer.solve({"b": 2, "t": t, "n": sum(words), "k": sum(pieces)}) == found


def test_cost_against_counted_products(small):
    encoder = small(num_layers=2)
    register_adapters(encoder, ["attention", "feed_forward"], lambda _: AdapterBottleneck(16, 3))
    counted = sum(p.numel() for _, a in adapters_of(encoder) for p in (a.down.weight, a.up.weight))
    assert NAMES["coste"].answer.solve({"t": 7, "capas": 2, "d": 16}, {"m": 3}) == 7 * counted


def test_the_last_step_that_is_not_late():
    for team in TEAMS:
        v, answer = values("pasos", team)
        steps = answer.solve(v)
        assert steps * v["razon"] <= v["n"] * (1 + 1e-9) < (steps + 1) * v["razon"]
