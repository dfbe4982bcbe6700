"""The README's numbers are those of results/, and results/ say where they come from."""

import csv
import json
import re
from pathlib import Path

import pytest

from shared.lab.originality.attacks import ATTACKS, HELD_OUT, TUNED_ON
from shared.originality import evidence

FOLDER = Path(evidence.__file__).parent
RESULTS = FOLDER / "results"


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, str]]:
    with (RESULTS / "results.csv").open(encoding="utf-8", newline="") as stream:
        return {row["attack"]: row for row in csv.DictReader(stream) if row["topics"] == "held-out"}


@pytest.fixture(scope="module")
def readme() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def read(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def test_results_are_of_every_disguise_and_three_seeds(rows):
    assert set(ATTACKS) < set(rows)
    for attack, row in rows.items():
        assert int(row["seeds"]) >= 3
        assert row["seen while tuning"] == ("yes" if attack in TUNED_ON else "no" if attack in HELD_OUT else "in part")


def test_results_csv_is_the_mean_of_the_seeds(rows):
    seeds = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("held-out-seed*.json"))]
    for attack, row in rows.items():
        for name in ("ours", "copydetect"):
            mean = sum(seed["attacks"][attack][name] for seed in seeds) / len(seeds)
            assert float(row[name]) == pytest.approx(mean, abs=6e-5)


def test_readme_table_is_the_results(rows, readme):
    cells = r" \| ".join([r"([^|]+?)", "(yes|no|in part)", r"([\d.]+)", r"([\d.]+)", r"([\d.]+)"])
    found = re.findall(rf"^\| {cells} \|$", readme, re.MULTILINE)
    assert {name for name, *_ in found} == set(rows)
    for name, seen, *values in found:
        row = rows[name]
        figures = [f"{float(row[key]):.3f}" for key in ("ours", "ours at the shipped threshold", "copydetect")]
        assert [seen, *values] == [row["seen while tuning"], *figures]


def test_readme_figures_are_the_results(readme):
    """Every other figure is written as it is in a file of results/, rounded."""
    speed = read("speed.json")["pairs per second, median"]
    whole = read("class.json")
    for value in (*speed.values(), whole["seconds"], whole["peak memory, MiB"]):
        assert re.search(rf"\b{_rounded(value)}\b", readme), value
    assert f"{evidence.load().pairs:,}".replace(",", " ") in readme
    seeds = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("held-out-seed*.json"))]
    alarms = sum(seed["false positives at the shipped threshold"] for seed in seeds)
    assert f"{alarms} false alarms in {sum(seed['independent pairs'] for seed in seeds)} independent pairs" in readme


def _rounded(value: float) -> str:
    """Three significant digits above ten, one decimal below."""
    return f"{float(f'{value:.3g}'):g}" if value >= 10 else f"{value:.1f}"
