"""A question and a document as windows that a reader can take, with where each token stands in the document.

w windows · t tokens
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

TOKENS = 192
STRIDE = 64
MOST_WINDOWS = 24
MOST_QUESTION = 48
"""Tokens of a question; the rest is cut."""
OUTSIDE = (-1, -1)


@dataclass(frozen=True)
class Windows:
    """Windows of pairs of question and document, padded to one length.

    Attributes:
        ids: (w, t).
        mask: What is no padding.
        context: Tokens of the document: only these can be in an answer.
        offsets: Place of each token in its document's text, OUTSIDE for others.
        owner: Which pair a window belongs to.
    """

    ids: Int[Tensor, "w t"]
    mask: Bool[Tensor, "w t"]
    context: Bool[Tensor, "w t"]
    offsets: list[list[tuple[int, int]]]
    owner: list[int]

    def rows(self, at: Sequence[int]) -> "Windows":
        """Some of the windows, cut to the longest of them."""
        index = torch.tensor(list(at))
        length = int(self.mask[index].sum(1).max()) if len(at) else 0
        return Windows(self.ids[index, :length], self.mask[index, :length], self.context[index, :length],
                       [self.offsets[each][:length] for each in at], [self.owner[each] for each in at])  # fmt: skip


def windows(tokenizer: Any, pairs: Sequence[tuple[str, str]], *, tokens: int = TOKENS, stride: int = STRIDE) -> Windows:
    """Cut documents into overlapping windows behind their questions; no token is left out of all of them.

    Args:
        pairs: (question, text of the document).
        tokens: Length of a window, question and marks included.
        stride: Tokens of a document that two windows share.
    """
    questions = [_cut(tokenizer, question) for question, _ in pairs]
    told = tokenizer(questions, [text for _, text in pairs], truncation="only_second", max_length=tokens, stride=stride,
                     return_overflowing_tokens=True, return_offsets_mapping=True, padding=True)  # fmt: skip
    kept, seen = [], dict.fromkeys(range(len(pairs)), 0)
    for row, owner in enumerate(told["overflow_to_sample_mapping"]):
        seen[owner] += 1
        if seen[owner] <= MOST_WINDOWS:
            kept.append(row)
    inside = [[part == 1 for part in told.sequence_ids(row)] for row in kept]
    offsets = [
        [tuple(place) if ours else OUTSIDE for place, ours in zip(told["offset_mapping"][row], own, strict=True)]
        for row, own in zip(kept, inside, strict=True)
    ]
    return Windows(
        torch.tensor([told["input_ids"][row] for row in kept]),
        torch.tensor([told["attention_mask"][row] for row in kept], dtype=torch.bool),
        torch.tensor(inside),
        offsets,
        [told["overflow_to_sample_mapping"][row] for row in kept],
    )


def _cut(tokenizer: Any, question: str) -> str:
    """A question of at most MOST_QUESTION tokens, so that a document always has room."""
    told = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
    places = told["offset_mapping"]
    return question if len(places) <= MOST_QUESTION else question[: places[MOST_QUESTION - 1][1]]


def targets(found: Windows, answers: Sequence[tuple[int, int] | None]) -> Int[Tensor, "w 2"]:
    """First and last token of each window's answer; 0, the mark at the beginning, where the window lacks it.

    Args:
        answers: Offsets in each pair's document, or None.
    """
    wanted = torch.zeros(len(found.owner), 2, dtype=torch.long)
    for row, owner in enumerate(found.owner):
        answer = answers[owner]
        if answer is None:
            continue
        start, stop = answer
        inside = [
            at
            for at, place in enumerate(found.offsets[row])
            if place != OUTSIDE and place[1] > start and place[0] < stop
        ]
        whole = inside and found.offsets[row][inside[0]][0] <= start and found.offsets[row][inside[-1]][1] >= stop
        if whole:
            wanted[row, 0], wanted[row, 1] = inside[0], inside[-1]
    return wanted
