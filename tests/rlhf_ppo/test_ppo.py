"""The algorithm against hand values, definitions written another way, and a problem whose optimum is known."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from projects.rlhf_ppo.rl import ppo
from projects.rlhf_ppo.rl.ppo import KLControl, Rollout, Settings


def full(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def lengths_mask(lengths, width):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def random_rollout(seed, lengths, width):
    draw = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, len(lengths), width, generator=draw, dtype=torch.float64)
    return rewards, values, lengths_mask(lengths, width)


def gae_by_double_sum(rewards, values, mask, gamma, lam):
    """A_t = Σ_l (γλ)^l δ_{t+l}, each δ written out, a row at a time without its padding."""
    advantages = torch.zeros_like(rewards)
    for row, length in enumerate(mask.sum(1).tolist()):
        r, v = rewards[row, :length].tolist(), [*values[row, :length].tolist(), 0.0]
        for t in range(length):
            deltas = [r[s] + gamma * v[s + 1] - v[s] for s in range(t, length)]
            advantages[row, t] = sum((gamma * lam) ** back * delta for back, delta in enumerate(deltas))
    return advantages


def test_gae_by_hand():
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.full((1, 3), 0.5)
    advantages, returns = ppo.gae(rewards, values, full(1, 3), gamma=1.0, lam=0.95)
    assert_close(advantages, torch.tensor([[0.45125, 0.475, 0.5]]))
    assert_close(returns, torch.tensor([[0.95125, 0.975, 1.0]]))


@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.8), (1.0, 0.95), (1.0, 1.0), (0.99, 0.0)])
def test_gae_equals_its_definition(gamma, lam):
    rewards, values, mask = random_rollout(0, [5, 1, 7, 3], 7)
    advantages, returns = ppo.gae(rewards, values, mask, gamma=gamma, lam=lam)
    expected = gae_by_double_sum(rewards, values, mask, gamma, lam)
    assert_close(advantages, expected, atol=1e-12, rtol=0)
    assert_close(returns, torch.where(mask, expected + values, 0), atol=1e-12, rtol=0)


def test_with_gamma_and_lambda_1_returns_are_the_sums_of_the_rewards_to_come():
    rewards, values, mask = random_rollout(1, [4, 6], 6)
    _, returns = ppo.gae(rewards, values, mask, gamma=1.0, lam=1.0)
    to_come = torch.where(mask, rewards, 0).flip(1).cumsum(1).flip(1)
    assert_close(returns, torch.where(mask, to_come, 0))


@pytest.mark.parametrize("garbage", [0.0, 7.0, 1e30, float("inf"), float("nan")])
def test_padding_changes_nothing(garbage):
    rewards, values, _ = random_rollout(2, [3], 3)
    mask = lengths_mask([3], 6)
    padded = [torch.cat([x, torch.full((1, 3), garbage, dtype=x.dtype)], 1) for x in (rewards, values)]
    short = ppo.gae(rewards, values, full(1, 3), gamma=0.9, lam=0.9)
    long = ppo.gae(*padded, mask, gamma=0.9, lam=0.9)
    for one, other in zip(short, long, strict=True):
        assert torch.equal(one, other[:, :3])
        assert not other[:, 3:].any()
    whitened = ppo.whiten(padded[0], mask)
    assert torch.equal(whitened[:, :3], ppo.whiten(rewards, full(1, 3)))
    assert not whitened[:, 3:].any()


def test_whitening_is_over_the_mask():
    _, x, mask = random_rollout(3, [2, 5, 4], 5)
    white = ppo.whiten(3 * x + 8, mask)[mask]
    assert white.mean().item() == pytest.approx(0, abs=1e-12)
    assert white.var(correction=0).item() == pytest.approx(1, rel=1e-6)


def test_the_score_lands_on_the_last_real_token():
    mask = lengths_mask([1, 3], 4)
    kl = torch.tensor([[0.5, 9.0, 9.0, 9.0], [1.0, -2.0, 3.0, 9.0]])
    rewards = ppo.token_rewards(torch.tensor([10.0, 20.0]), kl, mask, beta=0.1)
    assert_close(rewards, torch.tensor([[9.95, 0, 0, 0], [-0.1, 0.2, 19.7, 0]]))


@pytest.mark.parametrize("garbage", [9.0, float("inf"), float("nan")])
def test_the_divergence_of_a_rollout_is_that_of_its_tokens(garbage):
    rollout = Rollout(
        mask=lengths_mask([1, 3], 3),
        logprobs=torch.tensor([[-1.0, garbage, garbage], [-1.0, -2.0, -3.0]]),
        reference=torch.tensor([[-1.5, 0.0, 0.0], [-2.0, -1.0, -3.5]]),
        values=torch.zeros(2, 3),
        scores=torch.zeros(2),
    )
    assert_close(rollout.kl, torch.tensor([[0.5, 0, 0], [1.0, -1.0, 0.5]]))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_is_refused(score):
    with pytest.raises(ValueError, match="finite"):
        ppo.token_rewards(torch.tensor([1.0, score]), torch.zeros(2, 3), full(2, 3), beta=0.1)


def test_a_response_without_a_token_is_refused():
    with pytest.raises(ValueError, match="without a token"):
        ppo.token_rewards(torch.zeros(2), torch.zeros(2, 3), lengths_mask([0, 2], 3), beta=0.1)


def clipped_surrogate_by_cases(logprob, old, advantage, clip):
    """Value and gradient (by log π) of −min(ρA, clip(ρ)A), case by case."""
    ratio = math.exp(logprob - old)
    if (advantage > 0 and ratio > 1 + clip) or (advantage < 0 and ratio < 1 - clip):
        bound = 1 + clip if advantage > 0 else 1 - clip
        return -bound * advantage, 0.0, True
    return -ratio * advantage, -ratio * advantage, False


def test_policy_loss_and_its_gradient_case_by_case():
    ratios, advantages = [0.5, 0.79, 0.9, 1.0, 1.1, 1.21, 3.0], [-2.0, 1.5]
    for ratio in ratios:
        for advantage in advantages:
            logprob = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
            old = torch.zeros(1, 1, dtype=torch.float64)
            a = torch.full((1, 1), advantage, dtype=torch.float64)
            loss, fraction = ppo.policy_loss(logprob, old, a, full(1, 1), 0.2)
            loss.backward()
            expected, gradient, clipped = clipped_surrogate_by_cases(math.log(ratio), 0.0, advantage, 0.2)
            assert loss.item() == pytest.approx(expected, abs=1e-12)
            assert logprob.grad.item() == pytest.approx(gradient, abs=1e-12)
            assert bool(fraction) is clipped


def test_masked_numbers_reach_neither_loss_nor_gradient():
    logprobs = torch.tensor([[-1.0, 500.0]], requires_grad=True)
    loss, _ = ppo.policy_loss(logprobs, torch.tensor([[-1.2, -500.0]]), torch.ones(1, 2), lengths_mask([1], 2), 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(-1.2)  # e^0.2 is beyond the clip
    assert torch.equal(logprobs.grad, torch.zeros(1, 2))
    values = torch.tensor([[1.0, 1e20]], requires_grad=True)
    error = ppo.value_loss(values, torch.zeros(1, 2), torch.full((1, 2), 3.0), lengths_mask([1], 2), 5.0)
    error.backward()
    assert error.item() == pytest.approx(2.0)
    assert values.grad[0, 1] == 0


@pytest.mark.parametrize(
    ("value", "old", "target", "expected"),
    [
        (1.1, 1.0, 2.0, 0.5 * 0.9**2),  # inside the clip: the plain error
        (1.9, 1.0, 2.0, 0.5 * 0.8**2),  # improved beyond the clip: held at 1.2
        (0.0, 1.0, 2.0, 0.5 * 2.0**2),  # went the wrong way: the larger error counts
        (1.0, 1.0, 1.0, 0.0),
    ],
)
def test_value_loss_by_hand(value, old, target, expected):
    loss = ppo.value_loss(*(torch.tensor([[x]]) for x in (value, old, target)), full(1, 1), 0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_both_estimators_have_the_exact_divergence_as_expectation():
    draw = torch.Generator().manual_seed(4)
    logits, others = torch.randn(2, 6, generator=draw, dtype=torch.float64)
    p, log_p, log_q = logits.softmax(0), logits.log_softmax(0), others.log_softmax(0)
    exact = (p * (log_p - log_q)).sum()  # over the whole vocabulary
    terms = ppo.k3(log_p[None], log_q[None])[0]
    assert_close((p * terms).sum(), exact)
    assert (terms >= 0).all()
    assert (log_p - log_q).min() < 0 < exact  # k1 is negative for some token, its mean is not


def test_beta_is_steered_towards_the_target():
    control = KLControl(beta=0.1, target=6.0, horizon=100)
    assert control.update(6.0, 10) == pytest.approx(0.1)
    assert control.update(6.6, 10) == pytest.approx(0.1 * 1.01)  # error 0.1
    assert control.update(600.0, 10) == pytest.approx(0.1 * 1.01 * 1.02)  # held at 0.2
    assert control.update(0.0, 10) == pytest.approx(0.1 * 1.01 * 1.02 * 0.98)
    fixed = KLControl(beta=0.1)
    assert fixed.update(600.0, 10) == 0.1


@pytest.mark.parametrize("sequences", [100, 101, 512, 10_000])
def test_a_round_of_any_size_changes_beta_by_a_fifth_at_most_and_never_its_sign(sequences):
    control = KLControl(beta=0.2, target=6.0, horizon=100)
    assert control.update(0.0, sequences) == pytest.approx(0.16)
    assert control.update(600.0, sequences) == pytest.approx(0.16 * 1.2)
    for _ in range(5000):
        assert control.update(0.0, sequences) >= 0


# ---------------------------------------------------------------- a problem with a known optimum

TOKENS, STEPS = 8, 4


class TokenBandit(torch.nn.Module):
    """A policy that picks STEPS tokens from a table, blind to what it picked, with a table of values."""

    def __init__(self, seed):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.logits = torch.nn.Parameter(0.1 * torch.randn(STEPS, TOKENS, generator=draw))
        self.values = torch.nn.Parameter(torch.zeros(STEPS))

    def evaluate(self, actions):
        log_p = self.logits.log_softmax(1).expand(len(actions), -1, -1)
        chosen = log_p.gather(2, actions[..., None])[..., 0]
        entropy = -(log_p.exp() * log_p).sum(2)
        return ppo.Evaluation(logprobs=chosen, values=self.values.repeat(len(actions), 1), entropy=entropy)


def payoffs(seed):
    """Payoff of each token at each step; the optimum is the sum of the rows' largest."""
    return torch.rand(STEPS, TOKENS, generator=torch.Generator().manual_seed(100 + seed))


