"""A task small enough for a notebook's cell: a few hundred questions, and the last two blocks of MiniLM.

The four blocks below do not change, so what they make of the questions is computed once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from shared.assets import load_dataset, load_encoder
from shared.course.cells import descend

QUESTIONS, TRIED, BATCH, CHANGED = 192, 150, 16, 2  # trained on, judged on, of a step, blocks


@dataclass(frozen=True)
class Tuned:
    """What a short training gave.

    Attributes:
        losses: Cross-entropy of each step, in nats.
        right: Share of validation questions answered rightly, from 0 to 1.
        parameters: How many were trained, the head's included.
    """

    losses: list[float]
    right: float
    parameters: int


def blocks() -> Any:
    """The last two blocks of MiniLM, every parameter frozen."""
    encoder, _ = load_encoder("minilm", max_length=24)
    return encoder.encoder.layer[-CHANGED:].requires_grad_(False)


def tune(change: Callable[[Any], None], *, steps: int = 36, rate: float = 3e-3, seed: int = 0) -> Tuned:
    """Let `change` put trained parts into the blocks, and train these and a linear head on TREC's question types.

    Args:
        change: Gets `blocks()`.
        steps: AdamW's, on 16 questions each.
    """
    torch.manual_seed(seed)
    layers, head, (hidden, shown, labels) = blocks(), nn.Linear(384, 6), questions()
    change(layers)

    def scores(rows: slice) -> Tensor:
        x, mask = hidden[rows], shown[rows]
        for layer in layers:
            x = layer(x, mask[:, None, None])  # (b,t,d), (b,1,1,t) -> (b,t,d)
            x = x[0] if isinstance(x, tuple) else x
        return head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    def loss(step: int) -> Tensor:
        first = BATCH * step % QUESTIONS
        rows = slice(first, first + BATCH)
        return nn.functional.cross_entropy(scores(rows), labels[rows])

    moving = [p for p in (*layers.parameters(), *head.parameters()) if p.requires_grad]
    losses, judged = descend(moving, loss, steps=steps, rate=rate), slice(QUESTIONS, None)
    with torch.no_grad():
        right = (scores(judged).argmax(1) == labels[judged]).float().mean().item()
    return Tuned(losses, right, sum(p.numel() for p in moving))


@cache
def questions() -> tuple[Tensor, Tensor, Tensor]:
    """What enters the changed blocks (n,t,d), where words are (n,t), and types (n); training first, then validation."""
    encoder, tokenizer = load_encoder("minilm", max_length=24)
    data = load_dataset("trec")
    rows: list[dict[str, Any]] = [data["train"][:QUESTIONS], data["validation"][:TRIED]]
    words = tokenizer(
        [text for each in rows for text in each["text"]], padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = encoder(**words, output_hidden_states=True).hidden_states[-1 - CHANGED]
    labels = torch.tensor([label for each in rows for label in each["label"]])
    return hidden, words["attention_mask"].bool(), labels
