"""Answers of a model to many questions, and the threshold below which it says that there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from projects.onnx_serving.data import Question
from projects.onnx_serving.inference.backends import Encoder
from projects.onnx_serving.inference.padded_batches import run_padded
from projects.onnx_serving.inference.spans import WindowSplitter, rank_spans
from projects.onnx_serving.metrics import Scores, score

TOKEN_BUDGET = 4096  # padded tokens of a batch


@dataclass(frozen=True)
class Prediction:
    """The right answer to a question, the best span, and the margin by which that beats "not here"."""

    gold: str
    span: str
    margin: float

    def answer_at(self, threshold: float) -> str:
        """The answer under a threshold."""
        return self.span if self.margin >= threshold else ""


def predict_spans(encoder: Encoder, splitter: WindowSplitter, questions: Sequence[Question]) -> list[Prediction]:
    """The best span for each question."""
    windows = [splitter(q.text, q.context) for q in questions]
    flat = [window for each in windows for window in each]
    logits = iter(run_padded(encoder, flat, pad_id=splitter.pad_id, token_budget=TOKEN_BUDGET))
    predictions = []
    for question, mine in zip(questions, windows, strict=True):
        best = rank_spans(mine, [next(logits) for _ in mine])[0]
        predictions.append(Prediction(question.answer, question.context[best.start : best.end], best.margin))
    return predictions


def best_threshold(predictions: Sequence[Prediction]) -> float:
    """The margin with the best mean F1 over all questions; of equals the smallest.

    Candidates stand midway between neighbouring margins, since elsewhere no answer changes.
    """
    margins = sorted({each.margin for each in predictions})
    between = [(low + high) / 2 for low, high in pairwise(margins)]
    candidates = [margins[0] - 1, *between, margins[-1] + 1]
    return max(candidates, key=lambda threshold: score_at(predictions, threshold).f1)


def score_at(predictions: Sequence[Prediction], threshold: float) -> Scores:
    """How right the answers are under a threshold."""
    return score([each.answer_at(threshold) for each in predictions], [each.gold for each in predictions])
