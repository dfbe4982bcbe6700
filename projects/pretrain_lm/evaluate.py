"""How well a model predicts held-out text, and how varied what it writes is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from projects.pretrain_lm.data.collator import Batch
from projects.pretrain_lm.distributed import Loss


@dataclass(frozen=True)
class Prediction:
    """Of a split.

    Attributes:
        loss: Mean cross-entropy in nats over all labels, Σ NLL / Σ labels: not a mean of batches' means.
        labels: How many tokens were predicted.
    """

    loss: float
    labels: int

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(self.loss)

    def bits_per_byte(self, size: int) -> float:
        """What a byte of the text costs: comparable between tokenizers.

        Args:
            size: Bytes of the text that the labels spell; every token has to be predicted exactly once.
        """
        return self.loss * self.labels / math.log(2) / size


@torch.inference_mode()
def predict(loss: Loss, batches: Iterable[Batch]) -> Prediction:
    """Cross-entropy over batches, in evaluation mode; the mode is put back."""
    training = loss.training
    loss.eval()
    total, labels = 0.0, 0
    for batch in batches:
        summed, count = loss(batch)
        total += summed.item()
        labels += count
    loss.train(training)
    return Prediction(total / labels, labels)


def distinct(texts: Sequence[Sequence[int]], size: int, length: int) -> float:
    """Distinct runs of `size` tokens over all runs, in the first `length` tokens of each text together.

    At a fixed length, since the ratio falls with the length of what is counted. 1 means that nothing repeats.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5.
    """
    cut = [tuple(text[:length]) for text in texts]
    runs = [text[i : i + size] for text in cut for i in range(len(text) - size + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0
