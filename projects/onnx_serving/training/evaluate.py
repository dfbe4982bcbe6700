"""Answers of a model to many questions, and the threshold under which it rather says that there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from projects.onnx_serving.data import Question
from projects.onnx_serving.inference.backends import Encoder
from projects.onnx_serving.inference.padded_batches import run_padded
from projects.onnx_serving.inference.spans import Cutter, ranked
from projects.onnx_serving.metrics import Scores, score

TOKEN_BUDGET = 4096  # padded tokens of a batch


@dataclass(frozen=True)
class Judged:
    """A question's right answer, the best span, and by what margin it beats "not here"."""

    right: str
    span: str
    margin: float

    def given(self, threshold: float) -> str:
        """What is answered under a threshold."""
        return self.span if self.margin >= threshold else ""


def judge(encoder: Encoder, cutter: Cutter, questions: Sequence[Question]) -> list[Judged]:
    """The best span of each question.

    Args:
        encoder: Gives start and end logits.
        cutter: Into windows.
        questions: With their articles.
    """
    windows = [cutter(q.text, q.context) for q in questions]
    flat = [window for each in windows for window in each]
    logits = iter(run_padded(encoder, flat, padding=cutter.padding, budget=TOKEN_BUDGET))
    judged = []
    for question, mine in zip(questions, windows, strict=True):
        best = ranked(mine, [next(logits) for _ in mine])[0]
        judged.append(Judged(question.answer, question.context[best.start : best.end], best.margin))
    return judged


def chosen_threshold(judged: Sequence[Judged]) -> float:
    """The margin with the best mean F1 over all questions; of equals the smallest.

    Candidates stand midway between neighbouring margins, since elsewhere no answer changes.
    """
    margins = sorted({each.margin for each in judged})
    between = [(low + high) / 2 for low, high in pairwise(margins)]
    candidates = [margins[0] - 1, *between, margins[-1] + 1]
    return max(candidates, key=lambda threshold: score_at(judged, threshold).f1)


def score_at(judged: Sequence[Judged], threshold: float) -> Scores:
    """How right the answers are under a threshold."""
    return score([each.given(threshold) for each in judged], [each.right for each in judged])
