"""The experiments on small models: run once, resumed, and tables whose numbers are in the logs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from projects.rlhf_ppo import experiments, tables
from projects.rlhf_ppo.config import SMOKE
from projects.rlhf_ppo.experiments import ExperimentConfig
from shared import report
from shared.fingerprint import verify


@pytest.fixture
def experiment(small_models, tmp_path, monkeypatch):
    policy, decoder_tokenizer, encoder = small_models
    policy.save_pretrained(tmp_path / "policy")
    decoder_tokenizer.save_pretrained(tmp_path / "policy")
    encoder.encoder.save_pretrained(tmp_path / "encoder")
    encoder.tokenizer.save_pretrained(tmp_path / "encoder")
    monkeypatch.setattr(experiments, "SEEDS", dict.fromkeys(experiments.ARMS, (0, 1)))
    monkeypatch.setitem(experiments.ARMS, "long", {**experiments.ARMS["long"], "iterations": 3})
    monkeypatch.setattr(tables, "RESAMPLES", 100)
    base = replace(
        SMOKE,
        model=str(tmp_path / "policy"),
        encoder=str(tmp_path / "encoder"),
        max_length=32,
        pairs=40,
        stages=tmp_path / "stages",
    )
    return ExperimentConfig(base=base, runs=tmp_path / "runs", out=tmp_path / "rlhf_ppo" / "results")


def test_experiments_run_once_and_their_tables_come_from_the_logs(experiment):
    experiments.main(experiment)
    written = {path.name for path in experiment.out.iterdir()}
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
    rows = report.read_csv(experiment.out / "runs.csv")
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, s) for arm in experiments.ARMS for s in (0, 1)]
    assert all(row["gain_low"] <= row["gain"] <= row["gain_high"] for row in rows)
    findings = verify(experiment.out, recompute=True)
    assert findings
    assert [f"{f.path.name}: {f.verdict} {f.detail}" for f in findings if not f.verdict.unchanged] == []
    for row in rows:
        assert row["gain"] == pytest.approx(row["after_gold"] - row["before_gold"], abs=1e-3)
    ran = (experiment.runs / "free-seed0" / "metrics.jsonl").stat().st_mtime_ns
    experiments.main(experiment)
    assert (experiment.runs / "free-seed0" / "metrics.jsonl").stat().st_mtime_ns == ran
    assert "| reference |" in tables.summary_markdown(report.read_csv(experiment.out / "summary.csv"))
    shown = report.read_csv(experiment.out / "samples.csv")
    kept = tables.samples(experiment.runs / "free-seed0")
    assert [row["prompt"] for row in shown] == [row["prompt"] for row in kept][: tables.SHOWN]
    assert str(shown[0]["free"]) == " ".join(kept[0]["after"]["response"].split())
    assert shown[0]["prompt"] in tables.samples_markdown(shown)
    assert "reward model" in tables.deciders_markdown(report.read_csv(experiment.out / "deciders.csv"))


def test_the_interval_of_a_correlation_is_scipys():
    draw = np.random.default_rng(0)
    x, y = draw.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=50).T
    theirs = pearsonr(x, y).confidence_interval()
    assert tables.fisher(pearsonr(x, y).statistic, 50) == pytest.approx((theirs.low, theirs.high), abs=1e-4)


def test_the_interval_covers_the_mean_and_shrinks():
    few, many = [0.0, 1.0] * 5, [0.0, 1.0] * 100
    low, high = tables.interval(few)
    assert low < 0.5 < high
    assert tables.interval(many)[1] - tables.interval(many)[0] < high - low
    assert tables.interval([2.0] * 9) == (2.0, 2.0)
