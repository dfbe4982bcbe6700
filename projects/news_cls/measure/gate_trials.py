"""Updates that are known to be good or bad, put before the gate."""

from typing import Any

import torch

from projects.news_cls.monitor.update import Holdout, Labelled, gate, updated
from projects.news_cls.monitor.versions import Head
from shared.seeding import generator

KINDS = ("good", "shuffled labels", "one class only", "other texts' labels")


def planted(new: Labelled, kind: str, seed: int) -> Labelled:
    """New labels as they are, or spoilt as happens: random ones, one label for all, a column that slipped by a row.

    The rows are put in random order before they slip: as they were collected, articles of one topic follow one another,
    and two in five would keep a right label.
    """
    source = generator(seed, 7)
    if kind == "shuffled labels":
        return Labelled(new.embeddings, new.labels[torch.randperm(len(new.labels), generator=source)])
    if kind == "one class only":
        topic = int(torch.randint(int(new.labels.max()) + 1, (1,), generator=source))
        return Labelled(new.embeddings, torch.full_like(new.labels, topic))
    if kind == "other texts' labels":
        rows = torch.randperm(len(new.labels), generator=source)
        return Labelled(new.embeddings[rows], new.labels[rows].roll(1))
    return new


def trial(
    current: Head, new: Labelled, train: Labelled, holdouts: tuple[Labelled, Labelled], kind: str, seed: int
) -> dict[str, Any]:
    """One update with replay, and what the gate says."""
    candidate = updated(current, planted(new, kind, seed), train)
    decision = gate(current, candidate, Holdout(holdouts[0]), Holdout(holdouts[1]))
    return {
        "kind": kind,
        "seed": seed,
        "accepted": int(decision.accepted),
        "old_gain": round(decision.old[0], 4),
        "new_gain": round(decision.new[0], 4),
        "reason": decision.reason,
    }
