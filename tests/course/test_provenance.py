"""Numbers of a README and where they come from: by the row and column of their table, and from logs or not at all."""

import json
import random
from dataclasses import dataclass

import pytest

from shared.course.grading import checks, provenance, rubric
from shared.course.grading.outcomes import Context
from shared.course.grading.stated import stated
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_source
from shared.fingerprint.results import seal_table
from shared.runs import Run
from shared.study import Done, mean_sd, plain, publish, table

LIMITS = rubric.Limits(seconds=60, cpu_seconds=60, memory_gb=4, demo_key_share=0.5)
SCORES = {"ours": (0.93, 0.94, 0.93368), "base": (0.85, 0.86, 0.8436), "other": (0.71, 0.70, 0.7212)}
TABLE = """# toy

<!-- begin scores -->
| method | accuracy | loss | gain, points |
|---|---|---|---|
| ours | 0.9346 ± 0.0051 | 0.0654 ± 0.0051 | +8.34 |
| base | 0.8512 ± 0.0083 | 0.1488 ± 0.0083 | +0.00 |
| other | 0.7104 ± 0.0106 | 0.2896 ± 0.0106 | -14.08 |
<!-- end scores -->
"""


@dataclass(frozen=True)
class Config:
    method: str


def numbers(text):
    return [(each.text, each.value) for each in stated(text)]


def test_numbers_are_read_as_they_are_printed():
    text = "a 0.93 ± 0.002, 12,345 rows, 2.85%, −0.47 and +1.5, 5e-4, 22.6 M and 7."
    assert numbers(text) == [
        ("0.93", 0.93), ("0.002", 0.002), ("12,345", 12345), ("2.85%", pytest.approx(0.0285)), ("−0.47", -0.47),
        ("+1.5", 1.5), ("5e-4", 5e-4), ("22.6 M", pytest.approx(22.6e6)), ("7", 7),
    ]  # fmt: skip


def test_code_links_comments_versions_and_headings_are_no_numbers():
    text = "`0.5` [x](a/0.5.csv) <!-- 0.5 --> 1.2.3 v2.0 r16\n```\n0.5\n```\nhttps://x.org/0.5 0.25"
    assert numbers(text) == [("0.25", 0.25)] and stated(text)[0].line == 5
    assert numbers("| gain (95.5 %) |\n|---|\n| 0.5 |") == [("0.5", 0.5)]


def test_a_command_is_no_number_and_the_remark_behind_it_is():
    text = 'Run:\n\n    make serve-x ARGS="--port 8443"   # 127.0.0.1:8000, answers in 0.25 s\n\nThen: 0.75.\n'
    assert numbers(text) == [("0.25", 0.25), ("0.75", 0.75)]


def test_counts_and_years_are_not_measurements():
    assert not any(each.is_measurement for each in stated("3 seeds, Hu et al. 2021, r = 64"))


def test_a_number_knows_its_column_and_its_place_in_the_cell():
    found = stated("| a | 0.5 ± 0.1 | 0.7 |\n0.3")
    assert [(each.column, each.place) for each in found] == [(2, 0), (2, 1), (3, 0), (0, 0)]


def publish_scores(toy, keep_logs):
    """Three methods of three seeds each, in logs, and a sealed table that cites them."""
    groups = []
    for method, scores in SCORES.items():
        group = []
        for seed, score in enumerate(scores):
            directory = toy.root / "runs" / "toy" / f"{method}{seed}"
            with Run(directory, project="toy", config=Config(method=method)) as run:
                run.log(1, accuracy=score, loss=1 - score)
            group.append(Done(method, method, read_source(directory, team_key()), directory=directory))
        groups.append(group)
    columns = (plain("method", lambda group: group[0].name), mean_sd("accuracy"), mean_sd("loss"))
    publish(table("scores", *columns, keep_logs=keep_logs), groups, toy.results, "toy")


@pytest.fixture
def measured(toy):
    """The toy with its scores and their logs."""
    publish_scores(toy, keep_logs=True)
    return toy


def entries(project, text, tmp_path):
    """The report on a README of that text."""
    (project.folder / "README.md").write_text(text)
    found = provenance.report(project, provenance.read_citations(project, LIMITS, tmp_path))
    return [each for each in found if each["status"] != "constant"]


def test_every_number_of_a_table_is_traced_to_the_lines_of_its_logs(measured, tmp_path):
    found = entries(measured, TABLE, tmp_path)
    assert len(found) == 15 and {each["status"] for each in found} == {"traced"}
    first, spread, *_, gain = found[:5]
    assert (first["source"]["file"], first["source"]["column"]) == ("scores.csv", "accuracy")
    assert spread["source"]["column"] == "accuracy_sd" and spread["cited"][0]["function"] == "stdev"
    assert (first["cited"][0]["of"], first["cited"][0]["lines"], len(first["cited"][0]["logs"])) == ("accuracy", 3, 3)
    assert gain["source"]["row"] == "ours − base" and len(gain["cited"]) == 2, "a gain comes from two rows"


def test_a_repository_without_its_runs_traces_by_the_logs_that_were_kept(measured, tmp_path):
    (measured.root / "runs").rename(tmp_path / "elsewhere")
    assert {each["status"] for each in entries(measured, TABLE, tmp_path)} == {"traced"}


def test_rows_may_stand_in_another_order_and_under_other_names(measured, tmp_path):
    lines = TABLE.splitlines(keepends=True)
    turned = "".join([*lines[:5], lines[7], lines[5].replace("ours", "el nuestro"), lines[6], *lines[8:]])
    assert {each["status"] for each in entries(measured, turned, tmp_path)} == {"traced"}


