"""What a policy is worth on prompts it was not trained on: proxy and gold reward, divergence, diversity."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from projects.rlhf_ppo.models.gold_reward import GoldReward
from projects.rlhf_ppo.models.policy import Policy
from projects.rlhf_ppo.rollout import PromptBatch, Reward
from shared.progress import track

AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Responses to held-out prompts, one a prompt, and what is measured of each.

    Attributes:
        proxy: The reward model's opinion.
        gold: The judge's.
        kl: Exact divergence from the reference along the response, in nats.
        words: Length of the response.
    """

    responses: list[str]
    proxy: list[float]
    gold: list[float]
    kl: list[float]
    words: list[int]

    def means(self, prefix: str) -> dict[str, float]:
        """Means over the prompts, under names to log."""
        return {
            f"{prefix}_gold": fmean(self.gold),
            f"{prefix}_proxy": fmean(self.proxy),
            f"{prefix}_kl": fmean(self.kl),
            f"{prefix}_distinct_2": distinct(self.responses, 2),
            f"{prefix}_words": fmean(self.words),
        }


def distinct(texts: Sequence[str], size: int) -> float:
    """Distinct runs of `size` words over all runs, in all texts together.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5 (there over
    words; here over runs, so that 1 means that nothing repeats).
    """
    runs = [tuple(words[i : i + size]) for words in map(str.split, texts) for i in range(len(words) - size + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def evaluate(
    policy: Policy,
    tokenizer: object,
    prompts: Sequence[str],
    reward_model: Reward,
    judge: GoldReward,
    *,
    tokens: int,
    seed: int,
) -> Scores:
    """Sample one response a prompt, from generators of its own: training goes on as if nobody had asked.

    Args:
        tokens: Longest response.
        seed: Seed of the sampling; two policies that are compared share it.
    """
    responses: list[str] = []
    kl: list[float] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        starts = range(0, len(prompts), AT_ONCE)
        for start in track(starts, description="held-out prompts", total=len(starts)):
            batch = PromptBatch(tokenizer, list(prompts[start : start + AT_ONCE]))
            sequences = policy.sample(batch.input_ids, batch.attention_mask, tokens=tokens)
            responses += batch.decode(sequences)
            kl += torch.where(sequences.response_mask, policy.exact_kl(sequences), 0).sum(1).tolist()
    texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    return Scores(
        responses=responses,
        proxy=reward_model(texts).tolist(),
        gold=judge(prompts, responses).total.tolist(),
        kl=kl,
        words=[len(response.split()) for response in responses],
    )
