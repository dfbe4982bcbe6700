"""What the engine's README says is what its results hold."""

import pytest

from shared.files import read_json
from shared.lab.engine.agreement import AGREEMENT, RESULTS
from shared.lab.engine.benchmark import BENCH
from shared.report import between_marks, read_csv


@pytest.mark.parametrize("table", [AGREEMENT, BENCH], ids=lambda table: table.name)
def test_tables_are_those_of_the_results(table):
    shown = between_marks(RESULTS.parent / "README.md", table.name)
    assert shown == table.markdown(read_csv(RESULTS / f"{table.name}.csv"))


def test_memory_is_flat_after_the_first_round():
    after = [row["in_use_mb"] for row in read_json(RESULTS / "memory.json")["after"] if row["generations"] % 50 == 0]
    assert len(after) == 4 and max(after) - min(after) < 1
    assert f"memory in use is {after[0]:.0f} MB after each round" in (RESULTS.parent / "README.md").read_text()
