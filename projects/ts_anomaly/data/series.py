"""Series by name, with where fitting and validation end; what counts in each, and its known faults, are in
series.toml.
"""

# n points · c channels

import csv
import gzip
import io
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from projects.ts_anomaly.data.clean import regular
from projects.ts_anomaly.data.origins import ORIGINS, origins
from projects.ts_anomaly.data.reading import LABELS, read_table
from shared.assets.packages import package_file
from shared.errors import UserError

DEFINITIONS = Path(__file__).with_name("series.toml")
SPLIT = (0.4, 0.6)  # where fitting and validation end in a file of one's own
FEWEST = 64  # rows of such a file
FITTED = 0.8  # of what is there at a rolling origin; the rest validates


@dataclass(frozen=True)
class Series:
    """A series in three parts, in the order of time: fitted on, validated on, judged.

    Attributes:
        name: Embedded name or path.
        values: (n, c); NaN is a gap.
        labels: 1 is anomalous; None where nobody labelled it.
        fit: First index that nothing is fitted on.
        validation: First index that no choice and no threshold sees.
        period: Points of its season, 0 without.
        buffer: Largest buffer of VUS-PR.
        annotations: Change points that each annotator marked.
        gap: Points behind `validation` that nobody is judged by, as of a rolling origin.
    """

    name: str
    values: Float[np.ndarray, "n c"]
    labels: Int[np.ndarray, " n"] | None
    fit: int
    validation: int
    period: int = 0
    buffer: int = 24
    annotations: tuple[tuple[int, ...], ...] = ()
    gap: int = 0

    @property
    def judged(self) -> int:
        """First index of what detectors are judged by."""
        return self.validation + self.gap

    @property
    def prefix(self) -> Float[np.ndarray, "m c"]:
        """What is fitted on; rows that are labelled anomalous are gaps in it."""
        return self.known[: self.fit]

    @property
    def known(self) -> Float[np.ndarray, "m c"]:
        """What is fitted or validated on, labelled anomalies as gaps."""
        values = self.values[: self.validation].copy()
        if self.labels is not None:
            values[self.labels[: self.validation] != 0] = np.nan
        return values


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """What series.toml says of each series."""
    return tomllib.loads(DEFINITIONS.read_text(encoding="utf-8"))


def load_series(name: str, size: int | None = None) -> Series:
    """The series that `--dataset` names: an embedded one, or a CSV file of one's own.

    In a file a column `label` or `is_anomaly` holds labels; 0.4 of its rows are fitted on, up to 0.6 validated on. An
    embedded name with @0, @1 or @2 is the series as it stood at a rolling origin (data/origins.py).

    Args:
        size: Bytes of the file that are read, as it was before it grew; by default all.

    Raises:
        UserError: If there is none of that name, or the file cannot be read.
    """
    path = own_file(name)
    if path is None:
        embedded, _, number = name.partition("@")
        return _at_origin(_embedded(embedded), name, int(number)) if number else _embedded(embedded)
    if path.exists():
        return _own(path, size)
    near = get_close_matches(name, definitions(), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"--dataset {name}: no such file, and no embedded series{hint}; there are {', '.join(definitions())}"
    )


def own_file(name: str) -> Path | None:
    """The file that `--dataset` names, there or not; None if it names an embedded series."""
    embedded, at, number = name.partition("@")
    if embedded in definitions() and (not at or number in map(str, range(ORIGINS))):
        return None
    return Path(name).expanduser()


def _at_origin(series: Series, name: str, number: int) -> Series:
    """What was there at an origin is fitted and validated on; the gap, then what is judged, follow."""
    known, judged, stop = origins(len(series.values))[number]
    labels = None if series.labels is None else series.labels[:stop]
    cut = replace(series, name=name, values=series.values[:stop], labels=labels)
    return replace(cut, fit=round(FITTED * known), validation=known, gap=judged - known)


def _embedded(name: str) -> Series:
    """A copy of what is read once, for whoever changes it."""
    read = _read(name)
    return replace(read, values=read.values.copy(), labels=None if read.labels is None else read.labels.copy())


@cache
def _read(name: str) -> Series:
    told = definitions()[name]
    rows = _rows(package_file(told["package"], *told["file"].split("/")))
    if since := told.get("since"):
        days = [row[told["time"]] for row in rows]
        rows = rows[days.index(since) :]
    rows = rows[:: told.get("every", 1)]
    values = np.array([[_number(row[column]) for column in told["value"]] for row in rows])
    if told.get("returns"):
        with np.errstate(invalid="ignore", divide="ignore"):  # oil had a price below 0 once: its return is a gap
            values = 100 * np.diff(np.log(values[~np.isnan(values).any(1)]), axis=0)
        values[~np.isfinite(values)] = np.nan
    labels = np.array([int(float(row[told["label"]])) for row in rows]) if "label" in told else None
    marked = tuple(tuple(each) for each in told.get("annotations", {}).values())
    sizes = {key: told[key] for key in ("fit", "validation", "period", "buffer")}
    return Series(name, values, labels, annotations=marked, **sizes)


def _rows(path: Path) -> list[dict[str, str]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))


def _number(text: str) -> float:
    return float(text) if text not in ("", ".") else float("nan")


def _own(path: Path, size: int | None) -> Series:
    """On a grid of equal steps, as a stream of it is watched: gaps where no row came."""
    table = read_table(path, size)
    if len(table.times) < FEWEST:
        raise UserError(f"{path}: has {len(table.times)} rows, of at least {FEWEST}")
    try:
        _, values = regular(table.times, table.values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    marks = [place for place, name in enumerate(table.names) if name.lower() in LABELS]
    labels = (np.nan_to_num(values[:, marks[0]]) != 0).astype(int) if marks else None
    values = np.delete(values, marks, axis=1)
    if not values.shape[1]:
        raise UserError(f"{path}: has no column beside its labels")
    fit, validation = (round(share * len(values)) for share in SPLIT)
    return Series(path.name, values, labels, fit, validation)
