"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import pytest
import torch

from projects.rlhf_ppo.models.policy import join
from projects.rlhf_ppo.models.reward_model import bradley_terry
from projects.rlhf_ppo.rl import ppo
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import TEAMS, SheetTests

SHEET = sheet_of("rlhf_ppo")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 6, "lp", "lq - lp", "0.1 * (lq - lp)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


def one(*numbers):
    return torch.tensor([numbers], dtype=torch.float64)


def test_comparisons_against_the_loss():
    v, answer = values("gradiente_bt")
    chosen = torch.tensor([v["ra"]], requires_grad=True)
    bradley_terry(chosen, torch.tensor([v["rb"]])).backward()
    assert answer.solve(v) == pytest.approx(chosen.grad.item(), rel=1e-5)


def test_advantages_and_returns_against_gae():
    v, answer = values("ventaja")
    mask = torch.ones(1, 3, dtype=torch.bool)
    advantages, _ = ppo.gae(one(0, 0, v["r"]), one(v["v1"], v["v2"], v["v3"]), mask, gamma=1.0, lam=v["lam"])
    assert answer.solve(v) == pytest.approx(advantages[0, 0].item())
    v, answer = values("retorno")
    _, returns = ppo.gae(one(v["r1"], 0, 1), one(v["v1"], v["v2"], 9), mask, gamma=v["gamma"], lam=0.0)
    assert answer.solve(v) == pytest.approx(returns[0, 0].item())


@pytest.mark.parametrize("team", TEAMS[:12])
def test_clipping_against_the_losses(team):
    mask = torch.ones(1, 1, dtype=torch.bool)
    v, answer = values("recorte", team)
    loss, _ = ppo.policy_loss(one(v["nuevo"]), one(v["viejo"]), one(v["a"]), mask, v["eps"])
    assert answer.solve(v) == pytest.approx(loss.item())
    v, answer = values("gradiente_recorte", team)
    total = 0.0
    for n in "12":
        now = one(v[f"nuevo{n}"]).requires_grad_()
        ppo.policy_loss(now, one(v[f"viejo{n}"]), one(v[f"a{n}"]), mask, v["eps"])[0].backward()
        total += now.grad.item()
    assert answer.solve(v) == pytest.approx(total)
    v, answer = values("valor", team)
    error = ppo.value_loss(one(v["nuevo"]), one(v["viejo"]), one(v["r"]), mask, v["c"])
    assert answer.solve(v) == pytest.approx(error.item())


def test_divergences_against_the_estimator_and_torch():
    v, answer = values("k3")
    assert answer.solve(v) == pytest.approx(ppo.k3(one(v["lp"]), one(v["lq"])).item())
    v, answer = values("kl")
    p, q = (torch.tensor([v[f"{n}1"], v[f"{n}2"], 1 - v[f"{n}1"] - v[f"{n}2"]], dtype=torch.float64) for n in "pq")
    assert answer.solve(v) == pytest.approx(torch.nn.functional.kl_div(q.log(), p, reduction="sum").item())


def test_beta_against_the_controller():
    v, answer = values("beta")
    control = ppo.KLControl(beta=v["beta"], target=6.0, horizon=v["h"])
    for _ in range(v["k"]):
        control.update(15.0, v["n"])
    assert answer.solve(v) == pytest.approx(control.beta)


def test_the_lost_tokens_against_both_masks():
    v, answer = values("mascara")
    responses = torch.full((v["n"], v["t"]), 7)
    responses[: v["m"], v["l"] - 1 :] = 0
    made = join(torch.ones(v["n"], 1, dtype=torch.long), torch.ones(v["n"], 1, dtype=torch.long), responses, (0,))
    lost = made.response_mask & (responses == 0)
    assert answer.solve(v) == pytest.approx(lost.sum().item() / made.response_mask.sum().item())
