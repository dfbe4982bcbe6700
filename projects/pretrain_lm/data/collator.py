"""Chunks to training batches: the causal shift, and masking, drawn anew in each epoch or once for each chunk."""

# b chunks · t time

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from projects.pretrain_lm.models.transformer_lm import NO_LABEL
from shared.errors import UserError
from shared.seeding import generator

Objective = Literal["causal", "dynamic", "static"]
MASKED, RANDOM = 0.8, 0.1  # of the selected tokens; the rest stay as they are (Devlin et al. 2019, §3.1)


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
    """Inputs and labels of the model.

    Attributes:
        labels: Token to predict at each position; NO_LABEL where there is none.
        attention_mask: False on padding; None where there is none.
    """

    input_ids: Int[Tensor, "b t"]
    labels: Int[Tensor, "b t"]
    attention_mask: Bool[Tensor, "b t"] | None

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return Batch(self.input_ids.to(device), self.labels.to(device), mask)


class CustomDataCollator:
    """Pads chunks and makes labels.

    causal: the label of a position is the next token. dynamic: each epoch draws a new mask for a chunk, from (seed,
    epoch, chunk). static: the mask is drawn from (seed, chunk) alone, so a chunk keeps it for ever, whatever the order,
    the batch or the worker. Neither draws from a global generator: two workers never repeat each other's masks.

    Source: Devlin et al. 2019, §3.1 (80/10/10); Liu et al. 2019, "RoBERTa", §4.1 (static against dynamic).

    Args:
        objective: causal, dynamic or static.
        vocab_size: Random replacements are drawn from all ids but the special ones.
        pad_id: Fills short chunks.
        mask_id: Replaces masked tokens; causal needs none.
        special_ids: Never selected, as are the two above.
        mask_ratio: Share of the other tokens that is selected, in (0, 1).
        whole_words: Select words, and mask all of their tokens.
        epoch: Dynamic masks are drawn anew for each.

    Raises:
        UserError: If the ratio is out of range or there is no mask token to use.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        vocab_size: int,
        pad_id: int,
        mask_id: int | None = None,
        special_ids: Sequence[int] = (),
        mask_ratio: float = 0.15,
        whole_words: bool = False,
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        if not 0 < mask_ratio < 1:
            raise UserError(f"mask ratio {mask_ratio}: must be in (0, 1)")
        if objective != "causal" and mask_id is None:
            raise UserError(f"the {objective} objective needs a mask token, and the tokenizer has none")
        self.objective, self.pad_id, self.mask_id = objective, pad_id, mask_id
        self.mask_ratio, self.whole_words, self.seed, self.epoch = mask_ratio, whole_words, seed, epoch
        self.special_ids = torch.tensor(sorted({*special_ids, pad_id, *([] if mask_id is None else [mask_id])}))
        ordinary = torch.ones(vocab_size, dtype=torch.bool)
        ordinary[self.special_ids] = False
        self.ordinary_ids = ordinary.nonzero()[:, 0]

    def __call__(self, chunks: Sequence[Chunk]) -> Batch:
        """A batch of the chunks; they are not changed."""
        longest = max(len(chunk.ids) for chunk in chunks)
        input_ids = torch.full((len(chunks), longest), self.pad_id)
        mask = torch.zeros(len(chunks), longest, dtype=torch.bool)
        for row, chunk in enumerate(chunks):
            input_ids[row, : len(chunk.ids)] = torch.tensor(chunk.ids)
            mask[row, : len(chunk.ids)] = True
        attention_mask = None if mask.all() else mask
        if self.objective == "causal":
            return Batch(input_ids, causal_labels(input_ids, mask), attention_mask)
        labels = torch.full_like(input_ids, NO_LABEL)
        for row, chunk in enumerate(chunks):
            length = len(chunk.ids)
            input_ids[row, :length], labels[row, :length] = self.masked(chunk)
        return Batch(input_ids, labels, attention_mask)

    def masked(self, chunk: Chunk) -> tuple[Int[Tensor, " t"], Int[Tensor, " t"]]:
        """Input ids and labels of a chunk after masking."""
        assert self.mask_id is not None, "only the causal objective does without"
        random = self.generator(chunk.id)
        ids = torch.tensor(chunk.ids)
        selected = self.select(chunk, ids, random)
        labels = torch.where(selected, ids, NO_LABEL)
        kind = torch.rand(len(ids), generator=random)
        replacements = self.ordinary_ids[torch.randint(len(self.ordinary_ids), (len(ids),), generator=random)]
        input_ids = torch.where(selected & (kind < MASKED), self.mask_id, ids)
        input_ids = torch.where(selected & (kind >= MASKED) & (kind < MASKED + RANDOM), replacements, input_ids)
        return input_ids, labels

    def select(self, chunk: Chunk, ids: Int[Tensor, " t"], random: torch.Generator) -> Bool[Tensor, " t"]:
        """Each ordinary token, or each word, with the ratio's probability; at least one if there is one."""
        ordinary = ~torch.isin(ids, self.special_ids)
        if self.whole_words:
            if chunk.words is None:
                raise UserError(f"chunk {chunk.id} does not say where its words begin: whole words cannot be masked")
            words = torch.tensor(chunk.words)
        else:
            words = torch.arange(len(ids))
        draws = torch.rand(int(words.max()) + 1 if len(words) else 0, generator=random)
        selected = (draws < self.mask_ratio)[words] & ordinary
        if not selected.any() and ordinary.any():
            smallest = words[ordinary][draws[words[ordinary]].argmin()]
            selected = (words == smallest) & ordinary
        return selected

    def generator(self, chunk: int) -> torch.Generator:
        """Random numbers of a chunk: always the same, or others in each epoch."""
        if self.objective == "static":
            return generator(self.seed, chunk, 1)
        return generator(self.seed, chunk, 2, self.epoch + 1)


def causal_labels(input_ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """The next token at each position; none at the last one that is no padding."""
    labels = torch.full_like(input_ids, NO_LABEL)
    labels[:, :-1] = torch.where(mask[:, 1:], input_ids[:, 1:], NO_LABEL)
    return labels


def word_numbers(starts: Sequence[bool]) -> list[int]:
    """Number of the word that each token belongs to, from where words begin.

    >>> word_numbers([True, False, True, True, False])
    [0, 0, 1, 2, 2]
    """
    return (np.cumsum(np.asarray(starts, dtype=np.int64)) - int(bool(starts) and starts[0])).tolist()
