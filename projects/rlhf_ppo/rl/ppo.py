"""Proximal policy optimisation over tokens: rewards, advantages, the clipped losses and the update.

Nothing here knows a language model. A policy is a function that evaluates rows of a rollout again, so a bandit of eight
tokens is trained by the same lines as SmolLM2.

Every [b, t] tensor holds one number a response token; `mask` is 1 on the tokens that the policy chose, its end token
included, and 0 on the padding behind it. Masked places hold numbers that no result may depend on.
"""

# b sequences · t response tokens · n sequences of a minibatch

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.optim import Optimizer

from shared import optim


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the update. Defaults are those of lm-human-preferences where it has them."""

    gamma: float = 1.0
    """Discount of a later token."""
    lam: float = 0.95
    """λ of the generalised advantages: 0 is one step of bootstrapping, 1 is none."""
    clip: float = 0.2
    """ε: a probability ratio beyond 1 ± ε gives no gradient that would take it further."""
    value_clip: float = 0.2
    """A value may improve its loss by at most so much of a move."""
    value_weight: float = 0.1
    """Weight of the value loss in the sum."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus in the sum."""
    epochs: int = 4
    """Passes over a rollout."""
    minibatch: int = 8
    """Sequences of one update."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Sampled sequences, as the policy that sampled them sees them.

    Attributes:
        mask: 1 on chosen tokens.
        logprobs: log π of the chosen tokens, at the temperature of sampling.
        reference: The same under the frozen reference.
        values: Expected return before each token.
        scores: The reward model's, one a sequence.
    """

    mask: Bool[Tensor, "b t"]
    logprobs: Float[Tensor, "b t"]
    reference: Float[Tensor, "b t"]
    values: Float[Tensor, "b t"]
    scores: Float[Tensor, " b"]

    @property
    def kl(self) -> Float[Tensor, "b t"]:
        """Log π − log π_ref of each token (k1), 0 outside the mask: its expectation is the divergence."""
        return torch.where(self.mask, self.logprobs - self.reference, 0)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The same tokens under the present policy, with gradients.

    Attributes:
        entropy: Entropy of the distribution from which each token was drawn, in nats.
    """

    logprobs: Float[Tensor, "n t"]
    values: Float[Tensor, "n t"]
    entropy: Float[Tensor, "n t"]


Evaluate = Callable[[Int[Tensor, " n"]], Evaluation]
"""Row numbers of the rollout → their evaluation."""


def masked_mean(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over the tokens of the mask, all sequences together. An empty mask gives 0."""
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def whiten(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Shift and scale to mean 0 and variance 1 over the mask; 0 elsewhere."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return torch.where(mask, (x - mean) * torch.rsqrt(variance + 1e-8), 0)


def token_rewards(
    scores: Float[Tensor, " b"], kl: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], beta: float
) -> Float[Tensor, "b t"]:
    """−β·KL on each token, and the sequence's score on its last one.

    Args:
        kl: Estimate a token, log π − log π_ref (k1): its expectation is the divergence, a single one may be negative.
        mask: A row needs at least one token, else there is no place for its score.

    Raises:
        ValueError: If a sequence has no token, or a score is not finite.

    Source: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", eq. 2.
    """
    lengths = mask.sum(1)
    if (lengths == 0).any():
        raise ValueError("a response without a token cannot be rewarded")
    if not torch.isfinite(scores).all():
        raise ValueError(f"rewards must be finite, not {scores[~torch.isfinite(scores)][0].item()}")
    rewards = torch.where(mask, -beta * kl, 0)
    rows = torch.arange(len(scores))
    rewards[rows, lengths - 1] += scores
    return rewards


