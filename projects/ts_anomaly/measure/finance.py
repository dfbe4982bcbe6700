"""Change points of four series that five people annotated: covering, and F1 with a margin; no claim of profit."""

from typing import Any

import numpy as np

from projects.ts_anomaly.changes import change_points
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.evaluate import change_f1, covering

SERIES = ("apple", "bitcoin", "brent", "occupancy")
PENALTIES = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0)
MARGIN = 5


def rows() -> list[dict[str, Any]]:
    """A row a series and way: none at all, PELT with the penalty that is best on the other series, people
    themselves.
    """
    series = {name: load_series(name) for name in SERIES}
    found = {(name, penalty): change_points(series[name].values, penalty) for name in SERIES for penalty in PENALTIES}
    cover = {key: _covering(series[key[0]], changes) for key, changes in found.items()}
    told = []
    for name in SERIES:
        others = [other for other in SERIES if other != name]
        penalty = max(PENALTIES, key=lambda each: sum(cover[other, each] for other in others))
        told.append(_row(series[name], "none", []))
        told.append({**_row(series[name], "PELT", found[name, penalty]), "penalty": penalty})
        told.append(_people(series[name]))
    return told


def _covering(series: Series, changes: list[int]) -> float:
    return float(np.mean([covering(each, changes, len(series.values)) for each in series.annotations]))


def _row(series: Series, way: str, changes: list[int]) -> dict[str, Any]:
    f1 = change_f1(series.annotations, changes, MARGIN)[2]
    told = {"series": series.name, "way": way, "penalty": "", "changes": len(changes)}
    return {**told, "covering": round(_covering(series, changes), 4), "f1": round(f1, 4)}


def _people(series: Series) -> dict[str, Any]:
    """Each annotator against the other four: what agreement there is to be had."""
    covers, scores, counts = [], [], []
    for place, own in enumerate(series.annotations):
        others = series.annotations[:place] + series.annotations[place + 1 :]
        covers.append(np.mean([covering(each, own, len(series.values)) for each in others]))
        scores.append(change_f1(others, own, MARGIN)[2])
        counts.append(len(own))
    told = {
        "series": series.name,
        "way": "a person against four",
        "penalty": "",
        "changes": round(float(np.mean(counts)), 1),
    }
    return {**told, "covering": round(float(np.mean(covers)), 4), "f1": round(float(np.mean(scores)), 4)}
