"""Training windows: a piece of an article, its question, and where in it the answer begins and ends."""

# b batch · t time

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from projects.onnx_serving.data import Question
from projects.onnx_serving.inference.spans import Window, WindowSplitter, pad_windows, token_span
from shared import batching

NEGATIVES = 0.25  # share of the answered questions that also give a window of the article without the answer
OPENINGS = 0.75  # share of the unanswerable ones whose window is the opening, which holds what tempts to answer
CLS = 0  # target of "not here"


@dataclass(frozen=True)
class Example:
    """A window and its target tokens; both CLS if the window does not hold the answer."""

    window: Window
    first: int
    last: int


@dataclass(frozen=True)
class Batch:
    """Padded windows and their targets.

    Attributes:
        inputs: Inputs of the model by name, each b × t.
        allowed: Tokens that may begin or end an answer, [CLS] among them.
        first: Target of the start.
        last: Target of the end.
    """

    inputs: dict[str, Int[Tensor, "b t"]]
    allowed: Bool[Tensor, "b t"]
    first: Int[Tensor, " b"]
    last: Int[Tensor, " b"]


def examples_of(questions: Sequence[Question], splitter: WindowSplitter, *, seed: int) -> list[Example]:
    """One or two windows a question; the seed decides which."""
    draw = random.Random(seed)
    found = []
    for question in questions:
        windows = splitter(question.text, question.context)
        places = [(w, _place(w, question)) for w in windows]
        holding = [Example(w, *place) for w, place in places if place]
        empty = [Example(w, CLS, CLS) for w, place in places if not place]
        if holding:
            found.append(draw.choice(holding))
            if empty and draw.random() < NEGATIVES:
                found.append(draw.choice(empty))
        elif not question.answerable:
            found.append(empty[0] if draw.random() < OPENINGS else draw.choice(empty))
    return found


def _place(window: Window, question: Question) -> tuple[int, int] | None:
    """Target tokens, or None if the window does not hold the answer."""
    if not question.answerable:
        return None
    return token_span(window, question.start, question.start + len(question.answer))


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """A batch of the examples, padded to the longest of them."""
    inputs = {
        name: torch.from_numpy(array) for name, array in pad_windows([e.window for e in examples], pad_id).items()
    }
    allowed = torch.zeros(inputs["input_ids"].shape, dtype=torch.bool)
    for row, example in enumerate(examples):
        allowed[row, : len(example.window)] = torch.from_numpy(example.window.allowed)
    allowed[:, CLS] = True
    first, last = (torch.tensor([getattr(e, name) for e in examples]) for name in ("first", "last"))
    return Batch(inputs, allowed, first, last)


def shuffled(examples: Sequence[Example], size: int, *, pad_id: int, source: torch.Generator) -> Iterator[Batch]:
    """Every example once, in batches of like length, in an order that `source` alone decides."""
    order, lengths = batching.shuffled(len(examples), source), [len(example.window) for example in examples]
    for rows in batching.of_like_length(order, lengths, size, source):
        yield collate([examples[row] for row in rows], pad_id)
