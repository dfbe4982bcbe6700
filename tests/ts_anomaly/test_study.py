"""The whole study in small, a second start that trains nothing, and READMEs that show what is in results/."""

from pathlib import Path

import pytest

from projects.ts_anomaly import study, tables
from projects.ts_anomaly.config import RESULTS, SMOKE
from projects.ts_anomaly.measure import injected, real, scale
from shared.errors import UserError
from shared.report import read_csv, stale_tables


def test_readmes_show_what_was_measured():
    assert stale_tables(RESULTS, tables.views(RESULTS)) == []


@pytest.mark.slow
def test_a_study_from_nothing_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    monkeypatch.setattr(injected, "DRAWS", 5)
    monkeypatch.setattr(study, "ARMS", ("contrast", "masked"))
    monkeypatch.setattr(injected, "SERIES", ("mitdb",))
    monkeypatch.setattr(real, "SERIES", ("yahoo", "mitdb"))
    few = {name: each[:1] for name, each in injected.BASELINES.items() if name in ("random", "linear")}
    monkeypatch.setattr(injected, "BASELINES", few)
    monkeypatch.setattr(real, "OTHERS", ("random", real.ONE_LINER))
    monkeypatch.setattr(scale, "TOKENS", (64,))
    for name in ("batches", "stream", "metrics"):
        monkeypatch.setattr(scale, name, lambda **_: {"what": "x", "points": 1, "per_second": 1})
    config = study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results")
    monkeypatch.setattr(study.Study, "alarms", lambda self: [])
    monkeypatch.setattr(study.alarms, "table_rows", lambda group: [{"method": "x", "per_week": 1.0}])
    monkeypatch.setattr(study.explained, "rows", lambda group: [{"count": len(group)}])
    monkeypatch.setattr(study.plots, "by_kind", lambda out: None)
    study.main(config, study.Study(config, base=SMOKE, count=2))
    rows = {row["detector"]: row for row in read_csv(config.out / "injected.csv")}
    assert set(rows) == {"random", "linear", "contrast", "judge", "masked"}
    assert rows["contrast"]["seeds"] == 2 and rows["random"]["seeds"] == 1
    assert all(row["seen_low"] - 0.3 <= row["seen"] <= row["seen_high"] + 0.3 for row in rows.values())
    before = {path.name: path.read_bytes() for path in config.out.glob("*.csv")}
    monkeypatch.setattr(study.train, "main", lambda _: pytest.fail("trained again"))
    study.main(config, study.Study(config, base=SMOKE, count=2))
    after = {path.name: path.read_bytes() for path in config.out.glob("*.csv")}
    assert {name for name in before if before[name] != after[name]} <= {"memory.csv", "scale.csv"}


def test_an_unknown_part_is_one_line(tmp_path):
    config = study.StudyConfig(runs=tmp_path, out=tmp_path, only="nonsense")
    with pytest.raises(UserError, match="--only nonsense"):
        study.main(config)


def test_every_detector_has_a_name_in_the_tables():
    assert set(tables.NAMES) >= {*injected.BASELINES, *real.OTHERS, *study.ARMS, "judge"}
    assert Path(tables.__file__).with_suffix(".toml").exists()
