"""Numbers of a README and where they come from: found as they are rounded, recomputed from runs, never guessed."""

import json
import lzma
import statistics

import pytest

from shared.course.grading import provenance

SETTINGS = {"runs": "runs.csv", "where": {"final": "1"}, "group": ["method"], "directory": "runs/toy/{cell}"}


def numbers(text):
    return [(each.text, each.value) for each in provenance.stated(text)]


def test_numbers_are_read_as_they_are_printed():
    text = "a 0.93 ± 0.002, 12,345 rows, 2.85%, −0.47 and +1.5, 5e-4, 22.6 M and 7."
    assert numbers(text) == [
        ("0.93", 0.93), ("0.002", 0.002), ("12,345", 12345), ("2.85%", pytest.approx(0.0285)), ("−0.47", -0.47),
        ("+1.5", 1.5), ("5e-4", 5e-4), ("22.6 M", pytest.approx(22.6e6)), ("7", 7),
    ]  # fmt: skip


def test_code_links_comments_and_versions_are_no_numbers():
    text = "`0.5` [x](a/0.5.csv) <!-- 0.5 --> 1.2.3 v2.0 r16\n```\n0.5\n```\nhttps://x.org/0.5 0.25"
    assert numbers(text) == [("0.25", 0.25)] and provenance.stated(text)[0].line == 5


def entries(toy, text):
    (toy.folder / "README.md").write_text(text)
    return provenance.report(toy)


def test_a_command_is_no_number_and_the_remark_behind_it_is():
    text = 'Run:\n\n    make serve-x ARGS="--port 8443"   # 127.0.0.1:8000, answers in 0.25 s\n\nThen: 0.75.\n'
    assert numbers(text) == [("0.25", 0.25), ("0.75", 0.75)]


def test_a_number_is_traced_to_its_cell_and_recomputed_from_its_runs(toy):
    (found, spread) = entries(toy, "| ours, r = 2 | 0.9346 ± 0.0032 |\n".replace("r = 2", "r"))
    assert (found["status"], found["source"]["file"], found["source"]["column"]) == (
        "traced",
        "summary.csv",
        "accuracy",
    )
    assert found["source"]["value"] == 0.93456 and spread["source"]["column"] == "accuracy_sd"
    mean = statistics.mean([0.93, 0.94, 0.93368])
    assert found["recomputed"]["function"] == "mean" and found["recomputed"]["value"] == pytest.approx(mean, rel=1e-12)
    assert [run["run"] for run in found["runs"]] == ["runs/toy/a0", "runs/toy/a1", "runs/toy/a2"]
    assert not any(run["here"] for run in found["runs"]), "the runs are not on this machine, and it says so"


def test_a_number_off_by_one_in_its_last_place_is_not_found(toy):
    assert [each["status"] for each in entries(toy, "0.9347 and 0.9346")] == ["untraced", "traced"]


def test_counts_and_years_are_not_measurements(toy):
    assert {each["status"] for each in entries(toy, "3 seeds, Hu et al. 2021, r = 64")} == {"constant"}


def test_a_difference_in_points_is_recomputed(toy):
    (found,) = entries(toy, "| baseline | −8.34 |")
    assert found["status"] == "traced" and found["source"]["value"] == pytest.approx(100 * (0.8512 - 0.93456))


def test_a_number_is_not_found_among_thousands_by_chance(toy):
    (toy.results / "curves.csv").write_text("run,loss\n" + "".join(f"a,{i / 1000}\n" for i in range(1000)))
    assert [each["status"] for each in entries(toy, "a mere 0.377\n\nnothing of it: 0.378")] == ["traced", "untraced"]


def test_the_heading_tells_columns_of_one_value_apart(toy):
    (toy.results / "t.csv").write_text("name,level,zeros\nprune,0.5,0.5\n")
    (found,) = entries(toy, "| done | zeros |\n|---|---|\n| prune | 50.0% |\n")
    assert found["source"]["column"] == "zeros" and found["cells_that_fit"] == 3


def test_a_mean_that_the_runs_do_not_give_is_not_called_recomputed(toy):
    text = (toy.results / "runs.csv").read_text().replace("0.93368", "0.90")
    (toy.results / "runs.csv").write_text(text)
    (found,) = entries(toy, "0.9346")
    assert found["status"] == "traced" and "recomputed" not in found


def test_a_run_that_is_here_shows_its_log_line_manifest_and_commit(toy):
    folder = toy.root / "runs/toy/a1"
    (folder / "checkpoints/step-1").mkdir(parents=True)
    (folder / "checkpoints/step-1/manifest.json").write_text("{}")
    (folder / "env.json").write_text(json.dumps({"commit": "c" * 40}))
    (folder / "metrics.jsonl").write_text(
        '{"kind":"open"}\n{"step":1,"accuracy":0.94}\nnot json\n{"step":2,"loss":0.1}\n'
    )
    row = {"cell": "a1"}
    found = provenance.evidence(row, 0.94, SETTINGS, toy)
    assert found == {
        "run": "runs/toy/a1", "here": True, "log_line": 2, "manifests": ["checkpoints/step-1/manifest.json"],
        "commit": "c" * 40,
    }  # fmt: skip


def test_a_run_that_is_not_here_shows_the_line_of_the_log_that_results_kept(toy):
    (toy.results / "logs").mkdir()
    with lzma.open(toy.results / "logs" / "0a1b.jsonl.xz", "wt") as file:
        file.write('{"kind":"open"}\n{"step":1,"accuracy":0.94}\n')
    (toy.results / "environment.json").write_text(json.dumps({"commit": "d" * 40}))
    found = provenance.evidence({"cell": "gone", "run": "0a1b", "manifest": "ff"}, 0.94, SETTINGS, toy)
    assert (found["here"], found["log_line"], found["manifests"], found["commit"]) == (False, 2, ["ff"], "d" * 40)
    assert "log_line" not in provenance.evidence({"cell": "gone", "run": "../0a1b"}, 0.94, SETTINGS, toy)


@pytest.mark.parametrize("cell", ["../../..", "/etc", "a/../../../x"])
def test_a_run_is_never_looked_for_outside_runs(toy, cell):
    assert provenance.evidence({"cell": cell}, 1.0, SETTINGS, toy)["here"] is False
    assert provenance.evidence({"x": cell}, 1.0, SETTINGS, toy)["here"] is False