def test_a_number_of_another_row_or_column_comes_from_nowhere(measured, tmp_path):
    for wrong in ("0.8512 ± 0.0051", "0.0654 ± 0.0051"):
        text = TABLE.replace("0.9346 ± 0.0051", wrong, 1)
        assert [each["number"] for each in entries(measured, text, tmp_path) if each["status"] == "untraced"] == [
            wrong[:6]
        ]


def test_numbers_that_were_moved_are_not_found(measured, tmp_path):
    draw, found = random.Random(0), 0
    citations = provenance.read_citations(measured, LIMITS, tmp_path)
    for _ in range(20):
        text = TABLE
        for number in stated(TABLE):
            if number.decimals == 4:
                moved = number.value * (1 + draw.choice((-1, 1)) * draw.uniform(0.05, 0.25))
                text = text.replace(number.text, f"{moved:.4f}")
        (measured.folder / "README.md").write_text(text)
        said = [each for each in provenance.report(measured, citations) if each["status"] != "constant"]
        found += sum(each["status"] != "untraced" for each in said if each["number"].startswith("0."))
    assert found <= 2, "of 240, by chance"


def test_a_sentence_may_say_what_a_table_shows_or_a_row_of_a_file_that_it_names(measured, tmp_path):
    text = f"{TABLE}\nOurs reaches 0.935, 8.3 points more; another stays 14.1 behind; 0.948 is invented, +14.1 wrong.\n"
    said = entries(measured, text, tmp_path)[-5:]
    assert [each["status"] for each in said] == ["traced", "traced", "traced", "untraced", "untraced"]
    (said,) = entries(measured, "The row of other has 0.7104.\n", tmp_path)
    assert said["status"] == "traced"
    (said,) = entries(measured, "Something has 0.7104.\n", tmp_path)
    assert said["status"] == "untraced"


def grade(project, text, tmp_path):
    (project.folder / "README.md").write_text(text)
    return checks.readme_numbers(Context(project, LIMITS, "HEAD", tmp_path))


def test_invented_numbers_beside_a_file_of_constants_gain_nothing(toy, tmp_path):
    (toy.results / "scores.csv").write_text("method,accuracy\nours,0.999\nbase,0.5\n")
    text = "<!-- begin scores -->\n| a | b |\n|---|---|\n| ours | 0.999 |\n| base | 0.500 |\n<!-- end scores -->\n"
    assert grade(toy, text, tmp_path).share == 0
    seal_table(toy.results / "scores.csv", project="toy", key=team_key())
    outcome = grade(toy, text, tmp_path)
    assert outcome.share == 0 and {each["status"] for each in outcome.data} == {"sealed"}


def test_a_table_that_was_edited_gains_nothing(measured, tmp_path):
    assert grade(measured, TABLE, tmp_path).share == 1
    path = measured.results / "scores.csv"
    path.write_text(path.read_text().replace("0.93456", "0.99456"))
    outcome = grade(measured, TABLE.replace("0.9346", "0.9946"), tmp_path)
    assert outcome.share == 0 and {each["status"] for each in outcome.data} == {"untraced"}


def test_one_cited_number_does_not_pay_for_a_file_of_constants(measured, tmp_path):
    (measured.results / "more.csv").write_text("method,f1\nours,0.999\n")
    seal_table(measured.results / "more.csv", project="toy", key=team_key())
    invented = "<!-- begin more -->\n| m | f |\n|---|---|\n| ours | 0.999 |\n<!-- end more -->\n"
    text = f"Of base, accuracy is 0.8512.\n\n{invented}"
    assert grade(measured, text, tmp_path).share == pytest.approx(1 / checks.LEAST_NUMBERS)


def test_a_log_that_is_not_here_leaves_numbers_sealed(toy, tmp_path):
    publish_scores(toy, keep_logs=False)
    (toy.root / "runs").rename(tmp_path / "elsewhere")
    assert {each["status"] for each in entries(toy, TABLE, tmp_path)} == {"sealed"}


def test_a_difference_is_not_found_by_one_number_alone(measured, tmp_path):
    text = "<!-- begin scores -->\n| ours | 0.0834 |\n<!-- end scores -->\n"
    assert [each["status"] for each in entries(measured, text, tmp_path)] == ["untraced"]


def test_names_that_hold_numbers_are_names(toy, tmp_path):
    (toy.results / "scores.csv").write_text("way,f1\ntop-p 0.95,0.5\ntop-p 0.5,0.25\n")
    seal_table(toy.results / "scores.csv", project="toy", key=team_key())
    text = "<!-- begin scores -->\n| top-p 0.95 | 0.500 |\n| top-p 0.5 | 0.250 |\n<!-- end scores -->\n"
    assert [each["status"] for each in entries(toy, text, tmp_path)] == ["sealed"] * 4


def test_numbers_of_a_file_that_is_not_sealed_are_not_counted_for_a_readme(toy, tmp_path):
    (toy.results / "data.json").write_text(json.dumps({"train_texts": 12345}))
    (found,) = entries(toy, "Trained on 12,345 train texts.\n", tmp_path)
    assert found["status"] == "sealed" and found["cited"] == []


@pytest.mark.parametrize("name", ["../../../secret.csv", "/etc/passwd", "data.json", "gone.csv"])
def test_a_mark_names_tables_of_the_results_only(toy, tmp_path, name):
    (toy.root / "secret.csv").write_text("a,b\nx,0.75\n")
    text = f"<!-- begin scores of {name} -->\n| x | 0.75 |\n<!-- end scores -->\n"
    assert [each["status"] for each in entries(toy, text, tmp_path)] == ["untraced"]
