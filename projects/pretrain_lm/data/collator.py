"""Chunks to training batches: the causal shift, and masking, drawn anew at each visit or fixed for a chunk for ever."""

# b chunks · t time

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shared.errors import UserError
from shared.seeding import generator

Objective = Literal["causal", "dynamic", "static"]
NO_LABEL = -100
MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stay as they are (Devlin et al. 2019, §3.1)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document.

    Attributes:
        id: The same for the same piece in every epoch, order and worker.
        ids: Tokens, at most a context.
        words: For each token the number of the word it belongs to, for whole-word masking; else None.
    """

    id: int
    ids: list[int]
    words: list[int] | None = None


@dataclass(frozen=True)
class Batch:
    """What the model is trained on.

    Attributes:
        ids: What it reads.
        labels: What it is to say at each place; NO_LABEL where it is not asked.
        readable: False on padding; None where there is none.
    """

    ids: Int[Tensor, "b t"]
    labels: Int[Tensor, "b t"]
    readable: Bool[Tensor, "b t"] | None

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        readable = None if self.readable is None else self.readable.to(device)
        return Batch(self.ids.to(device), self.labels.to(device), readable)


class CustomDataCollator:
    """Pads chunks and makes labels.

    causal: the label of a place is the next token. dynamic: each visit of a chunk draws a new mask, from (seed, epoch,
    chunk). static: the mask is drawn from (seed, chunk) alone, so a chunk keeps it for ever, whatever the order, the
    batch or the worker. Neither draws from a global generator: two workers never repeat each other's masks.

    Source: Devlin et al. 2019, §3.1 (80/10/10); Liu et al. 2019, "RoBERTa", §4.1 (static against dynamic).

    Args:
        objective: See above.
        vocabulary: Number of token ids; random replacements are drawn from all but the special ones.
        padding: Id that fills short chunks.
        mask: Id of the mask token; causal needs none.
        special: Ids that are never chosen (padding, end, mask).
        ratio: Share of the other tokens that is chosen, in (0, 1).
        whole_words: Choose words and mask all of their tokens.
        seed: Of all masks.

    Raises:
        UserError: If the ratio is out of range or there is no mask token to use.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        vocabulary: int,
        padding: int,
        mask: int | None = None,
        special: Sequence[int] = (),
        ratio: float = 0.15,
        whole_words: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0 < ratio < 1:
            raise UserError(f"mask ratio {ratio}: must be in (0, 1)")
        if objective != "causal" and mask is None:
            raise UserError(f"the {objective} objective needs a mask token, and the tokenizer has none")
        self.objective, self.padding, self.mask = objective, padding, mask
        self.ratio, self.whole_words, self.seed = ratio, whole_words, seed
        self.special = torch.tensor(sorted({*special, padding, *([] if mask is None else [mask])}))
        ordinary = torch.ones(vocabulary, dtype=torch.bool)
        ordinary[self.special] = False
        self.ordinary = ordinary.nonzero()[:, 0]
        self.epoch = 0

    def __call__(self, chunks: Sequence[Chunk]) -> Batch:
        """A batch of the chunks; they are not changed."""
        longest = max(len(chunk.ids) for chunk in chunks)
        ids = torch.full((len(chunks), longest), self.padding)
        real = torch.zeros(len(chunks), longest, dtype=torch.bool)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk.ids)] = torch.tensor(chunk.ids)
            real[row, : len(chunk.ids)] = True
        readable = None if real.all() else real
        if self.objective == "causal":
            return Batch(ids, self.shifted(ids, real), readable)
        labels = torch.full_like(ids, NO_LABEL)
        for row, chunk in enumerate(chunks):
            read, said = self.masked(chunk)
            ids[row, : len(read)], labels[row, : len(said)] = read, said
        return Batch(ids, labels, readable)

    def shifted(self, ids: Int[Tensor, "b t"], real: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
        """The next token at each place; none at the last real one."""
        labels = torch.full_like(ids, NO_LABEL)
        labels[:, :-1] = torch.where(real[:, 1:], ids[:, 1:], NO_LABEL)
        return labels

    def masked(self, chunk: Chunk) -> tuple[Int[Tensor, " t"], Int[Tensor, " t"]]:
        """What is read of a chunk, and what is to be said."""
        assert self.mask is not None, "only the causal objective does without"
        draw = self.stream(chunk.id)
        ids = torch.tensor(chunk.ids)
        chosen = self.choose(chunk, ids, draw)
        labels = torch.where(chosen, ids, NO_LABEL)
        fate = torch.rand(len(ids), generator=draw)
        others = self.ordinary[torch.randint(len(self.ordinary), (len(ids),), generator=draw)]
        read = torch.where(chosen & (fate < MASKED), self.mask, ids)
        read = torch.where(chosen & (fate >= MASKED) & (fate < MASKED + RANDOM), others, read)
        return read, labels

    def choose(self, chunk: Chunk, ids: Int[Tensor, " t"], draw: torch.Generator) -> Bool[Tensor, " t"]:
        """Each ordinary token, or each word, with the ratio's probability; at least one if there is one."""
        ordinary = ~torch.isin(ids, self.special)
        if self.whole_words:
            if chunk.words is None:
                raise UserError(f"chunk {chunk.id} does not say where its words begin: whole words cannot be masked")
            words = torch.tensor(chunk.words)
        else:
            words = torch.arange(len(ids))
        lots = torch.rand(int(words.max()) + 1 if len(words) else 0, generator=draw)
        chosen = (lots < self.ratio)[words] & ordinary
        if not chosen.any() and ordinary.any():
            luckiest = words[ordinary][lots[words[ordinary]].argmin()]
            chosen = (words == luckiest) & ordinary
        return chosen

    def stream(self, chunk: int) -> torch.Generator:
        """Random numbers of a chunk: for ever the same, or others in each epoch."""
        if self.objective == "static":
            return generator(self.seed, chunk, 1)
        return generator(self.seed, chunk, 2, self.epoch + 1)


def word_numbers(starts: Sequence[bool]) -> list[int]:
    """Number of the word that each token belongs to, from where words begin.

    >>> word_numbers([True, False, True, True, False])
    [0, 0, 1, 2, 2]
    """
    return (np.cumsum(np.asarray(starts, dtype=np.int64)) - int(bool(starts) and starts[0])).tolist()
