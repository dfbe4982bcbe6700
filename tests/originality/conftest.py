"""A small program whose disguises are tried, and ways to compare texts."""

import pytest

from shared.originality import background, evidence, profiles, reading, trees

PROGRAM = '''
"""Scores of texts against one another."""
import math
from collections import Counter


class Corpus:
    """Documents and how often each word occurs in them."""

    def __init__(self, documents, smoothing=0.5):
        self.documents = [document.lower().split() for document in documents]
        self.smoothing = smoothing
        self.frequencies = Counter()
        for words in self.documents:
            for word in set(words):
                self.frequencies[word] += 1

    def rarity(self, word):
        seen = self.frequencies[word]
        total = len(self.documents)
        ratio = (total - seen + self.smoothing) / (seen + self.smoothing)
        return math.log(1 + ratio)

    def scores(self, query):
        weights = {}
        for word in query.lower().split():
            weights[word] = self.rarity(word)
        results = []
        for words in self.documents:
            counts = Counter(words)
            total = 0.0
            for word, weight in weights.items():
                if word in counts:
                    amount = counts[word]
                    total += weight * amount * 2.5 / (amount + 1.5)
            results.append(round(total, 6))
        return results


def best(corpus, query, limit=3):
    """Numbers of the documents that fit best, and their scores."""
    values = corpus.scores(query)
    order = sorted(range(len(values)), key=lambda place: -values[place])
    chosen = []
    for place in order:
        if len(chosen) == limit:
            break
        if values[place] > 0:
            chosen.append((place, values[place]))
    return chosen


def summary(corpus, queries):
    lines = [f"{query}: {best(corpus, query, 2)}" for query in queries if query]
    worst = 0
    while worst < len(lines) and lines[worst].endswith("[]"):
        worst += 1
    head = lines[:worst]
    return "\\n".join(lines[worst:] + head)


CORPUS = Corpus(["the cat sat on the mat", "a dog and a cat", "birds fly over the sea", "the sea the sea"])
ANSWER = summary(CORPUS, ["sea", "cat dog", "", "horse", "the mat"])
'''


@pytest.fixture
def program() -> str:
    return PROGRAM


def source(text: str, owner: str = "ana", name: str = "work.py") -> reading.Source:
    return reading.from_text(text, owner, name)


@pytest.fixture
def as_source():
    return source


@pytest.fixture
def fragments():
    """All fragments of a text, whatever function they stand in."""

    def of(text: str) -> set[int]:
        tree, problem = reading.parse(text)
        assert tree is not None, problem
        return {fragment for unit in trees.units(tree) for fragment in unit.fragments}

    return of


@pytest.fixture
def score():
    """Raw scores of two texts that nobody else shares."""
    weights = evidence.Weights(background.load())

    def of(one: str, two: str) -> evidence.Score:
        left, right = (evidence.Weighted(profiles.profile(source(text)), weights) for text in (one, two))
        return evidence.score(left, right, weights)

    return of
