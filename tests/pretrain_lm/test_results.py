"""Every number of the README comes from a file in results/, and the files agree with each other."""

import json

import pytest

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.experiments import STUDIES, ExperimentConfig, cells
from projects.pretrain_lm.tables import MISSING, README, status, summarise_masking, summarise_peer, tables_of
from shared.errors import UserError
from shared.report import between_marks, read_csv

RESULTS = README.parent / "results"


def rows_of(name):
    path = RESULTS / f"{name}.csv"
    return read_csv(path) if path.exists() else []


def test_the_readmes_tables_are_those_of_the_files():
    for name, table in tables_of(RESULTS).items():
        assert between_marks(README, name) == table, name


@pytest.mark.parametrize(
    ("summary", "of", "make"), [("masking", "runs", summarise_masking), ("peer", "peer_runs", summarise_peer)]
)
def test_summaries_are_those_of_the_runs(summary, of, make):
    runs = [row for row in rows_of(of) if row.get("study", summary) == summary]
    for mine, written in zip(make(runs), rows_of(summary), strict=True):
        assert mine == {
            key: pytest.approx(value) if isinstance(value, float) else value for key, value in written.items()
        }


def test_what_is_missing_is_said_and_what_is_there_was_planned():
    wanted, missing = cells(Config()), json.loads((RESULTS / "missing.json").read_text())
    made = {row["cell"] for row in [*rows_of("runs"), *rows_of("peer_runs")]}
    assert made | set(missing) == set(wanted)
    assert not made & set(missing)
    assert status([]) == "Every run behind the tables is made."
    assert "3 runs are not made yet (news 1, peer 2;" in status(["news-seed0", "peer-a", "peer-b"])


def test_every_study_has_its_cells():
    found = {}
    for name in cells(Config()):
        found.setdefault(name.partition("-")[0], []).append(name)
    assert tuple(found) == STUDIES
    assert len(found["peer"]) == 6 and len(found["masking"]) == 15 and len(found["context"]) == 3
    with pytest.raises(UserError, match="--studies other"):
        ExperimentConfig(studies=("other",))


def test_a_longer_n_gram_and_the_mixture_are_better():
    rows = {row["model"]: row["test_perplexity"] for row in rows_of("news")}
    if rows:
        grams = [rows[f"Kneser–Ney {order}-gram"] for order in (2, 3, 5)]
        assert grams == sorted(grams, reverse=True)
        assert all(rows[name] < rows[name.partition(", mixed")[0]] for name in rows if ", mixed" in name)


def test_a_missing_table_says_so(tmp_path):
    (tmp_path / "missing.json").write_text("[]")
    assert tables_of(tmp_path)["news"] == MISSING
