"""An article, a divided corpus, and how it is divided: by whole groups of near-duplicates."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from projects.news_cls.data.cleaning import clean
from shared.assets.splits import assign, distinct, joined, shuffled
from shared.assets.text import near_duplicates, text_key
from shared.errors import UserError

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}

same_story = partial(near_duplicates, size=5, threshold=0.3)
"""Runs of five words, Jaccard ≥ 0.3: the same story again, cut, continued or syndicated. Source: Broder 1997, §2."""

same_wire = partial(near_duplicates, size=5, threshold=0.7)
"""For Reuters, whose reports of earnings are templates without their numbers: at 0.3 different firms would be one."""


@dataclass(frozen=True)
class Article:
    """A cleaned text with what is known of it.

    Attributes:
        text: As `clean` leaves it.
        label: Name of its topic.
        group: Articles of one group are one story, and stay together.
        outlet: Who published it.
        date: Year, or day as YYYY-MM-DD.
    """

    text: str
    label: str
    group: str = ""
    outlet: str = ""
    date: str = ""


@dataclass(frozen=True)
class Corpus:
    """Articles in three parts that share no story.

    Attributes:
        labels: Topics in the order of their numbers.
    """

    name: str
    labels: tuple[str, ...]
    train: list[Article]
    validation: list[Article]
    test: list[Article]

    @property
    def digest(self) -> str:
        """SHA-256 of all texts and labels, part by part."""
        found = hashlib.sha256(self.name.encode())
        for part in (self.train, self.validation, self.test):
            found.update(b"\0part")
            for each in part:
                found.update(f"\0{each.label}\0{each.text}".encode())
        return found.hexdigest()

    def numbers(self, articles: Sequence[Article]) -> list[int]:
        """Number of each article's topic; −1 for one that training does not know."""
        known = {label: number for number, label in enumerate(self.labels)}
        return [known.get(each.label, -1) for each in articles]


def grouped(articles: Sequence[Article]) -> list[Article]:
    """The first of each text, with groups; where copies disagree on the topic, none of them.

    An article that came with a group keeps company with that group's others, too.
    """
    rows: list[dict[str, Any]] = [{"text": each.text, "label": each.label, "article": each} for each in articles]
    kept: list[Article] = [row["article"] for row in distinct(rows, label="label")]
    firsts = same_story([each.text for each in kept])
    names = [hashlib.sha256(text_key(kept[first].text).encode()).hexdigest()[:16] for first in firsts]
    tags = [(name, f"own {each.group}") if each.group else (name,) for name, each in zip(names, kept, strict=True)]
    return [replace(each, group=group) for each, group in zip(kept, joined(tags), strict=True)]


def divide(name: str, articles: Sequence[Article], seed: int) -> Corpus:
    """Divide by groups, spread evenly over topics; another seed gives another division.

    Args:
        articles: With groups (`grouped`).
        seed: Decides the division.

    Raises:
        UserError: If a topic, or the whole, is too small to be learned and tested.
    """
    labels = tuple(sorted({each.label for each in articles}))
    refuse_single(name, articles)
    ordered = sorted(articles, key=lambda each: (shuffled(f"{seed}:{each.group}"), each.text))
    split = assign([f"{seed}:{each.group}" for each in ordered], [each.label for each in ordered], FRACTIONS)
    parts: dict[str, list[Article]] = {part: [] for part in FRACTIONS}
    for each in ordered:
        parts[split[f"{seed}:{each.group}"]].append(each)
    return refuse_overlap(Corpus(name, labels, **parts))


def refuse_single(name: str, articles: Sequence[Article]) -> None:
    """Refuse a corpus with fewer than two topics, or one whose topics have a single story.

    Raises:
        UserError: With the topics' names.
    """
    stories = Counter(label for label, _ in {(each.label, each.group) for each in articles})
    if len(stories) < 2:
        raise UserError(f"--dataset {name}: {len(stories)} topic; classification takes two or more")
    if lonely := sorted(label for label, count in stories.items() if count < 3):
        raise UserError(
            f"--dataset {name}: fewer than three stories of {', '.join(lonely[:5])}: "
            "a topic needs one for training, for validation and for the test; add some, or leave it out"
        )


def apart(train: Sequence[Article], test: Sequence[Article]) -> tuple[list[Article], list[Article]]:
    """Training and test of a standard division: training loses what the test holds too, the test loses nothing.

    Copies within training are one article, none where they disagree on the topic.
    """
    firsts = same_wire([*(each.text for each in test), *(each.text for each in train)])
    crossing = set(firsts[: len(test)])
    tagged = [replace(each, group=f"wire-{first}") for each, first in zip(train, firsts[len(test) :], strict=True)]
    rows = [{"text": each.text, "label": each.label, "article": each} for each in tagged]
    kept = [row["article"] for row in distinct(rows, label="label")]
    own = [replace(each, group=f"wire-{first}") for each, first in zip(test, firsts, strict=False)]
    return [each for each in kept if int(each.group[5:]) not in crossing], own


def standard(name: str, train: Sequence[Article], test: Sequence[Article], seed: int) -> Corpus:
    """A corpus whose test is fixed by others, with its natural prior: validation is cut from training, by groups.

    Args:
        train: With groups, of which none is the test's (`apart`).
        test: Topics that training does not know stay in it; they cannot be got right.
    """
    strata = [each.label for each in train]
    split = assign([f"{seed}:{each.group}" for each in train], strata, {"train": 0.9, "validation": 0.1})
    parts: dict[str, list[Article]] = {"train": [], "validation": []}
    for each in sorted(train, key=lambda each: shuffled(f"{seed}:{each.group}:{each.text}")):
        parts[split[f"{seed}:{each.group}"]].append(each)
    labels = tuple(sorted({each.label for each in parts["train"]}))
    validation = [each for each in parts["validation"] if each.label in labels]
    return refuse_overlap(Corpus(name, labels, parts["train"], validation, list(test)))


def refuse_overlap(corpus: Corpus) -> Corpus:
    """The corpus, if no text and no group is in two of its parts.

    Raises:
        AssertionError: Otherwise, whatever was done before.
    """
    for left, right in (
        (corpus.train, corpus.validation),
        (corpus.train, corpus.test),
        (corpus.validation, corpus.test),
    ):
        for key in (lambda each: each.group, lambda each: text_key(each.text)):
            shared = {key(each) for each in left} & {key(each) for each in right}
            assert not shared, f"{corpus.name}: {len(shared)} stories are in two parts"
    return corpus


def up_to(articles: Sequence[Article], count: int, seed: int) -> list[Article]:
    """So many articles of each topic, or all that it has, drawn by the seed; fewer are a part of more."""
    kept: Counter[str] = Counter()
    chosen = []
    for each in sorted(articles, key=lambda each: shuffled(f"{seed}:{each.text}")):
        if kept[each.label] < count:
            kept[each.label] += 1
            chosen.append(each)
    return chosen


def first_of_each(articles: Sequence[Article], count: int, seed: int) -> list[Article]:
    """As `up_to`, of topics that all have so many.

    Raises:
        UserError: If a topic has fewer.
    """
    chosen = up_to(articles, count, seed)
    kept = Counter(each.label for each in chosen)
    if short := sorted(label for label in {each.label for each in articles} if kept[label] < count):
        raise UserError(f"--labels {count}: there are only {kept[short[0]]} articles of {short[0]}")
    return chosen


def cleaned(articles: Sequence[Article]) -> list[Article]:
    """With their texts cleaned; what is nothing but markup goes."""
    found = [replace(each, text=clean(each.text)) for each in articles]
    return [each for each in found if each.text]
