"""One round of sampling: prompts to responses, their rewards, and all that the update needs to know of them."""

# b sequences · p prompt tokens · t response tokens

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from projects.rlhf_ppo.models.policy import Policy, Sequences
from projects.rlhf_ppo.rl.ppo import Experience
from shared.errors import UserError
from shared.seeding import generator

Reward = Callable[[Sequence[str]], Float[Tensor, " b"]]
"""Texts, prompt and response together → rewards. Any function will do."""


class Prompts:
    """A batch of prompts, padded on the left.

    Attributes:
        texts: As they were given.
        ids: Tokens.
        attention: 1 on real tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, texts: list[str]):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        self.tokenizer = tokenizer
        self.texts = texts
        self.ids: Int[Tensor, "b p"] = batch["input_ids"]
        self.attention: Int[Tensor, "b p"] = batch["attention_mask"]

    def decode(self, sequences: Sequences) -> list[str]:
        """The responses as texts, without the end token."""
        rows = zip(sequences.responses, sequences.mask, strict=True)
        return [self.tokenizer.decode(row[real], skip_special_tokens=True) for row, real in rows]


def prompt_batches(prompts: Sequence[str], size: int, seed: int, start: int) -> Iterator[list[str]]:
    """Batches without end from the `start`-th on, every prompt once a pass, in an order that (seed, pass) decides."""
    each = len(prompts) // size
    number = start
    while True:
        order = torch.randperm(len(prompts), generator=generator(seed, number // each)).tolist()
        first = number % each * size
        yield [prompts[row] for row in order[first : first + size]]
        number += 1


@dataclass(frozen=True)
class Round:
    """What one round of sampling gave.

    Attributes:
        sequences: Prompts and responses.
        responses: The responses as texts.
        experience: For the update.
        seconds: Spent on sampling, and on scoring (reward, reference, log-probabilities and values).
    """

    sequences: Sequences
    responses: list[str]
    experience: Experience
    seconds: tuple[float, float]


def play(policy: Policy, prompts: Prompts, reward: Reward, *, tokens: int, size: int) -> Round:
    """Sample once, then evaluate by the forward pass of the update, `size` rows at a time: its first ratio is 1.

    Raises:
        UserError: If a reward is NaN or infinite: nothing has been updated by it.
    """
    started = time.perf_counter()
    sequences = policy.sample(prompts.ids, prompts.attention, tokens=tokens)
    sampled = time.perf_counter()
    responses = prompts.decode(sequences)
    scores = reward([prompt + response for prompt, response in zip(prompts.texts, responses, strict=True)])
    for response, score in zip(responses, scores.tolist(), strict=True):
        if not math.isfinite(score):
            raise UserError(f"the reward of {response!r} is {score}: training stopped before it was used")
    parts = [sequences.rows(rows) for rows in torch.arange(len(responses)).split(size)]
    with torch.no_grad():
        seen = [policy(part) for part in parts]
    experience = Experience(
        mask=sequences.mask,
        logprobs=torch.cat([each.logprobs for each in seen]),
        reference=torch.cat([policy.reference(part) for part in parts]),
        values=torch.cat([each.values for each in seen]),
        scores=scores,
    )
    return Round(sequences, responses, experience, (sampled - started, time.perf_counter() - sampled))
