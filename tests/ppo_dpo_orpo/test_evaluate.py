"""What a policy is worth: measures against their definitions, statistics against known answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from projects.ppo_dpo_orpo import evaluate, train_preference
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.data import Pair
from projects.ppo_dpo_orpo.policies import Answer
from projects.ppo_dpo_orpo.prepare import Encoded, new_policy, prepare
from shared.errors import UserError


@pytest.fixture
def smoke(tmp_path, model_folder, dataset):
    return replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, out=tmp_path / "run")


def test_answers_are_the_same_for_the_same_seed_and_leave_the_generators_alone(smoke, judges):
    prepared = prepare(smoke, judges)
    policy, _ = new_policy(smoke)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (list(evaluate.answer(policy, prepared, tokens=6, seed=3)) for _ in range(2))
    assert one == two and torch.equal(torch.get_rng_state(), before)
    numbers, kept = one[0]
    assert numbers["kl"] == pytest.approx(0, abs=1e-6), "the start has not moved"
    assert numbers["gold"] == pytest.approx(float(judges.gold.rate([kept["response"]])[0]))
    assert judges.proxy.asked and kept["film"] == "film5"


def test_test_pairs_of_the_start_are_all_ties(smoke, judges):
    """Implicit rewards are rounding noise before training: neither right nor wrong."""
    prepared = prepare(smoke, judges)
    items = list(evaluate.pair_items(smoke, new_policy(smoke)[0], prepared))
    assert [numbers["right"] for numbers, _ in items] == [0.5] * 4


def test_a_checkpoint_that_was_changed_is_refused(smoke, judges):
    done = train_preference.main(smoke, prepare(smoke, judges))
    checkpoint = done.directory / "checkpoints" / "step-000004"
    evaluate.load_checkpoint(new_policy(smoke)[0], checkpoint)
    weights = checkpoint / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(UserError, match="not loaded"):
        evaluate.load_checkpoint(new_policy(smoke)[0], checkpoint)


def test_distinct_and_commonest():
    assert evaluate.distinct(["a b a b", "a b"], 2) == pytest.approx(2 / 4)
    assert evaluate.distinct([], 2) == 0
    assert evaluate.commonest(["a b c d", "x a b c", "z"]) == ("a b c", 2)


def test_length_alone():
    def pair(chosen, rejected):
        made = {"split": "test", "group": "f", "template": "", "opening": "", "text": "p"}
        return Pair(**made, chosen=chosen, rejected=rejected)

    encoded = Encoded([pair("a b", "c"), pair("a", "b c"), pair("a", "b")], [], torch.empty(0, 2))
    assert evaluate.longer_right(encoded).tolist() == [1, 0, 0.5]


def test_the_probe_finds_a_direction_and_nothing_in_noise():
    torch.manual_seed(0)
    direction, x = torch.randn(8), torch.randn(600, 8)
    x = torch.where((x @ direction > 0)[:, None], x, -x)  # chosen minus rejected always points along it
    weights = evaluate.fit_probe(x[:400], 1.0)
    assert ((x[400:] @ weights) > 0).float().mean() > 0.95
    p = torch.sigmoid(-x[:400] @ weights)
    gradient = -(x[:400] * p[:, None]).sum(0) + weights
    assert gradient.abs().max() < 1e-3, "a stationary point of its own loss"


def test_length_controlled_takes_the_length_out():
    """Gain = 0.3 + 0.1 · more words: at equal length 0.3 is left."""
    words = [0.0, 2.0, 5.0, -1.0]
    assert evaluate.length_controlled([0.3 + 0.1 * w for w in words], words) == pytest.approx(0.3)
    assert evaluate.length_controlled([1.0, 2.0], [3.0, 3.0]) == 1.5


def test_the_bootstrap_covers_and_finds_nothing_in_nothing():
    source = np.random.default_rng(1)
    mean, low, high, p = evaluate.two_way_bootstrap(source.normal(0.0, 1.0, (3, 60)))
    assert low < mean < high and low < 0 < high and p > 0.05
    mean, low, high, p = evaluate.two_way_bootstrap(source.normal(1.0, 1.0, (3, 60)))
    assert low > 0.5 and p < 0.001
    constant = evaluate.two_way_bootstrap(np.ones((2, 5)))
    assert constant[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_the_bootstrap_resamples_seeds_too():
    """Three seeds that disagree make the interval wide, however many prompts there are."""
    table = np.array([[1.0] * 50, [-1.0] * 50, [0.5] * 50])
    _, low, high, _ = evaluate.two_way_bootstrap(table)
    assert low < -0.5 and high > 0.7


def test_holm_by_hand():
    assert evaluate.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert evaluate.holm([0.5, 0.9]) == [1.0, 1.0]


def test_likelier_a_token_not_in_sum():
    """A long response of likely tokens wins over a short one of unlikely tokens, though its sum is smaller."""
    encoded = Encoded([], [(Answer([1], [2] * 10), Answer([1], [2]))], torch.tensor([[-5.0, -1.0]]))
    assert evaluate.likelier_right(encoded).tolist() == [1]
    encoded = Encoded([], [(Answer([1], [2]), Answer([1], [2] * 10))], torch.tensor([[-1.0, -5.0]]))
    assert evaluate.likelier_right(encoded).tolist() == [0]
