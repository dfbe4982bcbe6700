"""Proximal policy optimisation over tokens: rewards, advantages, the clipped losses and the update.

Nothing here knows a language model. A policy is a function that evaluates rows of an experience again, so a bandit of
eight tokens is trained by the same lines as SmolLM2.

Every [b, t] tensor holds one number a response token; `mask` is 1 on the tokens that the policy chose, its end token
included, and 0 on the padding behind it. Masked places hold numbers that no result may depend on.
"""

# b sequences · t response tokens · n sequences of a minibatch

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.optim import Optimizer

from shared import optim


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the update. Defaults are those of lm-human-preferences where it has them."""

    gamma: float = 1.0
    """Discount of a later token."""
    lam: float = 0.95
    """λ of the generalised advantages: 0 is one step of bootstrapping, 1 is none."""
    clip: float = 0.2
    """ε: a probability ratio beyond 1 ± ε gives no gradient that would take it further."""
    value_clip: float = 0.2
    """A value may improve its loss by at most so much of a move."""
    value_weight: float = 0.1
    """Of the value loss in the sum."""
    entropy_weight: float = 0.0
    """Of the entropy bonus in the sum."""
    epochs: int = 4
    """Passes over an experience."""
    minibatch: int = 8
    """Sequences of one update."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What sampling left behind, under the policy that sampled.

    Attributes:
        mask: 1 on chosen tokens.
        logprobs: Of the chosen tokens under the policy, at the temperature of sampling.
        reference: The same under the frozen reference.
        values: Expected return before each token.
        scores: The reward model's, one a sequence.
    """

    mask: Bool[Tensor, "b t"]
    logprobs: Float[Tensor, "b t"]
    reference: Float[Tensor, "b t"]
    values: Float[Tensor, "b t"]
    scores: Float[Tensor, " b"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the present policy says of the same tokens, with gradients.

    Attributes:
        logprobs: See `Experience`, as are the values.
        values: See `logprobs`.
        entropy: Of the distribution from which each token was drawn, in nats.
    """

    logprobs: Float[Tensor, "n t"]
    values: Float[Tensor, "n t"]
    entropy: Float[Tensor, "n t"]


Evaluate = Callable[[Int[Tensor, " n"]], Evaluation]
"""Row numbers of the experience → their evaluation."""


def masked_mean(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over the tokens of the mask, all sequences together. An empty mask gives 0."""
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def whiten(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """To mean 0 and variance 1 over the mask; 0 elsewhere."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return torch.where(mask, (x - mean) * torch.rsqrt(variance + 1e-8), 0)


def token_rewards(
    scores: Float[Tensor, " b"], kl: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], beta: float
) -> Float[Tensor, "b t"]:
    """−β·KL on each token, and the sequence's score on its last one.

    Args:
        scores: One a sequence.
        kl: Estimate a token, log π − log π_ref (k1): its expectation is the divergence, a single one may be negative.
        mask: A row needs at least one token, else there is no place for its score.
        beta: Weight of the penalty.

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
    ahead = torch.zeros_like(rewards[:, 0])  # A_{t+1}
    following = torch.zeros_like(ahead)  # V_{t+1}
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        ahead = torch.where(mask[:, t], delta + gamma * lam * ahead, 0)
        advantages[:, t], following = ahead, values[:, t]
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
        beta: Present weight.
        target: In nats a sequence; None leaves β alone.
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
    experience: Experience,
    *,
    beta: float,
    settings: Settings,
    generator: torch.Generator,
) -> dict[str, float]:
    """Some epochs of clipped updates on one experience.

    Args:
        evaluate: The policy that moves.
        optimizer: Holds its parameters.
        experience: From the policy as it is now: the first minibatch's ratio is exactly 1.
        beta: Weight of the divergence from the reference in the reward.
        settings: Of the update.
        generator: Orders the minibatches.

    Returns:
        Means over all minibatches, and of the first one `first_ratio`, the largest |ρ − 1|.
    """
    mask = experience.mask
    rewards = token_rewards(experience.scores, experience.logprobs - experience.reference, mask, beta)
    advantages, returns = gae(rewards, experience.values, mask, gamma=settings.gamma, lam=settings.lam)
    advantages = whiten(advantages, mask)
    logged: list[dict[str, float]] = []
    for rows in minibatches(len(mask), settings, generator):
        now = evaluate(rows)
        old, chosen = experience.logprobs[rows], mask[rows]
        surrogate, clipped = policy_loss(now.logprobs, old, advantages[rows], chosen, settings.clip)
        error = value_loss(now.values, experience.values[rows], returns[rows], chosen, settings.value_clip)
        entropy = masked_mean(now.entropy, chosen)
        loss = surrogate + settings.value_weight * error - settings.entropy_weight * entropy
        norm = optim.step(optimizer, loss, max_norm=settings.max_norm)
        moved = torch.where(chosen, now.logprobs.detach() - old, 0)
        logged.append(
            {
                "policy_loss": surrogate.item(),
                "value_loss": error.item(),
                "entropy": entropy.item(),
                "clip_fraction": clipped.item(),
                "approx_kl": masked_mean(k3(old, old + moved), chosen).item(),
                "grad_norm": norm,
                "ratio": moved.exp().sub(1).abs().max().item(),
            }
        )
    means = {name: sum(each[name] for each in logged) / len(logged) for name in logged[0] if name != "ratio"}
    return {**means, "first_ratio": logged[0]["ratio"]}


def minibatches(sequences: int, settings: Settings, generator: torch.Generator) -> Iterator[Int[Tensor, " n"]]:
    """Row numbers, every sequence once an epoch, in an order of its own each time."""
    for _ in range(settings.epochs):
        yield from torch.randperm(sequences, generator=generator).split(settings.minibatch)
