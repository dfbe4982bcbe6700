"""Predictions, accuracy and macro-F1."""

# n texts · c classes

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from projects.lora.data import Texts


@dataclass(frozen=True)
class Score:
    """How well a model classifies one split.

    Attributes:
        accuracy: Share of right answers, 0 to 1.
        macro_f1: Mean of the classes' F1, each class with equal weight, 0 to 1.
    """

    accuracy: float
    macro_f1: float


@torch.inference_mode()
def logits_of(model: nn.Module, texts: Texts, *, batch_size: int = 64) -> Float[Tensor, "n c"]:
    """Scores before the softmax, in the order of the texts, on the CPU; the model is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    scores: list[Tensor] = [torch.empty(0)] * len(texts)
    for rows, batch in texts.batches_by_length(batch_size):
        batch = batch.to(device)
        for row, logits in zip(rows, model(batch.input_ids, batch.attention_mask).cpu(), strict=True):
            scores[row] = logits
    return torch.stack(scores)


def score(logits: Float[Tensor, "n c"], labels: list[int]) -> Score:
    """Accuracy and macro-F1 of the largest score; a class that is neither there nor predicted does not count.

    >>> score(torch.eye(3), [0, 1, 1])
    Score(accuracy=0.6666666865348816, macro_f1=0.5555555820465088)
    """
    predicted, gold = logits.argmax(1), torch.tensor(labels)
    classes = logits.shape[1]
    right = torch.bincount(gold[predicted == gold], minlength=classes)
    counted = torch.bincount(gold, minlength=classes) + torch.bincount(predicted, minlength=classes)
    present = counted > 0
    f1 = 2 * right[present] / counted[present]  # 2·TP / (2·TP + FP + FN)
    return Score((predicted == gold).float().mean().item(), f1.mean().item())
