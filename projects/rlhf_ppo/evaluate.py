"""What a policy is worth on prompts it was not trained on: proxy and gold reward, divergence, diversity."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from projects.rlhf_ppo.models.gold_reward import GoldReward
from projects.rlhf_ppo.models.policy import Policy
from projects.rlhf_ppo.rollout import Prompts, Reward
from shared.progress import track

AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Responses to held-out prompts, one a prompt.

    Attributes:
        responses: Texts.
        proxy: The reward model's opinion of each.
        gold: The judge's.
        kl: Exact divergence from the reference along each response, in nats.
        words: Of each response.
    """

    responses: list[str]
    proxy: list[float]
    gold: list[float]
    kl: list[float]
    words: list[int]


def distinct(texts: Sequence[str], size: int) -> float:
    """Distinct runs of `size` words over all runs, in all texts together.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5 (there over
    words; here over runs, so that 1 means that nothing repeats).
    """
    runs = [tuple(words[i : i + size]) for words in map(str.split, texts) for i in range(len(words) - size + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def judge(
    policy: Policy,
    tokenizer: object,
    prompts: Sequence[str],
    reward: Reward,
    gold: GoldReward,
    *,
    tokens: int,
    seed: int,
    reference: bool = False,
) -> Judged:
    """Sample one response a prompt, from generators of its own: training goes on as if nobody had asked.

    Args:
        policy: To be judged.
        tokenizer: Of the policy.
        prompts: Held out.
        reward: The proxy.
        gold: The judge.
        tokens: Of a response, at most.
        seed: Of the sampling; two policies that are compared share it.
        reference: Judge the model without its adapters instead.
    """
    if reference:
        with policy.language.disable_adapter():
            return judge(policy, tokenizer, prompts, reward, gold, tokens=tokens, seed=seed)
    responses: list[str] = []
    kl: list[float] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        starts = range(0, len(prompts), AT_ONCE)
        for start in track(starts, description="held-out prompts", total=len(starts)):
            batch = Prompts(tokenizer, list(prompts[start : start + AT_ONCE]))
            sequences = policy.sample(batch.ids, batch.attention, tokens=tokens)
            responses += batch.decode(sequences)
            kl += torch.where(sequences.mask, policy.exact_kl(sequences), 0).sum(1).tolist()
    texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    return Judged(
        responses=responses,
        proxy=reward(texts).tolist(),
        gold=gold(prompts, responses).total.tolist(),
        kl=kl,
        words=[len(response.split()) for response in responses],
    )
