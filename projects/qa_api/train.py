"""The training loop of a reader: `python -m projects.qa_api.train --model e5`.

What the lower layers make of a window does not change, so that it is computed once, in half precision, and an epoch
costs the upper layers alone.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from projects.qa_api.config import Config
from projects.qa_api.data.documents import Document, Language, Part, introductions
from projects.qa_api.data.examples import (
    Example,
    cloze_examples,
    described_examples,
    fact_examples,
    missing_examples,
    moved_examples,
)
from projects.qa_api.data.published import published
from projects.qa_api.evaluate import scored
from projects.qa_api.index.words import WordIndex
from projects.qa_api.reader.decode import read, trimmed
from projects.qa_api.reader.model import SpanReader, span_loss
from projects.qa_api.reader.windows import MOST_QUESTION, Windows, targets, windows
from shared import progress
from shared.batching import of_like_length, shuffled
from shared.devices import use_bfloat16
from shared.errors import UserError, command
from shared.files import read_json, write_json
from shared.fingerprint.citations import checkpoints
from shared.optim import cosine_schedule
from shared.run_directories import new_directory
from shared.runs import Run, verified_tensors
from shared.seeding import generator, seed_everything

RUNS = Path("runs")
RESULT = "result.json"
VALIDATION = 300  # questions
NEAR = 8  # documents among which another one's question is put
SHARE_MOVED = 0.5
ENGLISH_ONLY = ("minilm",)


@dataclass(frozen=True)
class Metrics:
    """What a training came to, on questions of the validation titles in wordings of their own.

    Attributes:
        loss: The last one.
        validation_f1: Mean F1; where nothing answers, 1 for saying so.
        answered: Share of the questions that got an answer.
        examples: Questions that were learned from.
    """

    loss: float
    validation_f1: float
    answered: float
    examples: int


@dataclass(frozen=True)
class Asked:
    """Questions with the documents that they are put to."""

    examples: tuple[Example, ...]
    documents: dict[str, Document]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(question, text)."""
        return [(each.question, self.documents[each.document].text) for each in self.examples]

    @property
    def answers(self) -> list[tuple[int, int] | None]:
        """Offsets, or None."""
        return [None if each.start is None else (each.start, each.stop or 0) for each in self.examples]

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        told = json.dumps([[*vars(each).values(), self.documents[each.document].digest] for each in self.examples])
        return hashlib.sha256(told.encode()).hexdigest()


def main(config: Config, below: dict[str, list[Tensor]] | None = None) -> Metrics:
    """Train, and judge on validation.

    Args:
        below: States of the layers that stay, by what they are of; a study keeps them from seed to seed.
    """
    asked = questions(config, "train")
    checked = questions(config, "validation", VALIDATION)
    out = config.out or new_directory(RUNS, "qa_api", Path(config.model).name)
    seed_everything(config.seed)
    reader = SpanReader(config.model, config.upper)
    with Run(out, project="qa_api", config=config, resume=config.resume, data=asked.digest) as run:
        loss = descend(config, reader, asked, run, {} if below is None else below)
        metrics = validated(reader, checked, loss, len(asked.examples))
        if run.step < total_steps(config, asked) + 1:
            run.log(total_steps(config, asked) + 1, **{k: v for k, v in vars(metrics).items() if k != "loss"})
            run.save(total_steps(config, asked) + 1, dict(reader.trained()))
    write_json(out / RESULT, vars(metrics))
    return metrics


def questions(config: Config, part: Part, most: int | None = None) -> Asked:
    """Questions made from the documents of a part, with and without answers; the same for every seed."""
    return _questions(replace(config, seed=0, lr=Config.lr, out=None, resume=False), part, most)


@cache
def _questions(config: Config, part: Part, most: int | None) -> Asked:
    if config.dataset == "introductions":
        known, found = made(config, part, most)
    else:
        documents, found = published("rajpurkar/squad_v2" if config.dataset == "squad" else config.dataset, part)
        known = {each.id: each for each in documents}
    if not found:
        raise UserError(f"--dataset {config.dataset}: no question of its {part} titles is there")
    order = shuffled(len(found), generator(0, 7))
    return Asked(tuple(found[row] for row in order[:most]), known)


def made(config: Config, part: Part, most: int | None) -> tuple[dict[str, Document], list[Example]]:
    """Documents by id, and questions made of those of a part."""
    languages: tuple[Language, ...] = ("en",) if config.model in ENGLISH_ONLY else ("en", "es")
    documents = [each for language in languages for each in introductions(language)]
    known = {each.id: each for each in documents}
    found = fact_examples(documents, part) if config.facts else []
    for make, count in ((described_examples, config.described), (cloze_examples, config.cloze)):
        found += make(documents, part, count if most is None else min(count, most))
    wanted = round(config.missing * len(found))
    words = word_index(languages)

    def near(question: str, language: Language) -> list[str]:
        return [each for each, _ in words.search(question, NEAR, (language,))]

    moved = moved_examples(found, near, known, round(SHARE_MOVED * wanted))
    return known, found + moved + missing_examples(documents, part, wanted - len(moved))


