"""Injected anomalies in the test parts of three series: every detector on the same trials."""

# d draws of the bootstrap

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.baselines.fitted import LSTM, Forest, LinearForecast, SubPCA
from projects.ts_anomaly.baselines.matrix_profile import FullProfile, LeftProfile
from projects.ts_anomaly.baselines.simple import (
    Constant,
    InputNorm,
    MovingDeviation,
    MovingZ,
    Random,
    SpectralResidual,
)
from projects.ts_anomaly.data.inject import kinds, read_kinds
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detector import Detector
from projects.ts_anomaly.evaluate import auc_pr
from projects.ts_anomaly.learned import digest
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.train import load_detector, validate
from projects.ts_anomaly.trials import CONTEXT, Trial, pooled_auc_pr, trials
from shared.study import Done, Item, log_items

SERIES = ("sp500", "mitdb", "ucr135")
SEEN = tuple(name for name in kinds("test") if "train" in read_kinds()[name])
UNSEEN = tuple(name for name in kinds("test") if name not in SEEN)
COUNT = 20  # injections of a kind in a series
SEED = 2026
DRAWS = 200  # of the bootstrap; cells are drawn independently, and an injection with all its seeds
BASELINES: dict[str, tuple[Detector, ...]] = {
    "random": (Random(),),
    "constant": (Constant(),),
    "input norm": (InputNorm(),),
    "moving z": (MovingZ(32), MovingZ(128)),
    "stuck": (MovingDeviation(5, stuck=True), MovingDeviation(16, stuck=True)),
    "spectral residual": (SpectralResidual(64), SpectralResidual(128)),
    "left profile": (LeftProfile(32), LeftProfile(64)),
    "full profile": (FullProfile(32), FullProfile(64)),
    "sub-pca": (SubPCA(32), SubPCA(64)),
    "sub-pca mean": (SubPCA(32, mean=True), SubPCA(64, mean=True)),
    "forest": (Forest(16), Forest(32)),
    "linear": (LinearForecast(32), LinearForecast(128)),
    "lstm": (LSTM(32), LSTM(64)),
}
"""Two candidates where there is anything to choose, as the Transformers have two rates; the validation part decides."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a measurement depends on, beside the checkpoint or the series that is its data."""

    what: str
    detector: str
    dataset: str
    seed: int = 0
    count: int = COUNT


def injected(detector: Detector, series: Series, count: int = COUNT) -> Iterator[Item]:
    """A line a trial: its own AUC-PR is logged, its scores and the place of its anomaly are kept."""
    for each in trials(
        detector.score,
        series,
        kinds("test"),
        side="test",
        part="test",
        count=count,
        seed=SEED,
        needs=min(detector.context, CONTEXT) if detector.streams else CONTEXT,
    ):
        scores = [float(f"{score:.6g}") for score in each.scores]
        yield (
            {"auc_pr": auc_pr(each.labels, each.scores)},
            {"kind": each.kind, "labels": each.labels.tolist(), "scores": scores},
        )


def quick(detector: Detector, series: Series, count: int = 6) -> dict[str, float]:
    """Pooled AUC-PR of each kind, from a few trials."""
    needs = min(detector.context, CONTEXT) if detector.streams else CONTEXT
    told = {"side": "test", "part": "test", "count": count, "seed": SEED + 1, "needs": needs}
    found = list(trials(detector.score, series, kinds("test"), **told))  # type: ignore[arg-type]
    return {kind: pooled_auc_pr([each for each in found if each.kind == kind]) for kind in kinds("test")}


def best_baseline(name: str, series: Series) -> Detector:
    """The candidate that is best on the kinds trained against, in the part for validation; of equals the first."""
    fitted = [each.fit(series.prefix) for each in BASELINES[name]]
    return fitted[0] if len(fitted) == 1 else max(fitted, key=lambda each: validate(each, series))


