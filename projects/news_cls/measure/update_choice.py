"""How strongly an update is tied to the past, chosen where nothing is tested: on validation and on the pool of 2017.

The pool is what may be learned from; each trial learns from two thirds of its stories, and the gate judges by the other
third and by the validation of 2004. No article of either test is read.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from projects.news_cls.data.articles import Article, up_to
from projects.news_cls.monitor.update import Holdout, Labelled, gate, replayed
from projects.news_cls.monitor.versions import Head
from shared.assets.splits import assign

ANCHORS, SHARES = (0.1, 0.3, 1.0), (0.1, 0.2, 0.3)
INNER = {"learn": 2 / 3, "judge": 1 / 3}


def inner(pool: Sequence[Article], seed: int) -> tuple[list[Article], list[Article]]:
    """Stories to learn from, and stories to judge by."""
    split = assign([f"inner {seed}:{each.group}" for each in pool], [each.label for each in pool], INNER)
    parts: dict[str, list[Article]] = {name: [] for name in INNER}
    for each in pool:
        parts[split[f"inner {seed}:{each.group}"]].append(each)
    return parts["learn"], parts["judge"]


def candidates(
    current: Head,
    train: Labelled,
    validation: Labelled,
    pool: Sequence[Article],
    labelled: Callable[[Sequence[Article]], Labelled],
    *,
    labels: int,
    trials: int,
) -> list[dict[str, Any]]:
    """Every pair of ANCHORS and SHARES with what the gate says of it; the one with most accepted trials is chosen.

    Args:
        current: The head that is updated.
        train: What it learned from, and is replayed.
        validation: The old holdout of these trials.
        pool: Articles of the new time that may be learned from.
        labelled: Gives articles their embeddings.
        labels: New labels a topic.
        trials: Divisions of the pool.
    """
    parts = [tuple(map(labelled, (up_to(learn, labels, k), judge)))
             for k, (learn, judge) in ((k, inner(pool, k)) for k in range(trials))]  # fmt: skip
    rows = []
    for anchor in ANCHORS:
        for share in SHARES:
            said = [
                gate(
                    current,
                    replayed(current, new, train, anchor=anchor, share=share),
                    Holdout(validation),
                    Holdout(judge),
                )
                for new, judge in parts
            ]
            rows.append({"anchor": anchor, "share": share, "trials": trials,
                         "accepted": sum(each.accepted for each in said),
                         "old_gain": round(statistics.mean(each.old[0] for each in said), 4),
                         "new_gain": round(statistics.mean(each.new[0] for each in said), 4)})  # fmt: skip
    best = max(rows, key=lambda row: (row["accepted"], row["new_gain"]))
    return [{**row, "chosen": int(row is best)} for row in rows]
