"""The reward model learns an order that is there, from a frozen encoder; the judge fines what it says it fines."""

import math

import pytest
import torch
from torch.testing import assert_close

from projects.rlhf_ppo.models.gold_reward import GoldReward, repetition, train_gold_reward
from projects.rlhf_ppo.models.reward_model import Pairs, RewardModel, bradley_terry, fit_reward_model, pair_accuracy
from shared.errors import UserError
from shared.fingerprint.origin import data_digest

TEXTS = ["the film is good", "a dull story", "very bright and good", "the actors"]


def backbone_digest(model):
    return data_digest([parameter.flatten().tolist() for parameter in model.encoder.parameters()])


def planted_pairs(n, seed, width=16):
    """Vectors whose order is that of a hidden direction, with an offset and a scale that mean nothing."""
    draw = torch.Generator().manual_seed(seed)
    direction = torch.randn(width, generator=torch.Generator().manual_seed(99))
    a, b = 3 + 0.01 * torch.randn(2, n, width, generator=draw)
    first = ((a - b) @ direction > 0)[:, None]
    return Pairs(torch.where(first, a, b), torch.where(first, b, a))


def test_bradley_terry_by_hand():
    loss = bradley_terry(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0]))
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(3))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_bradley_terry_and_its_gradient_are_those_of_logistic_regression_on_differences():
    chosen, rejected = torch.randn(2, 9, dtype=torch.float64).requires_grad_()
    loss = bradley_terry(chosen, rejected)
    (gradient,) = torch.autograd.grad(loss, chosen)
    assert_close(gradient, -torch.sigmoid(rejected - chosen).detach() / 9)


def test_bradley_terry_sees_differences_only():
    chosen, rejected = torch.randn(2, 9)
    assert_close(bradley_terry(chosen + 5, rejected + 5), bradley_terry(chosen, rejected))


def test_a_planted_order_is_learned(encoder_of):
    model = RewardModel(encoder_of())
    fit = fit_reward_model(model, planted_pairs(300, 0), planted_pairs(100, 1), lr=1e-2)
    held_out = planted_pairs(200, 2)
    assert fit.accuracy > 0.9
    assert pair_accuracy(model.raw(held_out.chosen), model.raw(held_out.rejected)) > 0.9


def test_without_an_order_to_learn_held_out_accuracy_is_chance(encoder_of):
    draw = torch.Generator().manual_seed(0)
    a, b, c, d = torch.randn(4, 200, 16, generator=draw)
    model = RewardModel(encoder_of())
    fit = fit_reward_model(model, Pairs(a, b), Pairs(c, d), lr=1e-2)
    assert 0.35 < fit.accuracy < 0.65


def test_rewards_of_the_training_texts_have_mean_0_and_deviation_1(encoder_of):
    model, train = RewardModel(encoder_of()), planted_pairs(50, 0)
    fit_reward_model(model, train, planted_pairs(20, 1), lr=1e-2)
    both = torch.cat([train.chosen, train.rejected])
    rewards = (model.raw(both) - model.reward_mean) / model.reward_scale
    assert rewards.mean().item() == pytest.approx(0, abs=1e-5)
    assert rewards.std().item() == pytest.approx(1, abs=1e-5)


def test_the_backbone_does_not_move_and_only_the_head_is_trained(encoder_of):
    model = RewardModel(encoder_of())
    before = backbone_digest(model)
    vectors = model.encoder.embed(TEXTS)
    fit_reward_model(model, Pairs(vectors[:2], vectors[2:]), Pairs(vectors[:2], vectors[2:]), lr=1e-2)
    assert backbone_digest(model) == before
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.weight"]


def test_a_text_alone_is_the_text_in_a_batch(encoder_of):
    model = RewardModel(encoder_of())
    torch.nn.init.normal_(model.head.weight)
    together = model(TEXTS)
    alone = torch.cat([model([text]) for text in TEXTS])
    assert together.std() > 1e-3
    assert_close(together, alone, atol=1e-5, rtol=0)


def test_the_mean_is_over_real_tokens(encoder_of):
    encoder = encoder_of()
    ids, mask = torch.tensor([[2, 4, 6, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]])
    with torch.no_grad():
        hidden = encoder.encoder(input_ids=ids[:, :3]).last_hidden_state
        assert_close(encoder.mean_pool(ids, mask), hidden.mean(1), atol=1e-5, rtol=0)


def test_no_pair_is_one_line(encoder_of):
    none = Pairs(torch.zeros(0, 16), torch.zeros(0, 16))
    with pytest.raises(UserError, match="too few comparisons"):
        fit_reward_model(RewardModel(encoder_of()), none, planted_pairs(3, 0), lr=1e-2)


def test_a_tie_is_half_right():
    assert pair_accuracy(torch.tensor([1.0, 1.0, 0.0, 3.0]), torch.tensor([0.0, 1.0, 1.0, 2.0])) == 0.625


# ---------------------------------------------------------------- the judge


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0), ("one", 0), ("a b c", 0), ("a b a b", 1 / 3), ("no no no no", 2 / 3), ("A b a B", 1 / 3)],
)
def test_repetition_by_hand(text, share):
    assert repetition(text) == pytest.approx(share)


def test_the_judge_fines_short_and_repetitive_responses(encoder_of):
    judge = GoldReward(encoder_of(), short_fine=2.0, repeated_fine=4.0).eval()
    responses = ["", "good " * 11 + "good", "the film is good and the story is not bad , very bright"]
    said = judge(["the film "] * 3, responses)
    assert said.short.tolist() == [1.0, 0.0, 0.0]
    assert said.repeated.tolist() == pytest.approx([0.0, 10 / 11, 0.0])
    assert_close(said.total, said.sentiment - torch.tensor([2.0, 40 / 11, 0.0]))


def test_the_judge_learns_what_raters_say(encoder_of):
    texts = [f"the {noun} is {word}" for noun in ("film", "story", "plot", "actors") for word in ("good", "bad")] * 64
    scores = [2.0 if text.endswith("good") else -2.0 for text in texts]
    torch.manual_seed(0)
    judge = GoldReward(encoder_of())
    frozen = judge.encoder.encoder.encoder.layer[0].output.dense.weight.clone()
    train_gold_reward(judge, texts, scores, lr=3e-3, batch_size=8, seed=0)
    with torch.no_grad():
        good, bad = judge.head(judge.encoder(["the film is good", "the film is bad"]))[:, 0].tolist()
    assert good > 1
    assert bad < -1
    assert torch.equal(judge.encoder.encoder.encoder.layer[0].output.dense.weight, frozen)
