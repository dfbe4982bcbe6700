"""How well a model predicts held-out text, and how varied what it writes is."""

# n labels

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from projects.pretrain_lm.data.collator import Batch
from projects.pretrain_lm.distributed import Loss
from projects.pretrain_lm.models.transformer_lm import NO_LABEL, TransformerLM


@dataclass(frozen=True)
class Evaluation:
    """Cross-entropy on a split.

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

    def bits_per_byte(self, num_bytes: int) -> float:
        """Cross-entropy in bits per byte of the text, comparable between tokenizers.

        Args:
            num_bytes: Size of the text that the labels spell; every token has to be predicted exactly once.
        """
        return self.loss * self.labels / math.log(2) / num_bytes


@torch.inference_mode()
def evaluate(loss: Loss, batches: Iterable[Batch]) -> Evaluation:
    """Cross-entropy over batches, in evaluation mode; the mode is put back."""
    training = loss.training
    loss.eval()
    total, labels = 0.0, 0
    for batch in batches:
        summed, count = loss(batch)
        total += summed.item()
        labels += count
    loss.train(training)
    return Evaluation(total / labels, labels)


@torch.inference_mode()
def label_probabilities(model: TransformerLM, batches: Iterable[Batch]) -> Float[np.ndarray, " n"]:
    """Probability of every label, in the order of the batches."""
    found = []
    for batch in batches:
        log_probs = model(batch.input_ids, batch.attention_mask).log_softmax(-1)
        labelled = batch.labels != NO_LABEL
        found.append(log_probs[labelled].gather(1, batch.labels[labelled][:, None])[:, 0].exp())
    return torch.cat(found).double().numpy()


def mixture_weight(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    """Weight w for which w·one + (1 − w)·other has the least cross-entropy, by expectation–maximisation.

    Source: Jelinek and Mercer 1980, "Interpolated estimation of Markov source parameters".
    """
    weight = 0.5
    for _ in range(100):
        weight = float((weight * one / (weight * one + (1 - weight) * other)).mean())
    return weight


def distinct(texts: Sequence[Sequence[int]], n: int, length: int) -> float:
    """distinct-n: different n-grams over all n-grams, in the first `length` tokens of each text together.

    At a fixed length, since the ratio falls with the length of what is counted. 1 means that nothing repeats.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5.
    """
    cut = [tuple(text[:length]) for text in texts]
    ngrams = [text[i : i + n] for text in cut for i in range(len(text) - n + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def repetition(text: Sequence[int], n: int = 4) -> float:
    """seq-rep-n: share of a text's n-grams that it holds already; 0 if none repeats.

    Source: Welleck et al. 2020, "Neural Text Generation With Unlikelihood Training", §6.1.
    """
    ngrams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def bleu(text: Sequence[str], references: Sequence[Sequence[str]], longest: int = 4) -> float:
    """Geometric mean of clipped n-gram precisions, times the brevity penalty; in [0, 1].

    An n-gram length without a match counts half a match, so that one missing length does not hide the others.

    Source: Papineni et al. 2002, §2; the smoothing is that of Chen and Cherry 2014, method 1, with ε = ½.
    """
    logs = []
    for n in range(1, longest + 1):
        counts = _ngram_counts(text, n)
        clip: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            clip |= _ngram_counts(reference, n)
        total = max(1, sum(counts.values()))
        logs.append(math.log(max(0.5, sum((counts & clip).values())) / total))
    nearest = min((abs(len(r) - len(text)), len(r)) for r in references)[1]
    return math.exp(min(0.0, 1 - nearest / max(1, len(text))) + sum(logs) / longest)


def self_bleu(texts: Sequence[Sequence[str]]) -> float:
    """Mean BLEU of each text against all others: 1 where all are the same, small where they share little.

    Source: Zhu et al. 2018, "Texygen", §3.2.
    """
    scores = [bleu(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts)]
    return sum(scores) / len(scores)


def _ngram_counts(text: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