def sample_rollout(policy, table, draw, sequences=64):
    actions = torch.multinomial(policy.logits.softmax(1), sequences, replacement=True, generator=draw).T
    with torch.no_grad():
        seen = policy.evaluate(actions)
    scores = table[torch.arange(STEPS), actions].sum(1)
    return actions, Rollout(
        mask=full(sequences, STEPS),
        logprobs=seen.logprobs,
        reference=seen.logprobs,
        values=seen.values,
        scores=scores - scores.mean(),
    )


def train_bandit(seed, iterations=150, **settings):
    policy, table = TokenBandit(seed), payoffs(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(iterations):
        actions, rollout = sample_rollout(policy, table, draw)
        logged = ppo.update(
            lambda rows, actions=actions: policy.evaluate(actions[rows]),
            optimizer,
            rollout,
            beta=0.0,
            settings=Settings(minibatch=32, **settings),
            generator=draw,
        )
        assert logged["first_ratio"] == 0
    expected = (policy.logits.softmax(1) * table).sum().item()
    return expected / table.max(1).values.sum().item()


@pytest.mark.parametrize("seed", range(5))
def test_ppo_reaches_the_optimum_of_a_bandit_over_tokens(seed):
    assert train_bandit(seed) >= 0.95


def test_the_first_minibatch_has_ratio_1_and_an_update_changes_it():
    policy, draw = TokenBandit(0), torch.Generator().manual_seed(0)
    actions, rollout = sample_rollout(policy, payoffs(0), draw)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    once = Settings(epochs=1, minibatch=64)
    logged = ppo.update(
        lambda rows: policy.evaluate(actions[rows]), optimizer, rollout, beta=0.1, settings=once, generator=draw
    )
    assert (logged["first_ratio"], logged["approx_kl"], logged["clip_fraction"]) == (0, 0, 0)
    again = ppo.update(
        lambda rows: policy.evaluate(actions[rows]), optimizer, rollout, beta=0.1, settings=once, generator=draw
    )
    assert again["first_ratio"] > 0  # the rollout is of the policy before
    assert again["approx_kl"] > 0


def test_advantages_are_whitened_and_returns_are_not():
    """At ratio 1 the surrogate is the mean advantage: 0 once whitened. Values are fitted to raw returns."""
    policy, draw = TokenBandit(1), torch.Generator().manual_seed(0)
    actions, rollout = sample_rollout(policy, payoffs(1), draw)
    rollout = replace(rollout, scores=rollout.scores + 3)
    once = Settings(epochs=1, minibatch=64, value_clip=100.0)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    logged = ppo.update(
        lambda rows: policy.evaluate(actions[rows]), optimizer, rollout, beta=0.0, settings=once, generator=draw
    )
    rewards = ppo.token_rewards(rollout.scores, torch.zeros(64, STEPS), rollout.mask, 0.0)
    raw, returns = ppo.gae(rewards, rollout.values, rollout.mask, gamma=once.gamma, lam=once.lam)
    assert raw.mean() > 1 and logged["policy_loss"] == pytest.approx(0, abs=1e-6)
    assert logged["value_loss"] == pytest.approx(0.5 * (returns**2).mean().item(), rel=1e-5)


def test_minibatches_hold_every_sequence_once_an_epoch():
    settings = Settings(epochs=3, minibatch=4)
    batches = list(ppo.minibatches(10, settings, torch.Generator().manual_seed(0)))
    assert [len(b) for b in batches] == [4, 4, 2] * 3
    for epoch in range(3):
        assert torch.cat(batches[3 * epoch : 3 * epoch + 3]).sort().values.tolist() == list(range(10))
