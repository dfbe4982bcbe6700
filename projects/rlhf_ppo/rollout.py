"""One round of sampling: prompts to responses, their rewards, and all that the update needs to know of them."""

# b sequences · p prompt tokens · t response tokens

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from projects.rlhf_ppo.models.policy import Policy, Sequences, end_tokens, sample
from projects.rlhf_ppo.rl.ppo import Rollout
from shared.errors import UserError
from shared.seeding import generator

Reward = Callable[[Sequence[str]], Float[Tensor, " b"]]
"""Texts, prompt and response together → rewards. Any function will do."""


class PromptBatch:
    """Prompts and their tokens, padded on the left; attention_mask is 1 on real tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, texts: list[str]):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        self.tokenizer = tokenizer
        self.texts = texts
        self.input_ids: Int[Tensor, "b p"] = batch["input_ids"]
        self.attention_mask: Int[Tensor, "b p"] = batch["attention_mask"]

    def decode(self, sequences: Sequences) -> list[str]:
        """The responses as texts, without the end token."""
        rows = zip(sequences.responses, sequences.response_mask, strict=True)
        return [self.tokenizer.decode(row[real], skip_special_tokens=True) for row, real in rows]


def respond(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    tokens: int,
    temperature: float,
) -> list[str]:
    """A response of the bare model to each prompt, sampled in one batch."""
    batch = PromptBatch(tokenizer, list(prompts))
    ends = end_tokens(tokenizer)
    sequences = sample(model, batch.input_ids, batch.attention_mask, tokens=tokens, temperature=temperature, ends=ends)
    return batch.decode(sequences)


def prompt_batches(prompts: Sequence[str], size: int, seed: int, start: int) -> Iterator[list[str]]:
    """Batches without end from the `start`-th on, every prompt once a pass, in an order that (seed, pass) decides."""
    each = len(prompts) // size
    number = start
    while True:
        order = torch.randperm(len(prompts), generator=generator(seed, number // each)).tolist()
        first = number % each * size
        yield [prompts[row] for row in order[first : first + size]]
        number += 1


@dataclass(frozen=True, kw_only=True)
class TextRollout(Rollout):
    """A rollout of a language model.

    Attributes:
        sequences: Prompts and responses as tokens.
        responses: The responses as texts.
        seconds_scoring: Time that reward, reference, log-probabilities and values took.
    """

    sequences: Sequences
    responses: list[str]
    seconds_sampling: float
    seconds_scoring: float


def collect_rollout(
    policy: Policy, prompts: PromptBatch, reward: Reward, *, tokens: int, minibatch: int
) -> TextRollout:
    """Sample once, then evaluate by the forward pass of the update, in minibatches of its size: its first ratio is 1.

    Raises:
        UserError: If a reward is NaN or infinite: nothing has been updated by it.
    """
    started = time.perf_counter()
    sequences = policy.sample(prompts.input_ids, prompts.attention_mask, tokens=tokens)
    sampled = time.perf_counter()
    responses = prompts.decode(sequences)
    scores = finite_rewards(reward, prompts.texts, responses)
    parts = [sequences.rows(rows) for rows in torch.arange(len(responses)).split(minibatch)]
    with torch.no_grad():
        evaluated = [policy(part) for part in parts]
    return TextRollout(
        mask=sequences.response_mask,
        logprobs=torch.cat([each.logprobs for each in evaluated]),
        reference=torch.cat([policy.reference_logprobs(part) for part in parts]),
        values=torch.cat([each.values for each in evaluated]),
        scores=scores,
        sequences=sequences,
        responses=responses,
        seconds_sampling=sampled - started,
        seconds_scoring=time.perf_counter() - sampled,
    )


def finite_rewards(reward: Reward, prompts: Sequence[str], responses: Sequence[str]) -> Float[Tensor, " b"]:
    """The reward of each prompt with its response.

    Raises:
        UserError: If one is NaN or infinite.
    """
    scores = reward([prompt + response for prompt, response in zip(prompts, responses, strict=True)])
    for response, score in zip(responses, scores.tolist(), strict=True):
        if not math.isfinite(score):
            raise UserError(f"the reward of {response!r} is {score}: training stopped before it was used")
    return scores
