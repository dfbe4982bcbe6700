"""What can be told of a preference without understanding the texts: the data's biases, measured by who exploits them.

Each baseline learns from the training pairs and is asked about the held-out ones, like the reward model. One that is
right far more often than not shows a shortcut which the reward model may have taken too.
"""

# n pairs · f features

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from projects.rlhf_ppo.data.preferences import Preference, of_split

Featurise = Callable[[Sequence[str]], list[dict[str, float]]]
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)


def lengths(responses: Sequence[str]) -> list[dict[str, float]]:
    """Words and characters."""
    return [{"words": float(len(each.split())), "characters": float(len(each))} for each in responses]


def first_words(responses: Sequence[str]) -> list[dict[str, float]]:
    """The word that a response opens with: a template, if there is one."""
    return [{word.casefold(): 1.0 for word in each.split()[:1]} for each in responses]


def baselines(pairs: Sequence[Preference]) -> list[dict[str, Any]]:
    """How many held-out pairs each baseline puts in the right order, as `share` says it."""
    train, validation, test = (of_split(pairs, split) for split in ("train", "validation", "test"))
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    words.fit([side for pair in train for side in (pair.a, pair.b)])
    of_dicts = {"length of the response": lengths, "first word of the response": first_words}
    found = []
    for name, featurise in of_dicts.items():
        table = DictVectorizer().fit(featurise([side for pair in train for side in (pair.a, pair.b)]))
        transform = lambda texts, f=featurise, t=table: t.transform(f(texts))  # noqa: E731
        found.append(share(name, _right(transform, train, validation, test), len(test)))
    found.append(share("bag of words and word pairs", _right(words.transform, train, validation, test), len(test)))
    return found


def share(decider: str, right: int, asked: int) -> dict[str, Any]:
    """A decider's share of pairs in the right order with its interval, to four digits."""
    low, high = wilson(right, asked)
    found = {"share": round(right / asked, 4), "low": round(low, 4), "high": round(high, 4)}
    return {"decider": decider, "right": right, "asked": asked, **found}


def _right(transform: Callable, train: Sequence, validation: Sequence, test: Sequence) -> int:
    """Held-out pairs that logistic regression on differences of features puts right; its strength by validation."""
    x, y = _differences(transform, train)
    fits = [LogisticRegression(C=c, fit_intercept=False, max_iter=2000).fit(x, y) for c in STRENGTHS]
    held = _differences(transform, validation)
    best = max(fits, key=lambda fit: fit.score(*held))
    return round(best.score(*_differences(transform, test)) * len(test))


def _differences(transform: Callable, pairs: Sequence[Preference]) -> tuple:
    """Features of a less those of b, and whether a is preferred."""
    x = transform([pair.a for pair in pairs]) - transform([pair.b for pair in pairs])
    return x, np.array([pair.preferred == "a" for pair in pairs])


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share, 95 % by default.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    share = right / asked
    centre = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z / (1 + z * z / asked) * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return centre - half, centre + half


def fisher(correlation: float, pairs: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of Pearson's correlation to four digits, 95 % by default.

    Source: Fisher 1921, "On the 'Probable Error' of a Coefficient of Correlation Deduced from a Small Sample".
    """
    centre, half = math.atanh(correlation), z / math.sqrt(pairs - 3)
    return round(math.tanh(centre - half), 4), round(math.tanh(centre + half), 4)
