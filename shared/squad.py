"""How SQuAD scores an answer: exact match and F1 over words, behind one normalisation.

Source: Rajpurkar et al. 2016, §6.1; Rajpurkar et al. 2018 for questions without an answer; to the letter their scripts
evaluate-v1.1.py and evaluate-v2.0.py, which agree in all but empty answers (v2.0's rule is ours).
"""

import re
import string
from collections import Counter

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """In this order: lower case, ASCII punctuation taken out, articles turned into a space, spaces collapsed.

    Punctuation leaves no space behind, so a hyphen joins; accents and punctuation beyond ASCII stay.

    >>> normalise("The Coen-Brothers, Ethan & André.")
    'coenbrothers ethan andré'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(given: str, right: str) -> float:
    """1.0 if both are the same, normalised, else 0.0; two empty answers are the same."""
    return float(normalise(given) == normalise(right))


def f1(given: str, right: str) -> float:
    """Harmonic mean of the words' precision and recall, in [0, 1]; an empty answer equals only another."""
    mine, theirs = Counter(normalise(given).split()), Counter(normalise(right).split())
    if not mine or not theirs:
        return float(mine == theirs)
    common = (mine & theirs).total()
    return 2 * common / (mine.total() + theirs.total())
