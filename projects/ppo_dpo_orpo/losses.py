"""The losses of three ways to learn from preferences, as pure functions of log-probabilities.

Nothing here knows a language model: every oracle of the tests feeds these functions numbers of its own.

DPO sums the log-probability of a response over its tokens; ORPO takes the mean. The two are named apart, `sum` and
`mean`, since mixing them up is a silent and common error.
"""

# b pairs or sequences · t tokens

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from shared.errors import UserError

EPS = 1e-6
"""A mean log-probability is held at most at −EPS: at 0 the odds are infinite, and the gradient of them NaN."""
LN_HALF = -0.6931471805599453


def masked_sum(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Sum over each row's real tokens; what stands elsewhere may be anything, even NaN."""
    return torch.where(mask, x, 0).sum(1)


def masked_mean(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over the real tokens of all rows together. An empty mask gives 0."""
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def row_mean(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Mean over each row's own real tokens."""
    return masked_sum(x, mask) / mask.sum(1).clamp(min=1)


# ---------------------------------------------------------------- DPO


def dpo_margin(
    chosen: Float[Tensor, " b"],
    rejected: Float[Tensor, " b"],
    reference_chosen: Float[Tensor, " b"],
    reference_rejected: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """How much more than the reference the policy prefers the chosen response, in nats: h of every DPO loss.

        h = (log π(y_w|x) − log π_ref(y_w|x)) − (log π(y_l|x) − log π_ref(y_l|x))

    Args:
        chosen: log π of the chosen response, SUMMED over its tokens, its end token included; so are the others.

    Source: Rafailov et al. 2023, "Direct Preference Optimization", eq. 5 (its partition function cancels).
    """
    return (chosen - reference_chosen) - (rejected - reference_rejected)


def dpo_loss(margin: Float[Tensor, " b"], *, beta: float, wrong: float = 0.0) -> Float[Tensor, " b"]:
    """−log σ(β h) of each pair; with `wrong` above 0 the conservative form, a mixture of both orders.

        L = −(1 − ε) log σ(β h) − ε log σ(−β h)

    Args:
        beta: β of the KL-constrained objective: the larger, the closer to the reference.
        wrong: ε, the share of pairs that are believed to be in the wrong order; in [0, ½).

    Source: Rafailov et al. 2023, eq. 7; Mitchell 2023, "A note on DPO with noisy preferences", eq. 3.
    """
    right = F.logsigmoid(beta * margin)
    return -(1 - wrong) * right - wrong * F.logsigmoid(-beta * margin) if wrong else -right


def ipo_loss(margin: Float[Tensor, " b"], *, beta: float) -> Float[Tensor, " b"]:
    """(h − 1/(2β))²: the margin is to be a number, and not ever larger.

    Source: Azar et al. 2024, "A General Theoretical Paradigm to Understand Learning from Human Preferences", eq. 17
    (its τ is β here). The margin is that of summed log-probabilities, as there; TRL divides by the length.
    """
    return (margin - 1 / (2 * beta)) ** 2


# ---------------------------------------------------------------- ORPO


def log1mexp(x: Float[Tensor, " *b"]) -> Float[Tensor, " *b"]:
    """Logarithm of 1 − e^x for x < 0, to full precision near 0 and far from it, with a finite gradient in both.

    The branch that is not taken must be finite too: its gradient is multiplied by 0, and 0 · ∞ is NaN. Held at most at
    −EPS, both are.

    Source: Mächler 2012, "Accurately Computing log(1 − exp(−|a|))", eq. 7.
    """
    x = x.clamp(max=-EPS)
    return torch.where(x > LN_HALF, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def log_odds(mean: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Log odds p/(1 − p) of a response, p being the geometric mean of its tokens' probabilities.

    Args:
        mean: log p, the MEAN over the response's tokens; held at most at −EPS.

    Source: Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model", eq. 4.
    """
    mean = mean.clamp(max=-EPS)
    return mean - log1mexp(mean)


def orpo_ratio_loss(chosen: Float[Tensor, " b"], rejected: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """−log σ(log odds(y_w) − log odds(y_l)) of each pair: the part of ORPO that compares.

    Source: Hong et al. 2024, eq. 7.
    """
    return -F.logsigmoid(log_odds(chosen) - log_odds(rejected))


def orpo_loss(
    chosen: Float[Tensor, " b"], rejected: Float[Tensor, " b"], nll: Float[Tensor, ""], *, weight: float
) -> Float[Tensor, ""]:
    """L_SFT + λ · mean L_OR.

    Args:
        chosen: Mean log-probability of the chosen response over its tokens, and `rejected` likewise.
        nll: Mean negative log-likelihood of the chosen tokens, those of all pairs together (a long response weighs
            more, as in a language model's loss). TRL counts the prompt's tokens too, the paper's text does not.
        weight: λ.

    Source: Hong et al. 2024, eq. 6.
    """
    return nll + weight * orpo_ratio_loss(chosen, rejected).mean()


# ---------------------------------------------------------------- PPO


def ppo_surrogate(
    logprobs: Float[Tensor, "b t"],
    old: Float[Tensor, "b t"],
    advantages: Float[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    *,
    clip: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The clipped surrogate, to be minimised, and the share of tokens on which clipping decided.

        L = −E[min(ρ A, clip(ρ, 1−ε, 1+ε) A)],  ρ = π(a)/π_old(a)

    Source: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", eq. 7.
    """
    ratio = torch.exp(torch.where(mask, logprobs - old, 0))  # padding may hold anything: no infinity may come of it
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return -masked_mean(torch.minimum(free, clipped), mask), masked_mean((clipped < free).float(), mask)


def value_loss(
    values: Float[Tensor, "b t"],
    old: Float[Tensor, "b t"],
    returns: Float[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    *,
    clip: float,
) -> Float[Tensor, ""]:
    """Half the larger of two squared errors: of the value, and of the value held within ± clip of the old one.

    Source: Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO", detail 8.
    """
    held = old + (values - old).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (held - returns) ** 2), mask)


def token_rewards(
    scores: Float[Tensor, " b"], kl: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], *, beta: float
) -> Float[Tensor, "b t"]:
    """−β·(log π − log π_ref) on each token, and the sequence's score on its last one.

    Raises:
        UserError: If a response has no token, or a score is not finite: before anything is updated by it.

    Source: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", eq. 2.
    """
    lengths = mask.sum(1)
    if (lengths == 0).any():
        raise UserError("a response without a token cannot be rewarded: training stopped")
    if not torch.isfinite(scores).all():
        raise UserError(f"a reward is {scores[~torch.isfinite(scores)][0].item()}: training stopped before it was used")
    rewards = torch.where(mask, -beta * kl, 0)
    last = (torch.arange(mask.shape[1]) * mask).amax(1)  # the mask need not begin at the first column
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def gae(
    rewards: Float[Tensor, "b t"], values: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], *, gamma: float, lam: float
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """Generalised advantages and the returns that values are fitted to, 0 outside the mask.

        δ_t = r_t + γ V_{t+1} − V_t        A_t = δ_t + γλ A_{t+1}        R_t = A_t + V_t

    A response ends with its last token: the value behind it is 0, whether it ended by itself or was cut. The tokens of
    a row's mask stand together.

    Source: Schulman et al. 2016, "High-Dimensional Continuous Control Using GAE", eq. 16.
    """
    values, rewards = torch.where(mask, values, 0), torch.where(mask, rewards, 0)
    advantages = torch.zeros_like(rewards)
    next_advantage = torch.zeros_like(rewards[:, 0])  # A_{t+1}
    next_value = torch.zeros_like(next_advantage)  # V_{t+1}
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(mask[:, t], delta + gamma * lam * next_advantage, 0)
        advantages[:, t], next_value = next_advantage, values[:, t]
    return advantages, advantages + values


def whiten(x: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Shift and scale to mean 0 and variance 1 over the mask; 0 elsewhere."""
    centred = x - masked_mean(x, mask)
    return torch.where(mask, centred * torch.rsqrt(masked_mean(centred**2, mask) + 1e-8), 0)


def k3(logprobs: Float[Tensor, "b t"], other: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Unbiased estimate of KL(π‖other) from tokens of π, never negative: e^d − 1 − d with d = log other − log π.

    Source: Schulman 2020, "Approximating KL Divergence".
    """
    difference = other - logprobs
    return torch.expm1(difference) - difference
