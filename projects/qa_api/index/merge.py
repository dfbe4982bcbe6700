"""Two rankings into one: by reciprocal ranks, or by a small model that was taught which hits were right.

c candidates · f features · q queries
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from projects.qa_api.data.documents import Document, Language, normalised, sentences

Hits = Sequence[tuple[str, float]]
CONSTANT = 60
"""The constant of reciprocal ranks (Cormack et al. 2009)."""
FEATURES = ("words", "words_rank", "vectors", "vectors_rank", "title", "whole_title", "lead", "text")
LEAD = 2  # sentences, which say what a thing is
MOST_CHARACTERS = 3_000  # of a text that are looked at
SHORTEST = 4  # letters of a word that is looked for
SAME, OTHER = 0, 1


def reciprocal_ranks(words: Hits, vectors: Hits) -> list[tuple[str, float]]:
    """Σ 1 / (60 + rank), best first. Source: Cormack et al. 2009, "Reciprocal rank fusion", SIGIR."""
    total: dict[str, float] = {}
    for hits in (words, vectors):
        for rank, (each, _) in enumerate(hits, start=1):
            total[each] = total.get(each, 0.0) + 1 / (CONSTANT + rank)
    return sorted(total.items(), key=lambda hit: (-hit[1], hit[0]))


@dataclass(frozen=True)
class Candidates:
    """What both searches found for a query.

    Attributes:
        ids: In the order of reciprocal ranks.
        features: (c, f) of FEATURES.
        other: Whether a document is of another language than the query.
    """

    ids: tuple[str, ...]
    features: Float[np.ndarray, "c f"]
    other: Bool[np.ndarray, " c"]


def candidates(
    query: str, language: Language, words: Hits, vectors: Hits, documents: dict[str, Document]
) -> Candidates:
    """Features of the union of both rankings. A score that a search did not give is a little under its lowest."""
    ids = [each for each, _ in reciprocal_ranks(words, vectors)]
    columns = []
    for hits, scale in ((words, 10.0), (vectors, 0.05)):
        scores, ranks = dict(hits), {each: rank for rank, (each, _) in enumerate(hits, start=1)}
        top, low = (max(scores.values()), min(scores.values())) if scores else (0.0, 0.0)
        columns.append([(scores.get(each, low) - top) / scale for each in ids])
        columns.append([1 / (5 + ranks[each]) if each in ranks else 0.0 for each in ids])
    columns += shared_words(normalised(query).split(), [documents[each] for each in ids])
    other = np.array([documents[each].language != language for each in ids], bool)
    return Candidates(tuple(ids), np.array(columns, np.float64).T.reshape(len(ids), len(FEATURES)), other)


def shared_words(asked: Sequence[str], documents: Sequence[Document]) -> list[list[float]]:
    """Four columns: how much of the name the query has, whether all of it; how much of the query the lead and the text
    have, of words that say something.
    """
    names = [normalised(each.name).split() for each in documents]
    wanted = {word for word in asked if len(word) >= SHORTEST}
    told = [
        [set(normalised(beginning(each.text, whole=whole)).split()) for each in documents] for whole in (False, True)
    ]
    return [
        [len(set(name) & set(asked)) / max(len(set(name)), 1) for name in names],
        [float(contains(asked, name)) for name in names],
        *([len(wanted & words) / max(len(wanted), 1) for words in part] for part in told),
    ]


def beginning(text: str, *, whole: bool) -> str:
    """The first sentences of a text, or as much of it as is looked at."""
    ends = [] if whole else [stop for _, stop in sentences(text[:MOST_CHARACTERS])]
    return text[: ends[min(LEAD, len(ends)) - 1] if ends else MOST_CHARACTERS]


def contains(words: Sequence[str], part: Sequence[str]) -> bool:
    """Whether the words of a part stand side by side.

    >>> contains(["the", "first", "world", "war"], ["world", "war"])
    True
    """
    n = len(part)
    return n > 0 and any(list(words[at : at + n]) == list(part) for at in range(len(words) - n + 1))


@dataclass(frozen=True)
class Merge:
    """Scores candidates: a weight a feature, apart for documents in the query's language and in another.

    Attributes:
        weights: (2, f + 1), the last a constant: how likely another language is at all.
    """

    weights: Float[np.ndarray, "2 g"]

    def scores(self, found: Candidates) -> Float[np.ndarray, " c"]:
        """The larger, the better; differences are log odds within a query."""
        own = self.weights[found.other.astype(int)]
        scored: Float[np.ndarray, " c"] = (own[:, :-1] * found.features).sum(1) + own[:, -1]
        return scored

    def ranked(self, found: Candidates) -> list[tuple[str, float]]:
        """Best first."""
        scores = self.scores(found)
        return sorted(zip(found.ids, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))


def fit_merge(found: Sequence[Candidates], right: Sequence[str], *, penalty: float = 1e-3, steps: int = 60) -> Merge:
    """Weights that give the right document the largest share of a query's candidates.

    Args:
        found: Candidates of each query.
        right: Id of the document that is right; a query whose candidates lack it teaches nothing.
        penalty: Factor of the squared weights.
        steps: How many L-BFGS takes.

    Source: Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach" (top-one cross-entropy).
    """
    rows = []
    for each, wanted in zip(found, right, strict=True):
        if wanted in each.ids:
            values = np.concatenate([each.features, np.ones((len(each.ids), 1))], 1)
            both = np.zeros((len(each.ids), 2, values.shape[1]))
            both[np.arange(len(each.ids)), each.other.astype(int)] = values
            rows.append((torch.tensor(both.reshape(len(each.ids), -1)), each.ids.index(wanted)))
    weights = torch.zeros(2 * (len(FEATURES) + 1), dtype=torch.float64, requires_grad=True)
    lengths = [len(values) for values, _ in rows]
    padded = torch.nn.utils.rnn.pad_sequence([values for values, _ in rows], batch_first=True)  # (q, c, 2g)
    hidden = torch.arange(padded.shape[1])[None] >= torch.tensor(lengths)[:, None]
    wanted_at = torch.tensor([at for _, at in rows])
    optimizer = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scores = (padded @ weights).masked_fill(hidden, -torch.inf)
        value = torch.nn.functional.cross_entropy(scores, wanted_at) + penalty * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Merge(weights.detach().numpy().reshape(2, -1))