def gae(
    rewards: Float[Tensor, "b t"],
    values: Float[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    *,
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """Generalised advantages and the returns that the values are fitted to, 0 outside the mask.

        δ_t = r_t + γ V_{t+1} − V_t        A_t = δ_t + γλ A_{t+1}        R_t = A_t + V_t

    A response ends with its last token: the value behind it is 0, whether it ended by itself or was cut.

    Source: Schulman et al. 2016, "High-Dimensional Continuous Control Using GAE", eq. 16.
    """
    values = torch.where(mask, values, 0)
    rewards = torch.where(mask, rewards, 0)
    advantages = torch.zeros_like(rewards)
    next_advantage = torch.zeros_like(rewards[:, 0])  # A_{t+1}
    next_value = torch.zeros_like(next_advantage)  # V_{t+1}
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(mask[:, t], delta + gamma * lam * next_advantage, 0)
        advantages[:, t], next_value = next_advantage, values[:, t]
    return advantages, advantages + values


def policy_loss(
    logprobs: Float[Tensor, "n t"],
    old: Float[Tensor, "n t"],
    advantages: Float[Tensor, "n t"],
    mask: Bool[Tensor, "n t"],
    clip: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The clipped surrogate, to be minimised, and the share of tokens on which clipping decided.

        L = −E[min(ρ A, clip(ρ, 1−ε, 1+ε) A)],  ρ = π(a)/π_old(a)

    Source: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", eq. 7.
    """
    # A token of the padding may hold any number: exp of it must not become an infinity whose gradient is NaN.
    ratio = torch.exp(torch.where(mask, logprobs - old, 0))
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return -masked_mean(torch.minimum(free, clipped), mask), masked_mean((clipped < free).float(), mask)


def value_loss(
    values: Float[Tensor, "n t"],
    old: Float[Tensor, "n t"],
    returns: Float[Tensor, "n t"],
    mask: Bool[Tensor, "n t"],
    clip: float,
) -> Float[Tensor, ""]:
    """Half the larger of two squared errors: of the value, and of the value held within ± clip of the old one.

    Source: lm-human-preferences; Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO", detail 8.
    """
    held = old + (values - old).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (held - returns) ** 2), mask)


def k3(logprobs: Float[Tensor, "b t"], other: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Estimate of KL(π‖other) from tokens of π, never negative: e^d − 1 − d with d = log other − log π.

    Source: Schulman 2020, "Approximating KL Divergence".
    """
    difference = other - logprobs
    return torch.expm1(difference) - difference


@dataclass(kw_only=True)
class KLControl:
    """β, fixed or steered towards a target of the divergence a sequence.

    Attributes:
        target: Divergence in nats a sequence; None leaves β alone.
        horizon: Sequences over which β changes by the clipped error, at most a fifth of itself.

    Source: Ziegler et al. 2019, §2.2, with the horizon of lm-human-preferences. There a round of more than five
    horizons turns β negative; here a round counts for at most one, so β stays above 0.
    """

    beta: float
    target: float | None = None
    horizon: int = 1000

    def update(self, kl: float, sequences: int) -> float:
        """Take a measured divergence, in nats a sequence. Returns the new β."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.beta *= 1 + error * min(sequences / self.horizon, 1)
        return self.beta


def update(
    evaluate: Evaluate,
    optimizer: Optimizer,
    rollout: Rollout,
    *,
    beta: float,
    settings: Settings,
    generator: torch.Generator,
) -> dict[str, float]:
    """Some epochs of clipped updates on one rollout.

    Args:
        evaluate: The policy that moves.
        optimizer: Holds its parameters.
        rollout: From the policy as it is now: the first minibatch's ratio is exactly 1.
        beta: Weight of the divergence from the reference in the reward.
        generator: Orders the minibatches.

    Returns:
        Means over all minibatches, and of the first one `first_ratio`, the largest |ρ − 1|.
    """
    rewards = token_rewards(rollout.scores, rollout.kl, rollout.mask, beta)
    advantages, returns = gae(rewards, rollout.values, rollout.mask, gamma=settings.gamma, lam=settings.lam)
    advantages = whiten(advantages, rollout.mask)
    logged: list[dict[str, float]] = []
    for rows in minibatches(len(rollout.mask), settings, generator):
        now, old = evaluate(rows), rows_of(rollout, rows)
        loss, terms = ppo_loss(now, old, advantages[rows], returns[rows], settings)
        norm = optim.step(optimizer, loss, max_norm=settings.max_norm)
        logged.append({**terms, **movement(now, old), "grad_norm": norm})
    means = {name: sum(each[name] for each in logged) / len(logged) for name in logged[0] if name != "ratio"}
    return {**means, "first_ratio": logged[0]["ratio"]}


def ppo_loss(
    now: Evaluation, old: Rollout, advantages: Float[Tensor, "n t"], returns: Float[Tensor, "n t"], settings: Settings
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Loss of a minibatch, policy + weight · value − weight · entropy, and its terms for the log."""
    surrogate, clipped = policy_loss(now.logprobs, old.logprobs, advantages, old.mask, settings.clip)
    error = value_loss(now.values, old.values, returns, old.mask, settings.value_clip)
    entropy = masked_mean(now.entropy, old.mask)
    loss = surrogate + settings.value_weight * error - settings.entropy_weight * entropy
    named = {"policy_loss": surrogate, "value_loss": error, "entropy": entropy, "clip_fraction": clipped}
    return loss, {name: term.item() for name, term in named.items()}


def movement(now: Evaluation, old: Rollout) -> dict[str, float]:
    """How far the policy is from the one that sampled: the divergence a token, and the largest |ρ − 1|."""
    moved = torch.where(old.mask, now.logprobs.detach() - old.logprobs, 0)
    kl = masked_mean(k3(old.logprobs, old.logprobs + moved), old.mask)
    return {"approx_kl": kl.item(), "ratio": moved.exp().sub(1).abs().max().item()}


def rows_of(rollout: Rollout, rows: Int[Tensor, " n"]) -> Rollout:
    """Some of its sequences."""
    return Rollout(**{field.name: getattr(rollout, field.name)[rows] for field in fields(Rollout)})


def minibatches(sequences: int, settings: Settings, generator: torch.Generator) -> Iterator[Int[Tensor, " n"]]:
    """Row numbers, every sequence once an epoch, in an order of its own each time."""
    for _ in range(settings.epochs):
        yield from torch.randperm(sequences, generator=generator).split(settings.minibatch)
