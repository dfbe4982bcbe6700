"""What a service remembers of the past: embeddings and topics of its training, to be replayed, and of an old holdout.

They are kept beside the checkpoint, so that an update needs no corpus and forgets nothing that was measured.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from projects.news_cls.classifier import Classifier
from projects.news_cls.data.articles import Corpus
from projects.news_cls.monitor.update import Decision, Holdout, Labelled, gate, updated
from projects.news_cls.monitor.versions import Head, Version, Versions
from shared.errors import UserError
from shared.files import atomic_path
from shared.tensors import load_tensors

NAME = "memory.safetensors"
HELD_OUT = 3
"""One label in so many is kept from the update and judges it."""


@dataclass(frozen=True)
class Memory:
    """Labelled embeddings of the past."""

    train: Labelled
    holdout: Labelled

    @classmethod
    def of(cls, classifier: Classifier, corpus: Corpus) -> "Memory":
        """What a classifier's own corpus was: training, and validation as the holdout. The test is left alone."""
        parts = []
        for articles in (corpus.train, corpus.validation):
            found = classifier.embed([each.text for each in articles])
            parts.append(Labelled(found, torch.tensor(corpus.numbers(articles))))
        return cls(*parts)

    def write(self, run: Path) -> None:
        """Beside a run's checkpoint."""
        parts = {"train": self.train, "holdout": self.holdout}
        tensors = {f"{name}.embeddings": part.embeddings.half() for name, part in parts.items()}
        tensors |= {f"{name}.labels": part.labels for name, part in parts.items()}
        with atomic_path(run / NAME) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def read(cls, run: Path) -> "Memory":
        """What `write` wrote.

        Raises:
            UserError: If it is missing or cut.
        """
        if not (run / NAME).is_file():
            raise UserError(f"{run / NAME} is not there: python -m projects.news_cls makes a run that can be served")
        found = load_tensors(run / NAME)
        if missing := {f"{name}.{what}" for name in ("train", "holdout") for what in ("embeddings", "labels")} - set(
            found
        ):
            raise UserError(f"{run / NAME} lacks {min(missing)}: it is of something else")
        parts = [
            Labelled(found[f"{name}.embeddings"].float(), found[f"{name}.labels"]) for name in ("train", "holdout")
        ]
        return cls(*parts)


def held_out(text: str) -> bool:
    """Whether a labelled text judges updates instead of teaching them: by its digest, so that none changes sides."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % HELD_OUT == 0


def propose(
    versions: Versions, current: Version, memory: Memory, rows: Sequence[dict[str, Any]], new: Labelled
) -> tuple[Decision, int]:
    """Learn from feedback with replay, ask the gate, write down what it said. Returns the version that answers then.

    A refused candidate is kept too, so that the log can be read; its feedback stays for the next one. A text counts
    once, by what was said of it last: thirty copies of one article would satisfy the gate, which counts and resamples.

    Args:
        rows: Feedback as stored.
        new: The same as embeddings and topics, row by row.

    Raises:
        UserError: If there is no feedback to learn from.
    """
    last = {row["text"]: place for place, row in enumerate(rows)}
    learned, judging = ([place for text, place in last.items() if held_out(text) == side] for side in (False, True))
    if not learned:
        raise UserError("there is no feedback to learn from")
    learn, judge = (Labelled(new.embeddings[part], new.labels[part]) for part in (learned, judging))
    candidate = updated(current.head, learn, memory.train)
    decision = gate(current.head, candidate, Holdout(memory.holdout), Holdout(judge))
    number = record(versions, current, candidate, decision, [row["id"] for row in rows])
    return decision, number if decision.accepted else current.id


def record(versions: Versions, current: Version, candidate: Head, decision: Decision, feedback: Sequence[int]) -> int:
    """Write a candidate with its decision; feedback is used up where it was let in."""
    return versions.add(
        candidate,
        labels=current.labels,
        encoder=current.encoder,
        temperature=current.temperature,
        unsure_below=current.unsure_below,
        action="release" if decision.accepted else "refuse",
        reason=decision.reason or "gains on the new, keeps the old",
        numbers={"old": list(decision.old), "new": list(decision.new), "labels": len(feedback)},
        parent=current.id,
        feedback=feedback if decision.accepted else (),
    )
