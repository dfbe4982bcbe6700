"""What alarms are worth: each detector at the threshold that extreme values set without labels, one false alarm in
1,000 points asked for.

The threshold comes from the scores of the validation part; what is injected, or labelled, was never seen. Alarms at
most GAP points apart are one event, as a person is told of them.
"""

# s statistics · d draws of the bootstrap

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from projects.ts_anomaly.baselines.fitted import Smoothing
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detector import Detector
from projects.ts_anomaly.evaluate import auc_roc, delays, event_hits, range_rewards
from projects.ts_anomaly.learned import digest
from projects.ts_anomaly.measure import real
from projects.ts_anomaly.measure.injected import SEED, best_baseline, by_cell
from projects.ts_anomaly.scoring.events import merged
from projects.ts_anomaly.scoring.thresholds import Spot
from projects.ts_anomaly.train import load_detector
from projects.ts_anomaly.trials import Trial
from shared.study import Done, Item, log_items

CHANCE, GAP = 1e-3, 12
DRAWS = 500  # of the bootstrap: series are drawn, then injections within each of their kinds
STATISTICS = ("hits", "alarms", "wanted", "precise", "found", "recalled", "events", "true", "met", "normal")
MEASURES = ("false", "precision", "recall", "f1", "range_f1", "event_f1")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a threshold depends on, beside the checkpoint or the series that is its data."""

    what: str
    detector: str
    dataset: str
    seed: int = 0
    chance: float = CHANCE
    gap: int = GAP


def level(detector: Detector, series: Series) -> float:
    """The threshold, from normal data that were not fitted on; no label is looked at."""
    if isinstance(detector, Smoothing):  # it goes on from the end of the prefix
        scores = detector.score(series.known[series.fit :])
    else:
        scores = detector.score(series.known)[series.fit :]
    return Spot.fit(scores, CHANCE, gap=GAP).level


def statistics(labels: Int[np.ndarray, " n"], alarms: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " s"]:
    """Sums that all measures of alarms follow from, so that those of several stretches can be added."""
    events = np.zeros(len(alarms), dtype=bool)
    for each in merged(alarms.astype(float), alarms, 0.5, GAP):
        events[each.start : each.stop] = True
    precise, recalled = range_rewards(labels, events)
    true, met = event_hits(labels, events)
    hits, wanted = float((alarms & (labels != 0)).sum()), float(labels.sum())
    told = (hits, float(alarms.sum()), wanted, sum(precise), len(precise), sum(recalled), len(recalled))
    return np.array([*told, sum(true), sum(met), len(labels) - wanted])


def measures(sums: Float[np.ndarray, " s"]) -> dict[str, float]:
    """Measures from summed statistics: false events in 1,000 normal points; precision, recall and F1 of points; F1 of
    ranges and of events. 0 where there is nothing to divide by.
    """
    of = dict(zip(STATISTICS, sums.tolist(), strict=True))

    def share(one: str, all_of: str) -> float:
        return of[one] / of[all_of] if of[all_of] else 0.0

    def f1(precision: float, recall: float) -> float:
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    precision, recall = share("hits", "alarms"), share("hits", "wanted")
    return {
        "false": 1000 * (of["found"] - of["true"]) / of["normal"] if of["normal"] else 0.0,
        "precision": precision,
        "recall": recall,
        "f1": f1(precision, recall),
        "range_f1": f1(share("precise", "found"), share("recalled", "events")),
        "event_f1": f1(share("true", "found"), share("met", "events")),
    }


# ---------------------------------------------------------------- cells


def measured(asked: Asked, make: Any, runs: Path, data: str) -> Done:
    """One line: the threshold of a detector on a series, and its measures if somebody labelled the series."""
    series = load_series(asked.dataset)

    def items() -> Iterator[Item]:
        detector = make()
        limit = level(detector, series)
        told = {"level": float(min(limit, 1e12))}
        if series.labels is not None:
            ahead = isinstance(detector, Smoothing)
            scores = detector.score(series.values[series.fit if ahead else 0 :])[series.judged - len(series.values) :]
            labels, alarms = series.labels[series.judged :], np.nan_to_num(scores, nan=-np.inf) > limit
            told |= measures(statistics(labels, alarms))
            late = delays(labels, alarms)
            told |= {"met": float(len(late)), "delay": float(np.median(late)) if late else -1.0}
        yield told, {}

    place = runs / "measured" / f"level-{asked.detector.replace(' ', '_')}-{asked.dataset}-seed{asked.seed}"
    return log_items(place, asked, items, project="ts_anomaly", data=data)


def of_baseline(name: str, dataset: str, runs: Path) -> Done:
    """What a baseline's alarms are worth. There is no best line of code here: only the labels say which one is."""
    series = load_series(dataset)

    def make() -> Detector:
        return Smoothing(series.period).fit(series.prefix) if name == real.ETS else best_baseline(name, series)

    return measured(Asked(what="level", detector=name, dataset=dataset), make, runs, digest(dataset))