@cache
def word_index(languages: tuple[Language, ...]) -> WordIndex:
    """All introductions by their words."""
    words = WordIndex()
    words.put(each for language in languages for each in introductions(language))
    words.commit()
    return words


def total_steps(config: Config, asked: Asked) -> int:
    """Optimizer steps of all epochs, one window a question."""
    return config.epochs * math.ceil(len(asked.examples) / config.batch)


@torch.no_grad()
def kept_states(reader: SpanReader, found: Windows, batch: int = 32) -> list[Tensor]:
    """What the lower layers make of each window, without its padding, in half precision."""
    states: list[Tensor] = [torch.empty(0)] * len(found.owner)
    order = sorted(range(len(states)), key=lambda row: int(found.mask[row].sum()))
    starts = range(0, len(order), batch)
    for start in progress.track(starts, description="states below", total=len(starts)):
        rows = order[start : start + batch]
        own = found.rows(rows)
        for row, state, mask in zip(rows, reader.lower(own.ids, own.mask), own.mask, strict=True):
            states[row] = state[: int(mask.sum())].half()
    return states


def one_window_each(found: Windows, wanted: Tensor) -> list[int]:
    """The window of each question that holds its answer, else its first."""
    best: dict[int, int] = {}
    for row, owner in enumerate(found.owner):
        if owner not in best or (wanted[best[owner], 0] == 0 and wanted[row, 0] > 0):
            best[owner] = row
    return [best[owner] for owner in sorted(best)]


def descend(config: Config, reader: SpanReader, asked: Asked, run: Run, below: dict[str, list[Tensor]]) -> float:
    """All epochs; returns the mean loss of the last hundred steps."""
    every = windows(reader.tokenizer, asked.pairs, tokens=config.tokens, stride=(config.tokens - MOST_QUESTION) // 3)
    goals = targets(every, asked.answers)
    rows = one_window_each(every, goals)
    found, goals = every.rows(rows), goals[rows]
    key = f"{config.model} {config.upper} {config.tokens} {asked.digest}"
    states = below[key] = below[key] if key in below else kept_states(reader, found)
    parameters = [each for _, each in reader.trained()]
    optimizer = torch.optim.AdamW(parameters, config.lr, weight_decay=0.01)
    total = total_steps(config, asked)
    schedule = cosine_schedule(optimizer, total=total)
    lengths, losses, step = [len(each) for each in states], [], 0
    reader.train()
    fast = use_bfloat16(config.precision, torch.device("cpu"))
    bar = progress.track(range(total), description=f"{config.model}, seed {config.seed}", total=total)
    for epoch in range(config.epochs):
        draws = generator(config.seed, epoch)
        for batch in of_like_length(shuffled(len(rows), draws), lengths, config.batch, draws):
            next(bar)
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                scores = above(reader, [states[row] for row in batch])
            losses.append(update(reader, scores.float(), goals[batch], optimizer))
            schedule.step()
            step += 1
            if step % 20 == 0:
                run.log(step, loss=sum(losses[-20:]) / len(losses[-20:]), lr=float(schedule.get_last_lr()[0]))
    reader.eval()
    return sum(losses[-100:]) / len(losses[-100:])


def above(reader: SpanReader, states: Sequence[Tensor]) -> Tensor:
    """Scores of a batch from its kept states."""
    padded = torch.nn.utils.rnn.pad_sequence([each.float() for each in states], batch_first=True)
    mask = torch.arange(padded.shape[1])[None] < torch.tensor([len(each) for each in states])[:, None]
    return reader.above(padded, mask)


def update(reader: SpanReader, scores: Tensor, wanted: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One step; returns the loss."""
    optimizer.zero_grad()
    loss = span_loss(scores, wanted)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([each for _, each in reader.trained()], 1.0)
    optimizer.step()
    return float(loss.detach())


def validated(reader: SpanReader, asked: Asked, loss: float, examples: int) -> Metrics:
    """Mean F1 on questions, with "not in here" where the span is no better than none."""
    spans = read(reader, asked.pairs)
    given = []
    for span, (_, text) in zip(spans, asked.pairs, strict=True):
        start, stop = trimmed(text, span)
        given.append(text[start:stop] if span.margin > 0 else "")
    right = [[each.answer(asked.documents[each.document])] for each in asked.examples]
    f1 = [scored(answer, wanted).f1 for answer, wanted in zip(given, right, strict=True)]
    answered = sum(map(bool, given)) / len(given)
    return Metrics(loss, sum(f1) / len(f1), answered, examples)


def load_reader(directory: Path) -> SpanReader:
    """The reader of a run, from verified weights.

    Raises:
        UserError: If there is none, or it does not verify.
    """
    told, saved = read_json(directory / "config.json"), checkpoints(directory)
    if not saved:
        raise UserError(f"{directory} holds no checkpoint: train first")
    reader = SpanReader(told["model"], told["upper"])
    reader.load_trained(verified_tensors(saved[-1]))
    return reader.eval()


def describe(metrics: Metrics) -> dict[str, Any]:
    """For a table."""
    return {"F1": f"{metrics.validation_f1:.3f}", "answered": f"{metrics.answered:.2f}"}


if __name__ == "__main__":
    command(main, Config)
