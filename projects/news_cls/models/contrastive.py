"""Few labels, many pairs: articles of one topic are pulled together, others apart, before a head is fitted.

With ten articles of each of five topics there are fifty labels but 1,225 pairs. Source: Tunstall et al. 2022,
"Efficient few-shot learning without prompts" (SetFit), §3; the loss is sentence-transformers' CosineSimilarityLoss.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize


def pair_loss(embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean squared distance of cosines from 1 (one topic) and 0 (two), both kinds of pair counting half.

    All pairs of a batch are used once; SetFit draws as many of either kind instead.
    """
    unit = normalize(embeddings, dim=1)
    left, right = torch.triu_indices(len(labels), len(labels), offset=1)
    cosine = (unit[left] * unit[right]).sum(1)
    same = labels[left] == labels[right]
    alike = ((cosine - 1) ** 2)[same]
    apart = (cosine**2)[~same]
    parts = [each.mean() for each in (alike, apart) if len(each)]
    return torch.stack(parts).mean()


def topic_batches(labels: Sequence[int], size: int, steps: int, source: torch.Generator) -> list[list[int]]:
    """Rows of each step, as many of every topic as fit: a batch without two of a topic would have no pair to pull."""
    by_topic: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        by_topic.setdefault(label, []).append(row)
    each = max(2, size // len(by_topic))
    batches = []
    for _ in range(steps):
        rows = []
        for own in by_topic.values():
            drawn = torch.randperm(len(own), generator=source)[:each].tolist()
            rows += [own[i] for i in drawn]
        batches.append(rows[: max(size, 2 * len(by_topic))])
    return batches
