"""Hand values, finite differences, definitions by brute force, a bandit of known optimum: the losses know no model."""

import math

import pytest
import torch
from torch import tensor

from projects.ppo_dpo_orpo import losses
from shared.errors import UserError

DOUBLE = {"dtype": torch.float64}


def numbers(*values):
    return tensor(values, **DOUBLE)


# ---------------------------------------------------------------- values worked out by hand


def test_dpo_by_hand():
    """Policy (−10, −20), reference (−15, −15): the margin is 10, and β 1/10 makes −log σ(1)."""
    margin = losses.dpo_margin(numbers(-10), numbers(-20), numbers(-15), numbers(-15))
    assert margin.item() == 10
    assert losses.dpo_loss(margin, beta=0.1).item() == pytest.approx(0.313262, abs=1e-6)
    assert losses.dpo_loss(margin, beta=0.1, wrong=0.1).item() == pytest.approx(0.413262, abs=1e-6)
    assert losses.ipo_loss(margin, beta=0.1).item() == pytest.approx(25.0)


def test_at_the_start_every_dpo_loss_is_that_of_a_coin():
    nothing = torch.zeros(3, **DOUBLE)
    for wrong in (0.0, 0.2):
        assert losses.dpo_loss(nothing, beta=0.3, wrong=wrong).tolist() == pytest.approx([math.log(2)] * 3)


def test_orpo_by_hand():
    chosen, rejected = numbers(-0.5), numbers(-1.0)
    ratio = losses.log_odds(chosen) - losses.log_odds(rejected)
    assert ratio.item() == pytest.approx(0.974077, abs=1e-6)
    assert losses.orpo_ratio_loss(chosen, rejected).item() == pytest.approx(0.320300, abs=1e-6)
    whole = losses.orpo_loss(chosen, rejected, numbers(2.0)[0], weight=0.5)
    assert whole.item() == pytest.approx(2 + 0.5 * 0.320300, abs=1e-6)


def test_the_odds_are_those_of_the_probability():
    p = numbers(0.001, 0.3, 0.5, 0.9, 0.999)
    torch.testing.assert_close(losses.log_odds(p.log()), torch.log(p / (1 - p)), rtol=1e-9, atol=0)


# ---------------------------------------------------------------- gradients


def numeric_gradient(function, x, step=1e-6):
    moves = torch.eye(len(x), **DOUBLE) * step
    return torch.stack([(function(x + move) - function(x - move)) / (2 * step) for move in moves])


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.dpo_loss(losses.dpo_margin(*x[:, None]), beta=0.3).sum(),
        lambda x: losses.dpo_loss(losses.dpo_margin(*x[:, None]), beta=0.3, wrong=0.2).sum(),
        lambda x: losses.ipo_loss(losses.dpo_margin(*x[:, None]), beta=0.3).sum(),
        lambda x: losses.orpo_ratio_loss(x[:1], x[1:2]).sum(),
        lambda x: losses.log1mexp(x).sum(),
    ],
    ids=["dpo", "cdpo", "ipo", "orpo", "log1mexp"],
)
def test_gradients_are_finite_differences(loss):
    x = numbers(-0.4, -1.7, -0.9, -1.1).requires_grad_()
    (found,) = torch.autograd.grad(loss(x), x)
    torch.testing.assert_close(found, numeric_gradient(loss, x.detach()), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("mean", [0.0, -1e-9, -1e-7, -1e-3, -0.69, -0.7, -30.0, -800.0])
def test_orpo_is_finite_at_every_probability(mean):
    """p → 1 makes infinite odds, and the branch that is not taken a gradient of NaN (float32, as in training)."""
    x = tensor([mean, -1.0]).requires_grad_()
    loss = losses.orpo_ratio_loss(x[:1], x[1:]).sum() + losses.orpo_ratio_loss(x[1:], x[:1]).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("x", [0.0, -1e-9, -1e-3, -0.69, -0.7, -30.0, -800.0])
def test_log1mexp_is_finite_by_itself(x):
    at = tensor([x]).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.log1mexp(at).sum(), at)
    assert torch.isfinite(losses.log1mexp(at)).all() and torch.isfinite(gradient).all()


def test_log1mexp_is_precise_far_from_zero_and_near_it():
    """To float32's precision of the double result, in both branches."""
    x = tensor([-1e-3, -0.1, -0.69, -0.7, -5.0, -12.0])
    torch.testing.assert_close(losses.log1mexp(x), torch.log1p(-torch.exp(x.double())).float(), rtol=2e-6, atol=0)


def test_dpo_pushes_apart_and_orpo_too():
    """Both raise the chosen and lower the rejected log-probability."""
    for loss in (
        lambda x: losses.dpo_loss(losses.dpo_margin(x[:1], x[1:], numbers(-1), numbers(-1)), beta=0.1).sum(),
        lambda x: losses.orpo_ratio_loss(x[:1], x[1:]).sum(),
    ):
        x = numbers(-0.8, -0.9).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        assert gradient[0] < 0 < gradient[1]


# ---------------------------------------------------------------- means and sums


def test_padding_may_hold_anything():
    """NaN behind the mask reaches neither a value nor a gradient."""
    mask = tensor([[True, True, False], [True, False, False]])
    x = tensor([[1.0, 3.0, math.nan], [5.0, math.inf, math.nan]]).requires_grad_()
    assert losses.masked_sum(x, mask).tolist() == [4, 5]
    assert losses.row_mean(x, mask).tolist() == [2, 5]
    assert losses.masked_mean(x, mask).item() == 3
    (gradient,) = torch.autograd.grad(losses.masked_mean(x, mask), x)
    assert gradient.tolist() == [[pytest.approx(1 / 3)] * 2 + [0], [pytest.approx(1 / 3), 0, 0]]