def of_trained(done: Done, runs: Path, *, heads: tuple[str, ...] = ()) -> Done:
    """What a trained detector's alarms are worth, or those of some of its kinds of evidence alone."""
    config, folder = done.config, done.directory
    assert folder is not None

    def make() -> Detector:
        detector: Any = load_detector(folder)
        if heads:
            detector.heads = heads
        return detector

    name = "judge" if heads else config.arm
    asked = Asked(what="level", detector=name, dataset=config.dataset, seed=config.seed)
    return measured(asked, make, runs, done.source.run)


# ---------------------------------------------------------------- tables


def row_of(name: str, trials: Sequence[Done], levels: Sequence[Done]) -> dict[str, Any]:
    """A row of injected anomalies: means over series and kinds, of the sums of all trials of a cell."""
    limits = {(each.config.dataset, each.config.seed): each.last("level") for each in levels}
    sums: dict[str, list[Float[np.ndarray, "seeds trials s"]]] = {}
    late: list[int] = []
    areas = []
    for (dataset, _), seeds in by_cell(trials).items():
        own = [limits[dataset, seed] for seed in sorted(seed for name, seed in limits if name == dataset)]
        pairs = [[(t.labels, t.scores > limit) for t in each] for each, limit in zip(seeds, own, strict=True)]
        sums.setdefault(dataset, []).append(np.array([[statistics(*pair) for pair in each] for each in pairs]))
        late += [delay for each in pairs for pair in each for delay in delays(*pair)]
        areas += [_pooled_roc(each) for each in seeds]
    row: dict[str, Any] = {"detector": name, "seeds": len({done.config.seed for done in trials})}
    row |= {key: round(value, 4) for key, value in _means(sums).items()}
    low, high = _interval(sums)
    row |= {"event_f1_low": round(low, 4), "event_f1_high": round(high, 4)}
    return row | {"delay": float(np.median(late)) if late else "", "auc_roc": round(float(np.mean(areas)), 4)}


def _pooled_roc(trials: list[Trial]) -> float:
    return auc_roc(np.concatenate([t.labels for t in trials]), np.concatenate([t.scores for t in trials]))


def _means(sums: dict[str, list[Float[np.ndarray, "seeds trials s"]]]) -> dict[str, float]:
    cells = [measures(seed.sum(0)) for each in sums.values() for cell in each for seed in cell]
    return {name: float(np.mean([cell[name] for cell in cells])) for name in MEASURES}


def _interval(sums: dict[str, list[Float[np.ndarray, "seeds trials s"]]]) -> tuple[float, float]:
    """95 % of the event F1: series are drawn, then the injections of each of their kinds, with all their seeds."""
    random, names, values = np.random.default_rng(SEED), list(sums), []
    for _ in range(DRAWS):
        drawn = []
        for place in random.integers(len(names), size=len(names)).tolist():
            for cell in sums[names[place]]:
                picks = random.integers(cell.shape[1], size=cell.shape[1])
                drawn += [measures(seed[picks].sum(0))["event_f1"] for seed in cell]
        values.append(float(np.mean(drawn)))
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high


def real_rows(found: dict[str, list[Done]]) -> list[dict[str, Any]]:
    """A row a detector: measures on each labelled series, the mean over seeds."""
    told = []
    for name, group in found.items():
        row: dict[str, Any] = {"detector": name}
        for dataset in real.SERIES:
            own = [done for done in group if done.config.dataset == dataset]
            for measure in MEASURES:
                values = [done.last(measure) for done in own]
                row[f"{dataset}_{measure}"] = round(float(np.mean(values)), 4) if own else ""
            late = [done.last("delay") for done in own if done.last("met")]
            row[f"{dataset}_delay"] = float(np.mean(late)) if late else ""
        told.append(row)
    return told
