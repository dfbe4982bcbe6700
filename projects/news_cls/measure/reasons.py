"""Whether attributions add up, and whether what they name first is what the model goes by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from projects.news_cls.explain.attributions import Explained, integrated_gradients, occlusion
from projects.news_cls.explain.faithfulness import by_score, curves, random_orders
from projects.news_cls.models.topic_model import TopicModel
from shared.progress import track

RANDOM = 3


def items(model: TopicModel, texts: Sequence[str], steps: int) -> list[dict[str, Any]]:
    """Completeness error of each article, and deletion and insertion by gradients, by occlusion, at random."""
    found = []
    for number, text in enumerate(track(texts, description="explaining", total=len(texts))):
        own = integrated_gradients(model, text, steps=steps)
        other = occlusion(model, text, own.topic)
        orders = [by_score(own), by_score(other), *random_orders(len(own.words), RANDOM, number)]
        measured = curves(model, text, own.topic, orders)
        chance = measured[2:]
        found.append(
            {
                "words": len(own.words),
                "error": own.error,
                "gap": own.logit - own.baseline,
                "deletion": measured[0].deletion,
                "insertion": measured[0].insertion,
                "deletion_occlusion": measured[1].deletion,
                "insertion_occlusion": measured[1].insertion,
                "deletion_random": float(np.mean([each.deletion for each in chance])),
                "insertion_random": float(np.mean([each.insertion for each in chance])),
                "agreement": agreement(own, other),
            }
        )
    return found


def agreement(left: Explained, right: Explained) -> float:
    """Rank correlation of two explanations of one article (Spearman)."""
    if len(left.words) < 2:
        return 1.0
    return float(spearmanr(left.scores, right.scores).statistic)
