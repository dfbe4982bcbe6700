"""Writing with a causal model: greedy, by temperature, by top-k, by top-p; with the cache, a token at a time."""

# b batch · t prompt · n new tokens · v vocabulary

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from projects.pretrain_lm.models.transformer_lm import Cache, TransformerLM
from shared.errors import UserError

FLOAT32 = torch.finfo(torch.float32)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: Divides the scores; 0 takes the likeliest token, as does what float32 cannot tell from 0.
        top_k: Only so many of the likeliest tokens may be drawn; None means all.
        top_p: Only the likeliest tokens that together reach this probability; 1 means all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what draws nothing."""
        if not 0 <= self.temperature <= FLOAT32.max:
            raise UserError(f"temperature {self.temperature}: must be 0 (greedy) or a positive number of float32")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k {self.top_k}: must be at least 1")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p}: must be in (0, 1]")


def probabilities(scores: Float[Tensor, "b v"], how: Sampling) -> Float[Tensor, "b v"]:
    """What the next token is drawn from.

    Source: Fan et al. 2018, §5.4 (top-k); Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", §3.1
    (top-p: the smallest set of likeliest tokens whose probability is at least p).
    """
    if how.temperature < FLOAT32.tiny:
        return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).float()
    scores = (scores - scores.amax(1, keepdim=True)) / how.temperature  # the largest is 0 and stays finite
    if how.top_k is not None and how.top_k < scores.shape[1]:
        weakest = scores.topk(how.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < weakest, -torch.inf)
    chances = scores.softmax(1)
    if how.top_p < 1:
        ordered, order = chances.sort(1, descending=True)
        before = ordered.cumsum(1) - ordered  # probability of the likelier ones: a token goes in while it is below p
        chances = torch.zeros_like(chances).scatter(1, order, ordered.masked_fill(before >= how.top_p, 0))
        chances = chances / chances.sum(1, keepdim=True)
    return chances


@torch.inference_mode()
def generate(
    model: TransformerLM,
    prompt: Int[Tensor, "b t"],
    *,
    tokens: int,
    how: Sampling,
    generator: torch.Generator | None = None,
    never: tuple[int, ...] = (),
) -> Int[Tensor, "b n"]:
    """New tokens behind a prompt.

    When the context is full its older half is forgotten, and the cache is made anew from what is left.

    Args:
        model: Causal.
        prompt: At least one token; of a longer one than the context the end is read.
        tokens: How many to write, n.
        how: See Sampling.
        generator: Of the drawing.
        never: Tokens that are not to be written (an end mark, when a fixed length is wanted).

    Raises:
        UserError: If the model is bidirectional, or the prompt empty.
    """
    if not model.size.causal:
        raise UserError("a bidirectional model fills places and cannot write on: generate needs a causal one")
    if prompt.shape[1] == 0:
        raise UserError("the prompt is empty: give at least one token")
    context = model.size.context
    written = prompt
    cache, unread = Cache.empty(), prompt[:, -context:]
    for _ in range(tokens):
        if cache.length + unread.shape[1] > context:
            cache, unread = Cache.empty(), written[:, -context // 2 :]
        scores = model(unread, cache=cache)[:, -1]
        scores[:, list(never)] = -torch.inf
        chances = probabilities(scores, how)
        unread = torch.multinomial(chances.cpu(), 1, generator=generator).to(prompt.device)  # one stream, any device
        written = torch.cat([written, unread], 1)
    return written[:, prompt.shape[1] :]
