"""A comparison as CSV and JSON."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.files import write_json, write_text
from shared.originality.compare import Comparison, Pair
from shared.originality.explain import Explanation
from shared.originality.trees import Unit
from shared.originality.wording import sentence

COLUMNS = (
    "owner_one",
    "file_one",
    "owner_two",
    "file_two",
    "evidence",
    "p_value",
    "trees",
    "tokens",
    "oddities",
    "above",
)


def write_csv(comparison: Comparison, path: Path) -> None:
    """One row for each pair of files with any evidence, strongest first."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in comparison.pairs:
        writer.writerow([_harmless(cell) for cell in _row(pair, comparison).values()])
    write_text(path, text.getvalue())


def write_report_json(comparison: Comparison, explained: list[tuple[Pair, Explanation]], path: Path) -> None:
    """The same rows, with owners, clusters, notes, and what the explained pairs rest on."""
    write_json(
        path,
        {
            "compared_pairs": comparison.compared,
            "independent_pairs": comparison.calibration.pairs,
            "threshold": comparison.threshold,
            "clusters": comparison.clusters,
            "owners": [
                {"one": item.one, "two": item.two, "evidence": _short(item.best.evidence), "file_pairs": item.pairs,
                 "p_value": item.best.p_value, "adjusted_p_value": item.adjusted}
                for item in comparison.owners
            ],
            "files": {item.source.title: [sentence(note) for note in item.notes] for item in comparison.profiles},
            "pairs": [_row(pair, comparison) for pair in comparison.pairs],
            "explained": [_row(pair, comparison) | _explained(found) for pair, found in explained],
        },
    )  # fmt: skip


def _row(pair: Pair, comparison: Comparison) -> dict[str, Any]:
    one, two = pair.one.profile.source, pair.two.profile.source
    shares = comparison.calibration.shares(pair.score)
    cells = (one.owner, one.name, two.owner, two.name, _short(pair.evidence), float(f"{pair.p_value:.3g}"))
    parts = tuple(_short(shares[channel]) for channel in ("trees", "tokens", "oddities"))
    return dict(zip(COLUMNS, (*cells, *parts, pair.evidence >= comparison.threshold), strict=True))


def _explained(found: Explanation) -> dict[str, Any]:
    units = [
        asdict(match) | {"left": _unit(match.left), "right": _unit(match.right), "adds": _short(match.adds)}
        for match in found.units
    ]
    return {"functions": units, "runs": [asdict(run) for run in found.runs], "odd": [asdict(o) for o in found.oddities]}


def _unit(unit: Unit) -> dict[str, Any]:
    return {"name": unit.name, "lines": [unit.line, unit.end]}


def _short(value: float) -> float:
    return round(value, 4)


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, whatever a file is called."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