# ---------------------------------------------------------------- PPO


def random_rows(rows=5, tokens=7):
    source = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, tokens + 1, (rows,), generator=source)
    mask = torch.arange(tokens) < lengths[:, None]
    return mask, *(torch.randn(rows, tokens, generator=source, **DOUBLE) for _ in range(4))


def test_gae_is_its_double_sum():
    """A_t = Σ_k (γλ)^k δ_{t+k}, from the definition; rows that begin late too."""
    mask, rewards, values, *_ = random_rows()
    mask, rewards, values = (
        torch.cat([x[:, :0], x.roll(1, 1)], 1) for x in (mask & (torch.arange(7) < 6), rewards, values)
    )
    advantages, returns = losses.gae(rewards, values, mask, gamma=0.9, lam=0.8)
    for row, real in enumerate(mask):
        places = real.nonzero()[:, 0].tolist()
        for t in places:
            total = 0.0
            for s in places:
                if s >= t:
                    following = values[row, s + 1] if s + 1 in places else 0.0
                    total += (0.9 * 0.8) ** (s - t) * (rewards[row, s] + 0.9 * following - values[row, s])
            assert advantages[row, t].item() == pytest.approx(float(total), abs=1e-12)
            assert returns[row, t].item() == pytest.approx(float(total + values[row, t]), abs=1e-12)
    assert advantages[~mask].eq(0).all() and returns[~mask].eq(0).all()


def test_the_score_is_on_the_last_token_wherever_the_mask_begins():
    mask = tensor([[False, True, True, False], [True, False, False, False]])
    rewards = losses.token_rewards(tensor([2.0, 3.0]), torch.ones(2, 4), mask, beta=0.1)
    torch.testing.assert_close(rewards, tensor([[0, -0.1, 1.9, 0], [2.9, 0, 0, 0]]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_no_number_is_refused(bad):
    with pytest.raises(UserError, match="training stopped before it was used"):
        losses.token_rewards(tensor([1.0, bad]), torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool), beta=0.1)
    with pytest.raises(UserError, match="without a token"):
        losses.token_rewards(tensor([1.0]), torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), beta=0.1)


def test_the_surrogate_by_hand():
    """Ratios 1.5 and 0.5 with ε .2: a good token is held at 1.2, a bad one at 0.8, others are free."""
    old, new = torch.zeros(1, 4), tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    advantages, mask = tensor([[1.0, -1.0, -1.0, 1.0]]), torch.ones(1, 4, dtype=torch.bool)
    loss, clipped = losses.ppo_surrogate(new, old, advantages, mask, clip=0.2)
    assert loss.item() == pytest.approx(-(1.2 - 0.8 - 1.5 + 0.5) / 4)
    assert clipped.item() == 0.5
    (gradient,) = torch.autograd.grad(loss, new)
    torch.testing.assert_close(gradient, tensor([[0, 0, 1.5, -0.5]]) / 4)


def test_at_ratio_one_the_gradient_is_the_policy_gradient():
    mask, logprobs, advantages, *_ = random_rows()
    x = logprobs.clone().requires_grad_()
    loss, clipped = losses.ppo_surrogate(x, logprobs, advantages, mask, clip=0.2)
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(gradient, torch.where(mask, -advantages, 0) / mask.sum())
    assert clipped == 0


def test_the_value_loss_takes_the_larger_error():
    old, values, returns = tensor([[0.0, 0.0]]), tensor([[1.0, 0.1]]), tensor([[1.0, 1.0]])
    found = losses.value_loss(values, old, returns, torch.ones(1, 2, dtype=torch.bool), clip=0.2)
    assert found.item() == pytest.approx(0.5 * (0.8**2 + 0.9**2) / 2)


def test_k3_is_unbiased_and_never_negative():
    """Its mean over many draws is the divergence, worked out over the vocabulary."""
    p, q = torch.softmax(numbers(1, 0, -1, 0.5), 0), torch.softmax(numbers(0, 0.5, 0, -1), 0)
    drawn = torch.multinomial(p, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))[None]
    found = losses.k3(p.log()[drawn], q.log()[drawn])
    assert found.min() >= 0
    assert found.mean().item() == pytest.approx((p * (p / q).log()).sum().item(), rel=0.02)


def test_whitening():
    mask, x, *_ = random_rows()
    done = losses.whiten(x, mask)
    assert done[mask].mean().abs() < 1e-12 and done[mask].var(unbiased=False).item() == pytest.approx(1, abs=1e-6)
    assert done[~mask].eq(0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_bandit_reaches_its_known_optimum(seed):
    """Eight arms, rewards known, KL penalty β to a uniform start: the optimum is softmax(reward / β)."""
    source = torch.Generator().manual_seed(seed)
    reward, beta = torch.linspace(-1, 1, 8), 0.5
    logits = torch.zeros(8, requires_grad=True)
    optimizer, mask = torch.optim.Adam([logits], lr=0.03), torch.ones(512, 1, dtype=torch.bool)
    for _ in range(150):
        with torch.no_grad():
            arms = torch.multinomial(logits.softmax(0), 512, replacement=True, generator=source)
            old = logits.log_softmax(0)[arms][:, None]
            rewards = losses.token_rewards(reward[arms], old + math.log(8), mask, beta=beta)
            advantages, _ = losses.gae(rewards, torch.zeros(512, 1), mask, gamma=1.0, lam=0.95)
            advantages = advantages - advantages.mean()
        for _ in range(2):
            loss, _ = losses.ppo_surrogate(logits.log_softmax(0)[arms][:, None], old, advantages, mask, clip=0.2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    best = torch.softmax(reward / beta, 0)
    assert 0.5 * (logits.softmax(0) - best).abs().sum() < 0.06
