"""Text generation with a causal model: greedy, by temperature, top-k or top-p; with the cache, a token at a time."""

# b batch · t prompt · n new tokens · v vocabulary

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from projects.pretrain_lm.models.transformer_lm import KVCache, TransformerLM
from shared.errors import UserError

FLOAT32 = torch.finfo(torch.float32)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: Divides the logits; 0 takes the likeliest token, as does what float32 cannot tell from 0.
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


def probabilities(logits: Float[Tensor, "b v"], sampling: Sampling) -> Float[Tensor, "b v"]:
    """Distribution from which the next token is drawn.

    Source: Fan et al. 2018, §5.4 (top-k); Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", §3.1
    (top-p: the smallest set of likeliest tokens whose probability is at least p).
    """
    if sampling.temperature < FLOAT32.tiny:
        return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()
    logits = (logits - logits.amax(1, keepdim=True)) / sampling.temperature  # the largest is 0 and stays finite
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        kth_largest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < kth_largest, -torch.inf)
    probs = logits.softmax(1)
    if sampling.top_p < 1:
        ordered, order = probs.sort(1, descending=True)
        before = ordered.cumsum(1) - ordered  # probability of the likelier ones: a token goes in while it is below p
        probs = torch.zeros_like(probs).scatter(1, order, ordered.masked_fill(before >= sampling.top_p, 0))
        probs = probs / probs.sum(1, keepdim=True)
    return probs


@torch.inference_mode()
def generate(
    model: TransformerLM,
    prompt: Int[Tensor, "b t"],
    *,
    new_tokens: int,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    suppressed: tuple[int, ...] = (),
) -> Int[Tensor, "b n"]:
    """Generate exactly so many tokens behind a prompt.

    When the context is full its older half is forgotten, and the cache is made anew from what is left.

    Args:
        model: Causal.
        prompt: At least one token; of one longer than the context only the end is read.
        new_tokens: How many to generate, n.
        sampling: How each is drawn.
        generator: Random numbers of the drawing.
        suppressed: Tokens that are never generated (an end mark, when a fixed length is wanted).

    Raises:
        UserError: If the model is bidirectional, or the prompt empty.
    """
    if not model.config.causal:
        raise UserError("a bidirectional model fills places and cannot write on: generate needs a causal one")
    if prompt.shape[1] == 0:
        raise UserError("the prompt is empty: give at least one token")
    context_length = model.config.context_length
    ids = prompt
    cache, pending = KVCache.empty(), prompt[:, -context_length:]
    for _ in range(new_tokens):
        if cache.length + pending.shape[1] > context_length:
            cache, pending = KVCache.empty(), ids[:, -context_length // 2 :]
        logits = model(pending, cache=cache)[:, -1]
        logits[:, list(suppressed)] = -torch.inf
        probs = probabilities(logits, sampling)
        pending = torch.multinomial(probs.cpu(), 1, generator=generator).to(prompt.device)  # one stream, any device
        ids = torch.cat([ids, pending], 1)
    return ids[:, prompt.shape[1] :]
