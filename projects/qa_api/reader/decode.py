"""From scores of tokens to an answer: the best pair that is a span of the document, against the best "not in here".

w windows · t tokens
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from projects.qa_api.reader.windows import Windows, windows

LONGEST_ANSWER = 40  # tokens


@runtime_checkable
class Scores(Protocol):
    """A reader, whatever computes it: two numbers a token, for windows of its tokenizer."""

    tokenizer: Any

    def __call__(self, ids: Int[Tensor, "w t"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t 2"]:
        """How well an answer begins and ends at each token."""


@dataclass(frozen=True)
class Span:
    """The best answer of a document.

    Attributes:
        start: Offset in the document's text; `stop` is behind its end. Equal where no token can be an answer.
        score: First plus last token of the pair.
        null: Score of "not in here": the least over the document's windows, since an answer may stand in any of them.
    """

    start: int
    stop: int
    score: float
    null: float

    @property
    def margin(self) -> float:
        """How much better the span is than none."""
        return self.score - self.null


def best_pair(
    scores: Float[Tensor, "t 2"], allowed: Bool[Tensor, " t"], longest: int = LONGEST_ANSWER
) -> tuple[int, int, float]:
    """First and last token (first ≤ last < first + longest, both allowed) with the largest sum, and the sum; of equal
    sums the earliest. (0, 0, −∞) if none is allowed.
    """
    t = len(scores)
    first = scores[:, 0].masked_fill(~allowed, -torch.inf)
    last = scores[:, 1].masked_fill(~allowed, -torch.inf)
    pairs = first[:, None] + last[None, :]
    ahead = torch.arange(t)[None, :] - torch.arange(t)[:, None]
    pairs = pairs.masked_fill((ahead < 0) | (ahead >= longest), -torch.inf)
    at = int(pairs.argmax())
    value = float(pairs.flatten()[at])
    return (at // t, at % t, value) if value > -torch.inf else (0, 0, -float("inf"))


def decode(scores: Float[Tensor, "w t 2"], found: Windows, pairs: int) -> list[Span]:
    """The best span of each pair of question and document, over all its windows."""
    best = [Span(0, 0, -float("inf"), float("inf")) for _ in range(pairs)]
    for row, owner in enumerate(found.owner):
        null = float(scores[row, 0].sum())
        first, last, score = best_pair(scores[row], found.context[row])
        before = best[owner]
        place = (found.offsets[row][first][0], found.offsets[row][last][1])
        kept = (*place, score) if score > before.score else (before.start, before.stop, before.score)
        best[owner] = Span(*kept, min(null, before.null))
    return best


def trimmed(text: str, span: Span) -> tuple[int, int]:
    """Offsets of a span without white space and lone punctuation around it."""
    start, stop = span.start, span.stop
    while start < stop and (text[start].isspace() or text[start] in "«»“”\"'(,;:."):
        start += 1
    while stop > start and (text[stop - 1].isspace() or text[stop - 1] in "«»“”\"'(,;:."):
        stop -= 1
    return start, stop


def read(reader: Scores, pairs: Sequence[tuple[str, str]], batch: int = 16) -> list[Span]:
    """The best spans of pairs of question and text, without learning from them."""
    if not pairs:
        return []
    found = windows(reader.tokenizer, pairs)
    order = sorted(range(len(found.owner)), key=lambda row: int(found.mask[row].sum()))
    scores = torch.full((len(order), found.ids.shape[1], 2), -torch.inf)
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            own = found.rows(rows)
            scores[rows, : own.ids.shape[1]] = reader(own.ids, own.mask)
    return decode(scores, found, len(pairs))
