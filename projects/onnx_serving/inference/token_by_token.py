"""Token by token with the cache: rows of any lengths go together, padded on the left, each until its own end.

A row that has ended leaves the batch at once, so that nobody pays for its padding.
"""

# b rows · t tokens

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from projects.onnx_serving.inference.backends import Decoder
from projects.onnx_serving.inference.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Tokens that a row starts from, how many more it may get, and how each is chosen."""

    token_ids: Sequence[int]
    max_new_tokens: int = 64
    sampling: Sampling = Sampling()


def left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Int[np.ndarray, "b t"], Int[np.ndarray, "b t"]]:
    """Token ids filled on the left, and the attention mask, which comes from the lengths.

    `ids != pad_id` would be wrong: a decoder's padding is often its end token, which a prompt may hold.
    """
    longest = max(map(len, rows))
    ids = np.array([[pad_id] * (longest - len(row)) + list(row) for row in rows], dtype=np.int64)
    mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows], dtype=np.int64)
    return ids, mask


def position_ids_of(attention_mask: Int[np.ndarray, "b t"]) -> Int[np.ndarray, "b t"]:
    """Position of each token among the row's own: padding does not count (and gets 0, which nothing attends to)."""
    return np.maximum(attention_mask.cumsum(axis=1) - 1, 0)


def decode_steps(
    decoder: Decoder,
    prompts: Sequence[Prompt],
    *,
    pad_id: int,
    eos_ids: Collection[int],
    cancelled: Callable[[int], bool] = lambda _: False,
) -> Iterator[dict[int, int]]:
    """The new token of every active row, step by step: row number → token, the end token included.

    Args:
        decoder: Torch or ONNX.
        prompts: One a row.
        pad_id: Fills short rows.
        eos_ids: Tokens after which a row ends.
        cancelled: Asked before each step whether a row has been given up; it then leaves the batch.
    """
    active = list(range(len(prompts)))
    samplers = [prompt.sampling.sampler() for prompt in prompts]
    generated = [0] * len(prompts)
    ids, mask = left_pad([prompt.token_ids for prompt in prompts], pad_id)
    positions, cache = position_ids_of(mask), None
    while active:
        logits, cache = decoder(ids, mask, positions, cache)
        new = {row: samplers[row](logits[place]) for place, row in enumerate(active)}
        for row in active:
            generated[row] += 1
        yield new
        kept = [
            place
            for place, row in enumerate(active)
            if new[row] not in eos_ids and generated[row] < prompts[row].max_new_tokens and not cancelled(row)
        ]
        if 0 < len(kept) < len(active):
            cache, mask, positions = decoder.select_rows(cache, kept), mask[kept], positions[kept]
        active = [active[place] for place in kept]
        ids = np.array([[new[row]] for row in active], dtype=np.int64)
        mask = np.concatenate([mask, np.ones((len(mask), 1), np.int64)], axis=1)
        positions = positions[:, -1:] + 1


def generate(decoder: Decoder, prompts: Sequence[Prompt], *, pad_id: int, eos_ids: Collection[int]) -> list[list[int]]:
    """New tokens of each row, trimmed before its own end token."""
    generated: list[list[int]] = [[] for _ in prompts]
    for new in decode_steps(decoder, prompts, pad_id=pad_id, eos_ids=eos_ids):
        for row, token in new.items():
            if token not in eos_ids:
                generated[row].append(token)
    return generated


def generate_without_cache(
    decoder: Decoder, prompts: Sequence[Prompt], *, pad_id: int, eos_ids: Collection[int]
) -> list[list[int]]:
    """The same, computing every token again at every step: what the cache saves is measured against this."""
    rows = [list(prompt.token_ids) for prompt in prompts]
    samplers = [prompt.sampling.sampler() for prompt in prompts]
    active = list(range(len(prompts)))
    while active:
        ids, mask = left_pad([rows[row] for row in active], pad_id)
        logits, _ = decoder(ids, mask, position_ids_of(mask), None)
        ended = set()
        for place, row in enumerate(active):
            token = samplers[row](logits[place])
            rows[row].append(token)
            if token in eos_ids or len(rows[row]) - len(prompts[row].token_ids) == prompts[row].max_new_tokens:
                ended.add(row)
        active = [row for row in active if row not in ended]
    new = [row[len(prompt.token_ids) :] for row, prompt in zip(rows, prompts, strict=True)]
    return [row[:-1] if row and row[-1] in eos_ids else row for row in new]
