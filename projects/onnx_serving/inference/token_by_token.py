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
    """What one row starts from.

    Attributes:
        tokens: At least one.
        limit: New tokens at most.
        sampling: How they are chosen.
    """

    tokens: Sequence[int]
    limit: int = 64
    sampling: Sampling = Sampling()


def left_padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Int[np.ndarray, "b t"], Int[np.ndarray, "b t"]]:
    """Token ids filled on the left, and the mask, which comes from the lengths.

    `ids != padding` would be wrong: a decoder's padding is often its end token, which a prompt may hold.
    """
    longest = max(map(len, rows))
    ids = np.array([[padding] * (longest - len(row)) + list(row) for row in rows], dtype=np.int64)
    mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows], dtype=np.int64)
    return ids, mask


def positions_of(mask: Int[np.ndarray, "b t"]) -> Int[np.ndarray, "b t"]:
    """Place of each token among the row's own: padding does not count (and gets 0, which nothing reads)."""
    return np.maximum(mask.cumsum(axis=1) - 1, 0)


def steps(
    decoder: Decoder,
    prompts: Sequence[Prompt],
    *,
    padding: int,
    ends: Collection[int],
    gone: Callable[[int], bool] = lambda _: False,
) -> Iterator[dict[int, int]]:
    """Each step's new token of every row that is still going: row number → token, the end token included.

    Args:
        decoder: Torch or ONNX.
        prompts: One a row.
        padding: Token id that fills short rows.
        ends: Tokens after which a row ends.
        gone: Asked before each step whether nobody waits for a row any more; it then leaves the batch.
    """
    alive = list(range(len(prompts)))
    choosers = [prompt.sampling.chooser() for prompt in prompts]
    made = [0] * len(prompts)
    ids, mask = left_padded([prompt.tokens for prompt in prompts], padding)
    positions, cache = positions_of(mask), None
    while alive:
        logits, cache = decoder(ids, mask, positions, cache)
        new = {row: choosers[row](logits[place]) for place, row in enumerate(alive)}
        for row in alive:
            made[row] += 1
        yield new
        stays = [
            place
            for place, row in enumerate(alive)
            if new[row] not in ends and made[row] < prompts[row].limit and not gone(row)
        ]
        if 0 < len(stays) < len(alive):
            cache, mask, positions = decoder.keep(cache, stays), mask[stays], positions[stays]
        alive = [alive[place] for place in stays]
        ids = np.array([[new[row]] for row in alive], dtype=np.int64)
        mask = np.concatenate([mask, np.ones((len(mask), 1), np.int64)], axis=1)
        positions = positions[:, -1:] + 1


def generate(decoder: Decoder, prompts: Sequence[Prompt], *, padding: int, ends: Collection[int]) -> list[list[int]]:
    """New tokens of each row, trimmed before its own end token; see `steps`."""
    made: list[list[int]] = [[] for _ in prompts]
    for new in steps(decoder, prompts, padding=padding, ends=ends):
        for row, token in new.items():
            if token not in ends:
                made[row].append(token)
    return made


def generate_without_cache(
    decoder: Decoder, prompts: Sequence[Prompt], *, padding: int, ends: Collection[int]
) -> list[list[int]]:
    """The same by computing every token again at every step: what the cache saves is measured against this."""
    rows = [list(prompt.tokens) for prompt in prompts]
    choosers = [prompt.sampling.chooser() for prompt in prompts]
    alive = list(range(len(prompts)))
    while alive:
        ids, mask = left_padded([rows[row] for row in alive], padding)
        logits, _ = decoder(ids, mask, positions_of(mask), None)
        ended = set()
        for place, row in enumerate(alive):
            token = choosers[row](logits[place])
            rows[row].append(token)
            if token in ends or len(rows[row]) - len(prompts[row].tokens) == prompts[row].limit:
                ended.add(row)
        alive = [row for row in alive if row not in ended]
    new = [row[len(prompt.tokens) :] for row, prompt in zip(rows, prompts, strict=True)]
    return [row[:-1] if row and row[-1] in ends else row for row in new]
