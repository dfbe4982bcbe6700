"""What each token adds to the logit of a topic: integrated gradients, and occlusion beside it, merged to words.

The logit is explained, not the probability: where a model is sure its probability is flat, and gradients vanish. The
baseline is the same places with [PAD] in them, [CLS] and [SEP] kept, so that special tokens, which are in both, have no
part; what is reported of them is what an implementation that replaces them too would give them.

p pieces · t tokens · d width
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from projects.news_cls.models.topic_model import Batch, TopicModel, padded

STEPS = 32
AT_ONCE = 8  # points of the path that are computed together


@dataclass(frozen=True)
class Explained:
    """Attributions of one article to one topic.

    Attributes:
        words: What the model reads, in order.
        scores: One a word, in logits.
        spans: Tokens of each word, as (piece, first, end).
        logit: f(x), of the topic.
        baseline: f(x′).
        error: |Σ attributions − (f(x) − f(x′))| / |f(x) − f(x′)|.
    """

    words: list[str]
    scores: list[float]
    spans: list[tuple[int, int, int]]
    topic: int
    logit: float
    baseline: float
    error: float


@dataclass(frozen=True)
class Encoded:
    """Pieces of an article with what its tokens are words of."""

    ids: list[list[int]]
    words: list[str]
    spans: list[tuple[int, int, int]]


def encoded(model: TopicModel, text: str) -> Encoded:
    """Tokens by the model's policy, and the words that they belong to; a prefix of the encoder's is no word.

    BERT marks what goes on with a word ("##"), SentencePiece what begins one ("▁").
    """
    pieces = model.pieces(text)
    words: list[str] = []
    spans: list[tuple[int, int, int]] = []
    marked = any("▁" in token for token in model.tokenizer.convert_ids_to_tokens(pieces[0]))
    for number, ids in enumerate(pieces):
        names = model.tokenizer.convert_ids_to_tokens(ids)
        for place in range(opening(model, number), len(ids) - 1):
            name = names[place]
            goes_on = not name.startswith("▁") if marked else name.startswith("##")
            if goes_on and spans and spans[-1][0] == number and spans[-1][2] == place:
                words[-1] += name.removeprefix("##")
                spans[-1] = (number, spans[-1][1], place + 1)
            else:
                words.append(name.removeprefix("▁") or name)
                spans.append((number, place, place + 1))
    return Encoded(pieces, words, spans)


def opening(model: TopicModel, piece: int) -> int:
    """Tokens of a piece that come before its first word; the prefix stands in the first piece alone."""
    return 1 if piece else model.opening


def logits_of(model: TopicModel, states: Float[Tensor, "p t d"], batch: Batch) -> Float[Tensor, "b k"]:
    """Logits from embeddings of tokens, through all layers."""
    found: Tensor = model.head(model.pool(model.through(states, batch.mask, 0), batch))
    return found


@torch.no_grad()
def _embedded(model: TopicModel, pieces: Sequence[Sequence[int]], owner: Sequence[int], articles: int) -> Batch:
    """Embeddings of tokens, instead of the states that training keeps."""
    ids, mask = padded(pieces, model.tokenizer.pad_token_id)
    return Batch(model.embedded(ids), mask, torch.tensor(owner), articles)


def blank(model: TopicModel, pieces: Sequence[Sequence[int]]) -> list[list[int]]:
    """The same places with [PAD] in them; special tokens and the prefix stay."""
    pad, kept = model.tokenizer.pad_token_id, [opening(model, number) for number in range(len(pieces))]
    return [[*ids[:n], *[pad] * (len(ids) - 1 - n), ids[-1]] for n, ids in zip(kept, pieces, strict=True)]


def integrated_gradients(model: TopicModel, text: str, topic: int | None = None, steps: int = STEPS) -> Explained:
    """Mean gradient along the straight path from the baseline, times the way (midpoint rule).

    Source: Sundararajan et al. 2017, "Axiomatic attribution for deep networks", eq. 1 and 3.

    Args:
        text: Cleaned.
        topic: Number of the topic that is explained; by default the one that the model says.
        steps: Points of the path.
    """
    model.eval()
    own = encoded(model, text)
    batch = _embedded(model, own.ids, [0] * len(own.ids), 1)
    here, there = batch.states, _embedded(model, blank(model, own.ids), [0] * len(own.ids), 1).states
    with torch.no_grad():
        logits = logits_of(model, here, batch)[0]
        topic = int(logits.argmax()) if topic is None else topic
        start = float(logits_of(model, there, batch)[0, topic])
    total = torch.zeros_like(here)
    places = (torch.arange(steps) + 0.5) / steps
    for part in places.split(AT_ONCE):
        count = len(part)
        points = (there + part[:, None, None, None] * (here - there)).flatten(0, 1).requires_grad_(True)  # (s·p,t,d)
        owner = torch.arange(count).repeat_interleave(len(here))
        several = Batch(points, batch.mask.repeat(count, 1), owner, count)
        (gradient,) = torch.autograd.grad(logits_of(model, points, several)[:, topic].sum(), points)
        total += gradient.unflatten(0, (count, len(here))).sum(0) / steps
    each = ((here - there) * total).sum(-1)  # (p,t)
    return _explained(own, each, topic, float(logits[topic]), start)


def occlusion(model: TopicModel, text: str, topic: int | None = None, at_once: int = 16) -> Explained:
    """How much the logit falls when a word's tokens become [PAD]. Source: Li et al. 2016, "Erasure", eq. 1."""
    model.eval()
    own = encoded(model, text)
    with torch.no_grad():
        full = masked_logits(model, own, [frozenset(), frozenset(range(len(own.words)))])
        topic = int(full[0].argmax()) if topic is None else topic
        falls = []
        for start in range(0, len(own.words), at_once):
            hidden = [frozenset([word]) for word in range(start, min(start + at_once, len(own.words)))]
            falls += (full[0, topic] - masked_logits(model, own, hidden)[:, topic]).tolist()
    logit, empty = float(full[0, topic]), float(full[1, topic])
    gap = abs(logit - empty)
    error = abs(sum(falls) - (logit - empty)) / gap if gap > 0 else 0.0
    return Explained(own.words, falls, own.spans, topic, logit, empty, error)


@torch.no_grad()
def masked_logits(model: TopicModel, own: Encoded, hidden: Sequence[frozenset[int]]) -> Float[Tensor, "v k"]:
    """Logits of versions of an article, each with some of its words replaced by [PAD]."""
    pad = model.tokenizer.pad_token_id
    versions: list[list[int]] = []
    owner: list[int] = []
    for number, words in enumerate(hidden):
        pieces = [list(ids) for ids in own.ids]
        for word in words:
            piece, first, end = own.spans[word]
            pieces[piece][first:end] = [pad] * (end - first)
        versions += pieces
        owner += [number] * len(pieces)
    batch = _embedded(model, versions, owner, len(hidden))
    return logits_of(model, batch.states, batch)


def _explained(own: Encoded, each: Float[Tensor, "p t"], topic: int, logit: float, start: float) -> Explained:
    scores = [float(each[piece, first:end].sum()) for piece, first, end in own.spans]
    gap = logit - start
    error = abs(float(each.sum()) - gap) / abs(gap) if gap else 0.0
    return Explained(own.words, scores, own.spans, topic, logit, start, error)
