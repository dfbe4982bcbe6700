"""Every arm of the bench takes the same step: from one start, over one batch, the gradients have one norm."""

from dataclasses import replace

import pytest

from projects.ppo_dpo_orpo.benchmark import ARMS, policy_of, stepper
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.prepare import prepare
from shared.optim import count_parameters

pytest.importorskip("trl")


@pytest.fixture
def smoke(model_folder, dataset):
    return replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, batch_size=4)


def test_arms_agree_where_they_should(smoke, judges, tmp_path):
    prepared = prepare(smoke, judges)
    norms = {}
    for arm in ARMS:
        step = stepper(arm, smoke, policy_of(arm, smoke), prepared, tmp_path / arm)
        norms[arm] = [step() for _ in range(3)]
    assert norms["without kept states"] == pytest.approx(norms["ours"], rel=1e-3)
    assert norms["TRL"][0] == pytest.approx(norms["ours"][0], rel=1e-3), "later its rate is still rising"
    assert norms["TRL, reference kept"] == pytest.approx(norms["TRL"], rel=1e-3)
    assert all(norm > 0 for found in norms.values() for norm in found)


def test_what_each_arm_trains(smoke):
    trained = {arm: count_parameters(policy_of(arm, smoke))[0] for arm in ARMS}
    assert trained["ours"] == trained["TRL"] == trained["without kept states"]
    assert trained["full"] > trained["ours"] and trained["full"] > trained["bottlenecks"] > 0
