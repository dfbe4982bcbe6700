"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import get_linear_schedule_with_warmup

from projects.hf_finetune.evaluation.metrics import calibration
from projects.hf_finetune.training.awp import perturbation_scales, perturbed
from projects.hf_finetune.training.mixout import keep_mask, mix
from projects.hf_finetune.training.sampler import LengthGroupedSampler
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import TEAMS, SheetTests

SHEET = sheet_of("hf_finetune")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 16, "t", "eta * t", "t / 10")


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


# The references against the code: an exercise whose solution is wrong teaches nothing.


def test_mixing_and_its_variance_against_a_million_draws():
    v, answer = values("mezcla")
    w = torch.full((1000, 1000), v["w"], dtype=torch.double, requires_grad=True)
    u, keep = torch.full_like(w, v["u"]).detach(), keep_mask(w.detach(), v["p"])
    mixed = mix(w, u, keep)
    assert mixed[keep > 0][0].item() == pytest.approx(answer.solve(v), rel=1e-3)
    v, answer = values("varianza")
    w = torch.full((1000, 1000), v["w"], dtype=torch.double)
    mixed = mix(w, torch.full_like(w, v["u"]), keep_mask(w, v["p"]))
    assert mixed.var().item() == pytest.approx(answer.solve(v), rel=0.02)


def test_the_forgotten_factor_against_our_gradient():
    v, answer = values("paso_olvidado")
    w = torch.zeros(1000, 1000, dtype=torch.double, requires_grad=True)
    mix(w, torch.ones_like(w), keep_mask(w, v["p"])).sum().backward()
    ours = -v["eta"] * v["g"] * w.grad.mean().item()
    assert ours == pytest.approx(-v["eta"] * v["g"], rel=0.01)
    assert ours * (1 - v["p"]) == pytest.approx(answer.solve(v), rel=0.01)


def test_the_perturbation_and_the_rise_against_perturbed():
    v, answer = values("delta")
    w, g = torch.tensor([[v["w1"], v["w2"]]]).double(), torch.tensor([[v["g1"], v["g2"]]]).double()
    start = w.clone()
    with perturbed([w], [g], perturbation_scales([w], [g], v["gamma"])):
        assert (w - start)[0, 0].item() == pytest.approx(answer.solve(v))
    v, answer = values("subida")
    w, g = torch.tensor([[v["w1"], v["w2"]]]).double(), torch.tensor([[v["g1"], v["g2"]]]).double()
    start = w.clone()
    with perturbed([w], [g], perturbation_scales([w], [g], v["gamma"])):
        assert ((w - start) * g).sum().item() == pytest.approx(answer.solve(v))


def test_a_touched_row_of_an_embedding():
    v, answer = values("embeddings")
    table = torch.ones(v["filas"], 2, dtype=torch.double)
    g = torch.zeros_like(table)
    g[: v["vistas"]] = torch.tensor([3.0, -4.0])
    with perturbed([table], [g], perturbation_scales([table], [g], v["gamma"])):
        moved = (table[0] - 1).norm() / torch.ones(2).norm()
    assert moved.item() == pytest.approx(answer.solve(v), rel=1e-6)


def test_sentences_left_against_the_order_of_training():
    for team in TEAMS[:10]:
        v, answer = values("reanudar", team)
        order = list(LengthGroupedSampler([1] * v["n"], batch=v["b"], seed=0))
        steps = [order[i : i + v["b"]] for i in range(0, v["n"], v["b"])]
        assert answer.solve(v) == sum(map(len, steps[v["c"] % len(steps) :]))


def test_the_plan_against_the_librarys_schedule():
    v, answer = values("plan")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=v["eta"])
    schedule = get_linear_schedule_with_warmup(optimizer, v["subida"], v["total"])
    for t in range(v["total"]):
        assert schedule.get_last_lr()[0] == pytest.approx(answer.solve(v, {"t": t}))
        optimizer.step()
        schedule.step()


def test_calibration_and_f1_against_the_metrics():
    v, answer = values("calibracion")
    sure = np.concatenate([np.full(1000 * v["n1"], v["c1"]), np.full(1000 * v["n2"], v["c2"])])
    right = np.concatenate([np.arange(1000 * v[f"n{i}"]) < round(1000 * v[f"n{i}"] * v[f"a{i}"]) for i in (1, 2)])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    assert calibration(probabilities, np.where(right, 0, 1)).ece == pytest.approx(answer.solve(v), rel=1e-3)
    v, answer = values("macro_f1")
    gold = [0] * (v["aa"] + v["ab"]) + [1] * (v["ba"] + v["bb"])
    said = [0] * v["aa"] + [1] * v["ab"] + [0] * v["ba"] + [1] * v["bb"]
    assert f1_score(gold, said, average="macro") == pytest.approx(answer.solve(v))


def test_window_means():
    v, answer = values("ventana")
    losses = torch.cat([torch.full((v[f"n{i}"],), v[f"l{i}"]) for i in (1, 2, 3)])
    assert losses.mean().item() == pytest.approx(answer.solve(v), rel=1e-4)
    v, answer = values("media_de_medias")
    losses = [torch.full((v[f"n{i}"],), v[f"l{i}"], dtype=torch.double) for i in (1, 2, 3)]
    assert sum(each.mean().item() for each in losses) / 3 - torch.cat(losses).mean().item() == pytest.approx(
        answer.solve(v)
    )
