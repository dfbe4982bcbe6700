"""What a corpus is like before anything is learned: sizes, lengths, words, overlaps, words that decide alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from projects.news_cls.data.articles import Article, Corpus
from projects.news_cls.data.cleaning import AGENCIES, OUTLETS, SECTIONS
from shared.assets.text import text_key
from shared.words import words

FEWEST = 20
"""Articles in which a word must be, to be called a leak."""


def summary(corpus: Corpus) -> dict[str, Any]:
    """One row: articles, topics, imbalance, lengths in words, distinct words, texts that are in two parts."""
    every = [*corpus.train, *corpus.validation, *corpus.test]
    counts = Counter(each.label for each in every)
    lengths = [len(words(each.text)) for each in every]
    return {
        "corpus": corpus.name,
        "train": len(corpus.train),
        "validation": len(corpus.validation),
        "test": len(corpus.test),
        "topics": len(counts),
        "largest": max(counts.values()),
        "smallest": min(counts.values()),
        "words_median": int(np.median(lengths)),
        "words_p95": int(np.percentile(lengths, 95)),
        "vocabulary": len({word for each in every for word in words(each.text)}),
        "overlap": len({text_key(each.text) for each in corpus.train} & {text_key(each.text) for each in corpus.test}),
    }


@dataclass(frozen=True)
class Leak:
    """A word after which the topic is known.

    Attributes:
        share: Part of the articles with the word that are of its topic.
        named: Whether it is an agency, an outlet or the name of a section.
    """

    word: str
    topic: str
    articles: int
    share: float
    named: bool


def leaks(articles: Sequence[Article], least: float = 0.98) -> list[Leak]:
    """Words that decide nearly alone, most frequent first: some are what the topic is about, some are its label."""
    holding: dict[str, Counter[str]] = {}
    for each in articles:
        for word in set(words(each.text)):
            holding.setdefault(word, Counter())[each.label] += 1
    known = {part for name in (*AGENCIES, *SECTIONS, *OUTLETS) for part in name.casefold().split()}
    found = []
    for word, counts in holding.items():
        total = sum(counts.values())
        topic, most = counts.most_common(1)[0]
        if total >= FEWEST and most / total >= least:
            found.append(Leak(word, topic, total, most / total, word in known))
    return sorted(found, key=lambda leak: (-leak.articles, leak.word))
