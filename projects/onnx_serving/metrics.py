"""How right answers are: exact match, token F1, and F1 of saying that there is no answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.squad import exact, f1


@dataclass(frozen=True)
class Scores:
    """Scores over a set of questions; all in [0, 1].

    Attributes:
        exact: Mean exact match over all questions; an unanswerable one is right when nothing is answered.
        f1: Mean F1, likewise.
        answered_f1: Mean F1 over the answerable questions alone; saying "no answer" counts 0.
        answered_exact: Mean exact match over them.
        no_answer_f1: F1 of "no answer" as a class: its precision and recall over all questions.
    """

    exact: float
    f1: float
    answered_f1: float
    answered_exact: float
    no_answer_f1: float


def score(predicted: Sequence[str], gold: Sequence[str]) -> Scores:
    """Compare answers, "" where there is none.

    Raises:
        ValueError: If the two are of different lengths, or empty.
    """
    pairs = list(zip(predicted, gold, strict=True))
    if not pairs:
        raise ValueError("no answers to score")
    answerable = [pair for pair in pairs if pair[1]]
    predicted_none, gold_none = sum(not mine for mine, _ in pairs), sum(not theirs for _, theirs in pairs)
    both = sum(not mine and not theirs for mine, theirs in pairs)
    return Scores(
        exact=sum(exact(*pair) for pair in pairs) / len(pairs),
        f1=sum(f1(*pair) for pair in pairs) / len(pairs),
        answered_f1=sum(f1(*pair) for pair in answerable) / max(1, len(answerable)),
        answered_exact=sum(exact(*pair) for pair in answerable) / max(1, len(answerable)),
        no_answer_f1=2 * both / (predicted_none + gold_none) if predicted_none + gold_none else 1.0,
    )
