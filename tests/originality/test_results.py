"""The README's numbers are those of results/, and results/ say where they come from."""

import csv
import json
import re
from pathlib import Path

import pytest

from shared.lab.originality import assignments, classroom
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


@pytest.fixture(scope="module")
def thefts() -> list[dict[str, str]]:
    with (RESULTS / "assignments.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_recall_on_assignments_is_what_was_counted(thefts):
    for use in ("held-out", "tuning"):
        counted = {(row["part"], row["disguise"]): row for row in read(f"assignments-{use}.json")["rows"]}
        mine = [row for row in thefts if row["use"] == use]
        assert len(mine) == len(counted) == len(classroom.SHARES) * len(classroom.DISGUISES)
        for row in mine:
            found = counted[row["part"], row["disguise"]]
            for name in classroom.COUNTED:
                assert float(row[name]) == pytest.approx(found[name] / found["thefts"], abs=6e-4)
                bounds = float(row[f"{name}, low"]), float(row[f"{name}, high"])
                assert bounds == pytest.approx(classroom.interval(found[name], found["thefts"]), abs=6e-4)


def test_readme_table_of_assignments_is_the_results(thefts, readme):
    cell = r"([\d.]+ \[[\d.]+, [\d.]+\])"
    found = re.findall(rf"^\| ([^|]+?), ([^|]+?) \| (\d+) \| {cell} \| {cell} \| ([\d.]+) \|$", readme, re.MULTILINE)

    def shown(row, name):
        return f"{float(row[name]):.2f} [{float(row[f'{name}, low']):.2f}, {float(row[f'{name}, high']):.2f}]"

    expected = [
        (row["part"], row["disguise"], row["thefts"], shown(row, "ours"), shown(row, "copydetect"),
         f"{float(row['ours at the shipped threshold']):.2f}")
        for row in thefts if row["use"] == "held-out"
    ]  # fmt: skip
    assert found == expected


def test_readme_figures_above_one_bar_are_the_results(thefts, readme):
    """The words between are free; the shares stand in this order."""
    tenth = {row["disguise"]: row for row in thefts if row["use"] == "held-out" and row["part"] == "a tenth"}
    said = re.search(
        r"renamed tenth is still found in ([\d.]+) \(copydetect ([\d.]+)\), "
        r"everything at once in ([\d.]+) \(([\d.]+)\)",
        " ".join(readme.split()),
    )
    assert said
    assert list(said.groups()) == [
        f"{float(tenth[disguise][f'{name}, one bar for all']):.2f}"
        for disguise in ("renamed, reordered, dead code", "everything at once")
        for name in ("ours", "copydetect")
    ]


def test_readme_says_on_which_assignments(readme):
    for use in ("held-out", "tuning"):
        result = read(f"assignments-{use}.json")
        for name, entry in assignments.manifest().items():
            if entry["use"] == use:
                assert re.search(rf"\b{name} \({len(entry['solutions'])}[, )]", readme), name
                pairs = len(entry["solutions"]) * (len(entry["solutions"]) - 1) // 2
                assert result["assignments"][name]["innocent pairs"] == pairs
        alarms, pairs = result["false alarms at the shipped threshold"], result["innocent pairs"]
        assert f"{alarms} false alarms in {pairs} " in readme
    assert evidence.THRESHOLD == 1.5 and "from 1.5 on" in readme


def _rounded(value: float) -> str:
    """Three significant digits above ten, one decimal below."""
    return f"{float(f'{value:.3g}'):g}" if value >= 10 else f"{value:.1f}"
