"""The study on small models: run once, interrupted, and tables whose numbers are in the logs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

import shared.study
from projects.rlhf_ppo import study
from projects.rlhf_ppo.analysis import bias
from projects.rlhf_ppo.config import SMOKE
from projects.rlhf_ppo.study import StudyConfig
from shared import report
from shared.fingerprint import verify


@pytest.fixture
def small(small_models, tmp_path, monkeypatch):
    policy, decoder_tokenizer, encoder = small_models
    policy.save_pretrained(tmp_path / "policy")
    decoder_tokenizer.save_pretrained(tmp_path / "policy")
    encoder.encoder.save_pretrained(tmp_path / "encoder")
    encoder.tokenizer.save_pretrained(tmp_path / "encoder")
    monkeypatch.setattr(study, "SEEDS", dict.fromkeys(study.ARMS, (0, 1)))
    monkeypatch.setitem(study.ARMS, "long", {**study.ARMS["long"], "iterations": 3})
    monkeypatch.setattr(shared.study, "RESAMPLES", 100)
    base = replace(
        SMOKE,
        model=str(tmp_path / "policy"),
        encoder=str(tmp_path / "encoder"),
        max_length=32,
        pairs=40,
        stages=tmp_path / "stages",
    )
    return StudyConfig(**{**vars(base), "runs": tmp_path / "runs", "out": tmp_path / "rlhf_ppo" / "results"})


def test_the_study_runs_once_and_its_tables_come_from_the_logs(small):
    study.main(small)
    written = {path.name for path in small.out.iterdir()}
    assert {
        "runs.csv",
        "curves.csv",
        "samples.csv",
        "summary.csv",
        "deciders.csv",
        "judge.csv",
        "curves.png",
        "proxy_gold.png",
    } <= written
    rows = report.read_csv(small.out / "runs.csv")
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, s) for arm in study.ARMS for s in (0, 1)]
    assert all(row["gain_low"] <= row["gain"] <= row["gain_high"] for row in rows)
    findings = verify(small.out, recompute=True)
    assert findings
    assert [f"{f.path.name}: {f.verdict} {f.detail}" for f in findings if not f.verdict.unchanged] == []
    for row in rows:
        assert row["gain"] == pytest.approx(row["after_gold"] - row["before_gold"], abs=1e-3)
    ran = (small.runs / "free-seed0" / "metrics.jsonl").stat().st_mtime_ns
    study.main(small)
    assert (small.runs / "free-seed0" / "metrics.jsonl").stat().st_mtime_ns == ran
    views = {block: table.markdown(rows) for block, (table, rows) in study.views(small.out).items()}
    assert "| reference |" in views["summary"] and "reward model" in views["deciders"]
    shown = report.read_csv(small.out / "samples.csv")
    (done,) = (each for each in study.collect(replace(small, arm="free")) if each.config.seed == 0)
    kept = study.samples(done)
    assert [row["prompt"] for row in shown] == [row["prompt"] for row in kept][: study.SHOWN]
    assert str(shown[0]["free"]) == " ".join(kept[0]["after"]["response"].split())
    assert shown[0]["prompt"] in views["samples"]


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """A study whose runs only say that they were asked for."""
    asked = []

    def complete(directory, config, train, **_):
        asked.append(directory.name)
        return directory

    monkeypatch.setattr(shared.study, "complete", complete)
    monkeypatch.setattr(shared.study, "read_source", lambda directory, key: directory)
    monkeypatch.setattr(study, "digest_of", lambda cell: "aa")
    return StudyConfig(runs=tmp_path), asked


def test_cells_are_trained_seed_by_seed_and_shown_arm_by_arm(planned):
    config, asked = planned
    cells = study.collect(config)
    assert asked == ["target-seed0", "free-seed0", "target-seed1", "long-seed1", "target-seed2"]
    assert [done.name for done in cells] == [f"target-seed{s}" for s in (0, 1, 2)] + ["free-seed0", "long-seed1"]


def test_one_arm_is_trained_alone_and_writes_no_table(planned, tmp_path):
    config, asked = planned
    study.main(replace(config, arm="free", out=tmp_path / "results"))
    assert asked == ["free-seed0"]
    assert not (tmp_path / "results").exists()


def test_every_arm_is_told_by_its_settings():
    for arm, settings in study.ARMS.items():
        assert study.cell_name(replace(StudyConfig().base, **settings, seed=4)) == f"{arm}-seed4"


def test_the_interval_of_a_correlation_is_scipys():
    draw = np.random.default_rng(0)
    x, y = draw.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=50).T
    theirs = pearsonr(x, y).confidence_interval()
    assert bias.fisher(pearsonr(x, y).statistic, 50) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
