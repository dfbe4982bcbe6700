"""Interpolated Kneser–Ney with modified discounts: the n-gram model that a neural one has to beat on the same tokens.

An n-gram is one number: the row of its first n − 1 tokens in the table of that order, times the vocabulary, plus its
last token. So a table of any order is a sorted array, and a whole split is scored by one binary search an order.
"""

# p positions of all documents · g different n-grams of one order · h different histories of that order

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from projects.pretrain_lm.data.shards import PIECES, EpochChunks
from projects.pretrain_lm.evaluate import Evaluation
from shared.errors import UserError

FALLBACK = (0.5, 1.0, 1.5)  # discounts where a corpus is too small to estimate them
ABSENT = -1
FIRST_PREDICTED = 1  # place in its document of the first token that is predicted


@dataclass(frozen=True)
class Order:
    """The n-grams of one order.

    Attributes:
        keys: Sorted numbers of the n-grams.
        discounted: Their adjusted counts less the discount, over the sum of their history's adjusted counts.
        backoff: For each history, the weight that the discounts leave for the order below; 1 where nothing follows it.
    """

    keys: Int[np.ndarray, " g"]
    discounted: Float[np.ndarray, " g"]
    backoff: Float[np.ndarray, " h"]


class KneserNey:
    """Probability of the next token, given up to `order` − 1 tokens of the same document.

    A document begins and ends with the end token; the first is given and not predicted. The count of a shorter n-gram
    is the number of different tokens in front of it; one that begins a document, with nothing in front, keeps its
    plain count.

    Source: Kneser and Ney 1995; Chen and Goodman 1999, "An empirical study of smoothing techniques for language
    modeling", §3 (interpolated, three discounts); Heafield et al. 2013, "Scalable modified Kneser-Ney", §3.

    Args:
        documents: Tokens of each, end tokens included.
        vocab_size: Number of token ids.
        order: Longest n-gram, at least 2.

    Raises:
        UserError: If the order is too small or there is nothing to count.
    """

    def __init__(self, documents: Iterable[list[int]], vocab_size: int, order: int = 5) -> None:
        if order < 2:
            raise UserError(f"n-grams of order {order}: must be at least 2")
        self.vocab_size = vocab_size
        tokens, place = flatten(documents)
        if not (place >= FIRST_PREDICTED).any():
            raise UserError("no token to count n-grams of")
        histories, rows = 1, np.zeros(len(tokens), dtype=np.int64)  # before single tokens stands the empty history
        self.orders: list[Order] = []
        below: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # keys, counts, and which begin a document
        for n in range(1, order + 1):
            numbers = (rows if n == 1 else previous(rows)) * vocab_size + tokens
            longer, keys, counts, ends = distinct_ngrams(numbers, place >= n - 1)
            if below is not None:  # that order can be finished: what stands in front of its n-grams is known now
                adjusted = continuation_counts(below[1], below[2], rows[ends])
                self.orders.append(estimate(below[0], adjusted, vocab_size, histories))
                histories = len(below[0])
            below = keys, counts, (place[ends] == n - 1) & (n > 1)
            rows = longer
        self.orders.append(estimate(keys, counts, vocab_size, histories))

    def probabilities(self, documents: Iterable[list[int]]) -> Float[np.ndarray, " p"]:
        """Probability of every token but the first of each document."""
        tokens, place = flatten(documents)
        probs = np.full(len(tokens), 1 / self.vocab_size)
        history = np.zeros(len(tokens), dtype=np.int64)
        for n, order in enumerate(self.orders, start=1):
            known = (history != ABSENT) & (place >= n - 1)
            numbers = np.where(known, history * self.vocab_size + tokens, ABSENT)
            rows = np.minimum(np.searchsorted(order.keys, numbers), len(order.keys) - 1)
            seen = known & (order.keys[rows] == numbers)
            backoff = order.backoff[np.where(known, history, 0)]
            interpolated = np.where(seen, order.discounted[rows], 0.0) + backoff * probs
            probs = np.where(known, interpolated, probs)
            history = previous(np.where(seen, rows, ABSENT))
        return probs[place >= FIRST_PREDICTED]

    def evaluate(self, documents: Iterable[list[int]]) -> Evaluation:
        """Mean cross-entropy in nats over every token but the first of each document."""
        probs = self.probabilities(documents)
        return Evaluation(float(-np.log(probs).mean()), len(probs))


def flatten(documents: Iterable[list[int]]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """(all tokens, the place of each in its document)."""
    arrays = [np.asarray(document, dtype=np.int64) for document in documents]
    empty = [np.empty(0, dtype=np.int64)]
    return np.concatenate(empty + arrays), np.concatenate(empty + [np.arange(len(array)) for array in arrays])


def previous(rows: Int[np.ndarray, " p"]) -> Int[np.ndarray, " p"]:
    """The row of the position before each."""
    return np.concatenate([[ABSENT], rows[:-1]])


def distinct_ngrams(
    numbers: Int[np.ndarray, " p"], valid: Bool[np.ndarray, " p"]
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " g"], Int[np.ndarray, " g"], Int[np.ndarray, " g"]]:
    """(row of the n-gram that ends at each position, the n-grams, their counts, a position where each ends)."""
    places = np.flatnonzero(valid)
    keys, first, rows, counts = np.unique(numbers[places], return_index=True, return_inverse=True, return_counts=True)
    found = np.full(len(numbers), ABSENT)
    found[places] = rows
    return found, keys, counts, places[first]


def continuation_counts(
    counts: Int[np.ndarray, " g"], begins: Bool[np.ndarray, " g"], suffixes: Int[np.ndarray, " e"]
) -> Int[np.ndarray, " g"]:
    """Number of different tokens in front of each n-gram; its plain count where it begins documents.

    Args:
        counts: Plain.
        begins: Whether an n-gram begins documents.
        suffixes: For every different n-gram that is one longer, the row of its last n tokens.
    """
    return np.where(begins, counts, np.bincount(suffixes, minlength=len(counts)))


def estimate(keys: Int[np.ndarray, " g"], counts: Int[np.ndarray, " g"], vocab_size: int, histories: int) -> Order:
    """Discounted probabilities and backoff weights of one order.

    Args:
        keys: Numbers of its n-grams.
        counts: Adjusted.
        vocab_size: Number of token ids.
        histories: How many n-grams the order below has; 1 for single tokens.
    """
    discount = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    history = keys // vocab_size
    total = np.bincount(history, weights=counts, minlength=histories)
    left = np.bincount(history, weights=discount, minlength=histories)
    backoff = np.divide(left, total, out=np.ones(histories), where=total > 0)
    return Order(keys, (counts - discount) / total[history], backoff)


def discounts(counts: Int[np.ndarray, " g"]) -> tuple[float, float, float]:
    """Discounts of counts of 1, of 2, and of 3 or more (Chen and Goodman 1999, eq. 26)."""
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    base = n1 / (n1 + 2 * n2)
    found = (1 - 2 * base * n2 / n1, 2 - 3 * base * n3 / n2, 3 - 4 * base * n4 / n3)
    return found if all(0 < d < c for c, d in enumerate(found, start=1)) else FALLBACK


def documents_of(folder: Path, split: str) -> Iterator[list[int]]:
    """Tokens of each document of a cleaned corpus, end tokens included, put together from its chunks."""
    document, tokens = None, list[int]()
    for (chunk,) in EpochChunks(folder / "chunks" / split, batch_size=1):
        if chunk.id // PIECES != document:
            if tokens:
                yield tokens
            document, tokens = chunk.id // PIECES, chunk.ids[:1]
        tokens = tokens + chunk.ids[1:]
    yield tokens