def measure_baseline(name: str, dataset: str, runs: Path, count: int = COUNT) -> Done:
    """The trials of a baseline."""
    asked = Asked(what="injected", detector=name, dataset=dataset, count=count)
    series = load_series(dataset)

    def take() -> Iterator[Item]:
        return injected(best_baseline(name, series), series, count)

    place = runs / "measured" / f"{name.replace(' ', '_')}-{dataset}"
    return log_items(place, asked, take, project="ts_anomaly", data=digest(dataset))


def measure_trained(done: Done, runs: Path, *, heads: tuple[str, ...] = (), count: int = COUNT) -> Done:
    """The trials of a trained detector, or of some of its kinds of evidence alone."""
    config = done.config
    name = f"{done.name}{'-' + '+'.join(heads) if heads else ''}"
    asked = Asked(what="injected", detector=name, dataset=config.dataset, seed=config.seed, count=count)
    assert done.directory is not None

    def take() -> Iterator[Item]:
        assert done.directory is not None
        detector = load_detector(done.directory)
        if heads and isinstance(detector, PatchTransformer):
            detector.heads = heads
        return injected(detector, load_series(config.dataset), count)

    return log_items(runs / "measured" / name, asked, take, project="ts_anomaly", data=done.source.run)


def as_trials(done: Done) -> list[Trial]:
    """What was kept of the trials of a cell."""
    items = done.items
    return [Trial(each["kind"], np.array(each["labels"]), np.array(each["scores"], dtype=float)) for each in items]


Cells = dict[tuple[str, str], list[list[Trial]]]
"""(series, kind) → for each seed the trials."""


def by_cell(group: Sequence[Done]) -> Cells:
    """Trials of a detector, from its cells of all series and seeds."""
    found: Cells = {}
    for done in group:
        own = as_trials(done)
        for kind in kinds("test"):
            key = (done.config.dataset, kind)
            found.setdefault(key, []).append([each for each in own if each.kind == kind])
    return found


def drawn(cells: Cells) -> dict[tuple[str, str], Float[np.ndarray, " d"]]:
    """Bootstrapped pooled AUC-PR of each cell, the mean over its seeds: an injection is drawn with all its seeds."""
    found = {}
    for place, (key, seeds) in enumerate(cells.items()):
        random, count = np.random.default_rng([SEED, place]), len(seeds[0])
        picks = random.integers(count, size=(DRAWS, count))
        found[key] = np.array([np.mean([pooled_auc_pr([own[at] for at in pick]) for own in seeds]) for pick in picks])
    return found


def seed_means(cells: Cells, names: tuple[str, ...]) -> list[float]:
    """The mean over series and kinds of each seed."""
    wanted = [each for (_, kind), each in cells.items() if kind in names]
    seeds = len(wanted[0])
    return [float(np.mean([pooled_auc_pr(cell[seed]) for cell in wanted])) for seed in range(seeds)]


def mean_interval(
    cells: Cells, names: tuple[str, ...], draws: dict[tuple[str, str], Float[np.ndarray, " d"]] | None = None
) -> tuple[float, float, float, float]:
    """Mean over cells of some kinds, its interval over injections, and the deviation over seeds (0 of one)."""
    draws, each = draws or drawn(cells), seed_means(cells, names)
    spread = float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
    means = np.mean([values for (_, kind), values in draws.items() if kind in names], axis=0)
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return round(float(np.mean(each)), 4), round(low, 4), round(high, 4), round(spread, 4)


def rows_of(name: str, group: Sequence[Done]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row of the main table, and those by series."""
    cells = by_cell(group)
    draws = drawn(cells)
    row: dict[str, Any] = {"detector": name, "seeds": len({done.config.seed for done in group})}
    for label, names in (("seen", SEEN), ("unseen", UNSEEN)):
        values = dict(zip(("", "_low", "_high", "_sd"), mean_interval(cells, names, draws), strict=True))
        row |= {f"{label}{end}": value for end, value in values.items()}
    row |= {"auc_pr": "", "of": list(group)}
    detailed = []
    for dataset in SERIES:
        own = {kind: float(np.mean([pooled_auc_pr(t) for t in cells[dataset, kind]])) for kind in kinds("test")}
        detailed.append({"detector": name, "series": dataset, **{kind: round(value, 4) for kind, value in own.items()}})
    return row, detailed
