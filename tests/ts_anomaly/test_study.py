"""The whole study in small, a second start that trains nothing, and READMEs that show what is in results/."""

from dataclasses import replace
from pathlib import Path

import pytest

from projects.ts_anomaly import study, tables
from projects.ts_anomaly.config import RESULTS, SMOKE
from projects.ts_anomaly.measure import alarms, injected, levels, mixing, real, rolling, scale
from shared.errors import UserError
from shared.report import read_csv, stale_tables


def test_readmes_show_what_was_measured():
    assert stale_tables(RESULTS, tables.views(RESULTS)) == []


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The whole study in minutes' place seconds: fewer series, detectors, seeds and weeks, and the smallest model."""
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    monkeypatch.setattr(study, "ARMS", ("contrast",))
    monkeypatch.setattr(injected, "DRAWS", 5)
    monkeypatch.setattr(levels, "DRAWS", 5)
    monkeypatch.setattr(injected, "SERIES", ("mitdb",))
    monkeypatch.setattr(real, "SERIES", ("yahoo", "mitdb"))
    few = {name: each[:1] for name, each in injected.BASELINES.items() if name in ("random", "linear")}
    monkeypatch.setattr(injected, "BASELINES", few)
    monkeypatch.setattr(real, "OTHERS", ("random", real.ONE_LINER))
    for module in (rolling, mixing):
        monkeypatch.setattr(module, "DETECTORS", ("random",))
    monkeypatch.setattr(rolling, "SERIES", ("mitdb",))
    monkeypatch.setattr(rolling, "ORIGINS", 2)
    for name, size in (("WEEK_OF_MINUTES", 2_880), ("FIT", 600), ("KNOWN", 1_200)):
        monkeypatch.setattr(alarms, name, size)
    monkeypatch.setattr(alarms, "AGAIN", {"extreme values, fitted again": 1_024})
    monkeypatch.setattr(scale, "TOKENS", (64,))
    for name in ("batches", "stream", "metrics"):
        monkeypatch.setattr(scale, name, lambda **_: {"what": "x", "points": 1, "per_second": 1})
    monkeypatch.setattr(
        study.load, "rows", lambda model: [{"what": "x", "taken": int((model / "result.json").exists())}]
    )
    monkeypatch.setattr(study.explained, "rows", lambda group: [{"count": len(group)}])  # has tests of its own
    monkeypatch.setattr(study.plots, "by_kind", lambda out: None)
    config = study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results")
    return config, lambda: study.Study(config, base=SMOKE, count=2, weeks=1)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_study_from_nothing_stopped_gone_on_with_and_again(small, monkeypatch):
    config, new = small
    train, trained = study.train.main, []

    def stopped(cell):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(study.cell_name(cell))
        return train(cell)

    monkeypatch.setattr(study.train, "main", stopped)
    with pytest.raises(KeyboardInterrupt):
        study.main(config, new())
    assert not list(config.out.glob("*.csv")), "no table of a part"
    gone_on = []
    monkeypatch.setattr(study.train, "main", lambda cell: (gone_on.append(study.cell_name(cell)), train(cell))[1])
    study.main(config, new())
    assert gone_on and not set(gone_on) & set(trained), "what was whole is not trained again"
    found = {path.stem for path in config.out.glob("*.csv")}
    assert found == {table.name for table in tables.ALL} - {"bench"}
    rows = {row["detector"]: row for row in read_csv(config.out / "injected.csv")}
    assert set(rows) == {"random", "linear", "contrast", "judge"}
    assert rows["contrast"]["seeds"] == 2 and rows["random"]["seeds"] == 1
    assert all(row["seen_low"] - 0.3 <= row["seen"] <= row["seen_high"] + 0.3 for row in rows.values())
    assert {row["detector"] for row in read_csv(config.out / "judged.csv")} == set(rows)
    assert [row["seeds"] for row in read_csv(config.out / "mixing.csv")] == [1, 2, 2]
    assert read_csv(config.out / "load.csv")[0]["taken"] == 1
    before = {path.name: path.read_bytes() for path in config.out.glob("*.csv")}
    for module in (study.train, study.load, scale):
        for name in {"main", "rows", "memory"} & set(vars(module)):
            monkeypatch.setattr(module, name, lambda *_: pytest.fail("made again"))
    (config.out / "alarms.csv").unlink()
    study.main(replace(config, only="alarms"), new())
    assert (config.out / "alarms.csv").read_bytes() == before["alarms.csv"], "one table alone, from what is there"
    study.main(config, new())
    assert {path.name: path.read_bytes() for path in config.out.glob("*.csv")} == before


def test_an_unknown_part_is_one_line(tmp_path):
    config = study.StudyConfig(runs=tmp_path, out=tmp_path, only="nonsense")
    with pytest.raises(UserError, match="--only nonsense"):
        study.main(config)


def test_every_detector_has_a_name_in_the_tables():
    assert set(tables.NAMES) >= {*injected.BASELINES, *real.OTHERS, *study.ARMS, *mixing.ARMS, "judge"}
    assert Path(tables.__file__).with_suffix(".toml").exists()
