"""Kneser–Ney against its definition, written with dictionaries, and against what any language model promises."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from projects.pretrain_lm.ngram import FALLBACK, KneserNey, discounts, documents_of
from projects.pretrain_lm.train_pretrain import read_corpus
from shared.errors import UserError

END = 1


def documents(seed=0, count=40, vocabulary=9):
    draw = random.Random(seed)
    weights = [0, 0, *(1 / n for n in range(1, vocabulary - 1))]
    return [[END, *draw.choices(range(vocabulary), weights, k=draw.randint(1, 30)), END] for _ in range(count)]


class ByDefinition:
    """Chen and Goodman 1999, eq. 25 to 27, one history at a time."""

    def __init__(self, texts, vocabulary, order):
        self.vocabulary, self.order = vocabulary, order
        plain = [Counter() for _ in range(order + 1)]
        for text in texts:
            for n in range(1, order + 1):
                plain[n].update(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        self.counts = [None] * (order + 1)
        self.counts[order] = plain[order]
        for n in range(1, order):
            front = defaultdict(set)
            for gram in plain[n + 1]:
                front[gram[1:]].add(gram[0])
            self.counts[n] = Counter({gram: len(before) for gram, before in front.items()})
            if n > 1:
                self.counts[n] |= {gram: c for gram, c in plain[n].items() if gram[0] == END}
                for gram in plain[n]:
                    if gram[0] == END:
                        self.counts[n][gram] = plain[n][gram]

    def amounts(self, n):
        values = np.array(list(self.counts[n].values()))
        return (0, *discounts(values))

    def probability(self, history, token):
        found = 1 / self.vocabulary
        for n in range(1, min(self.order, len(history) + 1) + 1):
            past = tuple(history[len(history) - n + 1 :])
            followers = {gram[-1]: c for gram, c in self.counts[n].items() if gram[:-1] == past and c}
            if not followers:
                break
            d = self.amounts(n)
            total = sum(followers.values())
            left = sum(d[min(c, 3)] for c in followers.values()) / total
            own = followers.get(token, 0)
            found = (own - d[min(own, 3)]) / total + left * found
        return found


@pytest.mark.parametrize("order", [2, 3, 5])
def test_it_is_its_definition(order):
    model, reference = KneserNey(documents(), 9, order), ByDefinition(documents(), 9, order)
    held = documents(seed=1, count=6)
    expected = [reference.probability(text[:i], text[i]) for text in held for i in range(1, len(text))]
    np.testing.assert_allclose(model.probabilities(held), expected, rtol=1e-10)


@pytest.mark.parametrize("history", [[END], [END, 3], [END, 2, 4, 2, 3, 2], [END, 8, 8, 8, 8, 8]])
def test_probabilities_sum_to_one(history):
    model = KneserNey(documents(), 9, 4)
    after = [model.probabilities([[*history, token]])[-1] for token in range(9)]
    assert sum(after) == pytest.approx(1)
    assert min(after) > 0


def test_what_stands_in_the_documents_before_is_no_history():
    model = KneserNey(documents(), 9, 5)
    first, second = documents(seed=2, count=2)
    alone = np.concatenate([model.probabilities([first]), model.probabilities([second])])
    np.testing.assert_array_equal(model.probabilities([first, second]), alone)


def test_discounts_by_hand():
    counts = np.array([1] * 10 + [2] * 5 + [3] * 3 + [4] * 2 + [9])
    base = 10 / (10 + 2 * 5)
    expected = (1 - 2 * base * 5 / 10, 2 - 3 * base * 3 / 5, 3 - 4 * base * 2 / 3)
    assert discounts(counts) == pytest.approx(expected)
    assert discounts(np.array([1, 1, 2])) == FALLBACK


def test_a_longer_history_helps_where_there_is_something_to_remember():
    texts = [[END, *[2, 3, 4, 5, 2, 4, 3, 5] * 5, END]] * 3
    losses = [KneserNey(texts, 9, order).evaluate(texts).loss for order in (2, 3, 4)]
    assert losses == sorted(losses, reverse=True)
    assert KneserNey(texts, 9, 4).evaluate(texts).perplexity < 1.3


def test_it_reads_the_tokens_that_the_transformer_reads(trained, prepared):
    corpus = read_corpus(prepared)
    model = KneserNey(documents_of(corpus.folder, "train"), len(corpus.tokenizer))
    found = model.evaluate(documents_of(corpus.folder, "test"))
    assert found.labels == trained.test.labels
    bytes_of_text = corpus.report["splits"]["test"]["bytes"]
    assert found.bits_per_byte(bytes_of_text) == pytest.approx(
        found.labels * math.log2(found.perplexity) / bytes_of_text
    )


def test_nothing_to_count_and_too_small_an_order_are_one_line():
    with pytest.raises(UserError, match="no token"):
        KneserNey([], 9)
    with pytest.raises(UserError, match="no token"):
        KneserNey([[END]], 9)
    with pytest.raises(UserError, match="at least 2"):
        KneserNey(documents(), 9, 1)
