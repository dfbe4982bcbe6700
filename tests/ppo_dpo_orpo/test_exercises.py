"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import pytest
import torch

from projects.ppo_dpo_orpo import losses
from projects.ppo_dpo_orpo.evaluate import holm
from projects.ppo_dpo_orpo.policies import Bottleneck
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("ppo_dpo_orpo")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 10)


def solved(name, team="equipo-3"):
    values = NAMES[name].values(team)
    return values, NAMES[name].answer.solve(values)


def one(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_dpo_and_ipo_against_the_losses():
    v, found = solved("margen")
    assert found == pytest.approx(losses.dpo_margin(one(-v["w"]), one(-v["l"]), one(-v["rw"]), one(-v["rl"])).item())
    v, found = solved("dpo")
    assert found == pytest.approx(losses.dpo_loss(one(v["h"]), beta=v["beta"]).item())
    v, found = solved("ipo")
    assert found == pytest.approx(losses.ipo_loss(one(v["h"]), beta=v["beta"]).item())
    v, found = solved("gradiente_dpo")
    h = one(v["h"]).requires_grad_()
    losses.dpo_loss(h, beta=v["beta"]).sum().backward()
    assert found == pytest.approx(h.grad.item())


def test_the_conservative_loss_is_smallest_there():
    v, found = solved("conservadora")
    around = [losses.dpo_loss(one(found + move), beta=v["beta"], wrong=v["eps"]).item() for move in (-0.1, 0, 0.1)]
    assert around[1] == min(around)


def test_orpo_against_the_losses():
    v, found = solved("odds")
    assert found == pytest.approx(losses.log_odds(one(-v["menos"])).item())
    v, found = solved("orpo")
    assert found == pytest.approx(losses.orpo_ratio_loss(one(-v["mw"]), one(-v["ml"])).item())


def test_sizes_against_the_modules():
    v, found = solved("adaptador")
    own = sum(p.numel() for p in Bottleneck(int(v["d"]), int(v["m"])).parameters())
    assert found == v["n"] * own
    v, found = solved("holm")
    assert found == pytest.approx(holm([v["p"], *[0.9] * (int(v["m"]) - 1)])[0])
