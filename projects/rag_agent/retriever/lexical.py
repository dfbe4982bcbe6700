"""Words instead of vectors: BM25, and how two rankings become one."""

# n texts

import math
import re
from collections import Counter
from collections.abc import Sequence

import bm25s
import numpy as np
from jaxtyping import Float

from shared.errors import UserError
from shared.words import words

Ranking = Sequence[int]
K1, B = 1.5, 0.75  # saturation of repeated words, and how much a long text counts for less; the library's defaults
# Chinese and Japanese write no spaces: a run of their letters is cut into overlapping pairs.
_UNSPACED = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_WRITTEN = re.compile(rf"[{_UNSPACED}]")

# Words that carry no topic; of a question also those that ask.
_TOPICLESS = """
a about after all also an and any are as at be because been before being between both but by can could did do does
during each for from had has have he her him his how i if in into is it its itself me more most my no not of on once
one only or other our out over own she so some such than that the their them then there these they this those through
to too under until up us was we were what when where which while who whom whose why will with would you your
"""
STOPWORDS = frozenset(_TOPICLESS.split())


def terms(text: str, *, stem: bool = True) -> list[str]:
    """Words without those that carry no topic, plurals cut; Chinese and Japanese as pairs of letters.

    >>> terms("Which cities did the Witches visit? 東京都")
    ['city', 'witche', 'visit', '東京', '京都']
    """
    found = [term for word in words(text) for term in _cut(word) if term not in STOPWORDS]
    return [singular(term) for term in found] if stem else found


def _cut(word: str) -> list[str]:
    """The word; of one with Chinese or Japanese letters its pairs, and what stands between as it is.

    Source: Nie, Gao, Zhang and Zhou 2000, "On the use of words and n-grams for Chinese information retrieval".
    """
    if not _WRITTEN.search(word):
        return [word]
    return [piece for run in _RUN.findall(word) for piece in (_pairs(run) if _WRITTEN.match(run) else [run])]


def _pairs(run: str) -> list[str]:
    """Overlapping pairs; a single letter is itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


def singular(word: str) -> str:
    """A word without the ending of an English plural.

    Source: Harman 1991, "How effective is suffixing?", the S stemmer.
    """
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]


class Bm25:
    """Okapi BM25 over texts under ids; built anew when the texts change.

    Args:
        ids: One a text.
        texts: What is searched.
        stem: Whether plurals are cut.

    Source: Robertson and Zaragoza 2009, "The probabilistic relevance framework", eq. 3.14; the inverse document
    frequency with Lucene's +1, so that no word counts against a text. The library is bm25s.
    """

    def __init__(self, ids: Sequence[int], texts: Sequence[str], *, stem: bool = True) -> None:
        if len(ids) != len(texts):
            raise UserError(f"{len(ids)} ids for {len(texts)} texts")
        self._ids, self._stem = list(ids), stem
        corpus = [terms(text, stem=stem) for text in texts]
        self._holders = Counter(word for each in corpus for word in set(each))
        self._model = None
        if self._holders:
            self._model = bm25s.BM25(method="lucene", k1=K1, b=B)
            self._model.index(corpus, show_progress=False)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """At most k (id, score), the best first; texts that share no word with the query are left out.

        A score is the share in [0, 1] of the largest that any text could reach for this query: unlike the plain sum it
        says how good a match is, and one that holds half of the query's rarity cannot exceed a half.

        Raises:
            UserError: If k < 1.
        """
        if k < 1:
            raise UserError(f"k = {k}: must be at least 1")
        scores = self.scores(query)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self._ids[row], float(scores[row])) for row in best.tolist() if scores[row] > 0]

    def scores(self, query: str) -> Float[np.ndarray, " n"]:
        """The score of every text, in the order of the ids."""
        asked = terms(query, stem=self._stem)
        known = [word for word in asked if word in self._holders]
        if self._model is None or not known:
            return np.zeros(len(self._ids), dtype=np.float32)
        # Lucene's variant drops the factor k1 + 1, so that a word's part tends to its rarity as it is repeated.
        return self._model.get_scores(known) / sum(self.rarity(word) for word in asked)

    def rarity(self, word: str) -> float:
        """Inverse document frequency ln(1 + (n − h + ½) / (h + ½)) of a word that h of n texts hold; h may be 0."""
        holders = self._holders[word]
        return math.log1p((len(self._ids) - holders + 0.5) / (holders + 0.5))

    def coverage(self, query: str, text: str) -> float:
        """Share in [0, 1] of the query's words, weighted by their rarity, that a text holds."""
        asked, held = set(terms(query, stem=self._stem)), set(terms(text, stem=self._stem))
        total = sum(self.rarity(word) for word in asked)
        return sum(self.rarity(word) for word in asked & held) / total if total else 0.0


def fuse_ranks(rankings: Sequence[Ranking], weights: Sequence[float], *, constant: float) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: Σ weight / (constant + rank), ranks from 1, the best first; of equals the smaller id.

    Source: Cormack, Clarke and Büttcher 2009, eq. 1, with equal weights and constant 60.
    """
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, each in enumerate(ranking, start=1):
            scores[each] = scores.get(each, 0.0) + weight / (constant + rank)
    return _descending(scores)


def fuse_scores(left: dict[int, float], right: dict[int, float], weight: float) -> list[tuple[int, float]]:
    """Sum weight · left + (1 − weight) · right, the best first; of equals the smaller id; a missing score counts 0.

    The scores have to mean the same for every query (a cosine, a share of the best possible): then whichever side is
    sure of itself decides, which ranks cannot express.

    Source: Bruch, Gai and Ingber 2023, "An analysis of fusion functions for hybrid retrieval", eq. 2.
    """
    ids = left.keys() | right.keys()
    return _descending({each: weight * left.get(each, 0.0) + (1 - weight) * right.get(each, 0.0) for each in ids})


def _descending(scores: dict[int, float]) -> list[tuple[int, float]]:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
