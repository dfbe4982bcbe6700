"""The whole study in small: cells, measurements, tables, figures, and a second start that trains nothing."""

from dataclasses import replace

import pytest

from projects.ppo_dpo_orpo import __main__ as way_in
from projects.ppo_dpo_orpo import study
from projects.ppo_dpo_orpo.analysis import shown
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.demo import DemoConfig
from projects.ppo_dpo_orpo.prepare import prepare
from shared.errors import UserError
from shared.report import read_csv


@pytest.fixture
def small(tmp_path, model_folder, dataset, judges, monkeypatch):
    base = replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, prompts=2)
    prepared = prepare(base, judges)
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    monkeypatch.setattr(study, "KINDS", ("lora",))
    monkeypatch.setattr(study, "WATCH", dict.fromkeys(study.METHODS, (2, 4)))
    monkeypatch.setattr(study, "SENSITIVITY", {"pairs": ({"pairs": 4},)})

    class Small(study.Study):
        pass

    Small.base, Small.prepared = base, prepared
    Small.cells = study.cached_property(study.Study.cells.func)
    Small.cells.__set_name__(Small, "cells")
    monkeypatch.setattr(study.evaluate, "news_nats", lambda *_: [({"nats": 3.0 + 0.1 * n}, {}) for n in range(4)])
    return Small(study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results"))


@pytest.mark.timeout(300)
def test_a_study_from_nothing_and_again(small, monkeypatch):
    study.main(small.config, small)
    out = small.config.out
    names = {path.stem for path in out.glob("*.csv")}
    assert names >= {
        "seconds",
        "steps",
        "points",
        "accuracy",
        "tax",
        "greedy",
        "sensitivity",
        "exploration",
        "equal_kl",
    }
    rows = read_csv(out / "seconds.csv")
    assert [(row["method"], row["kind"]) for row in rows[1:]] == [(m, k) for k in study.KINDS for m in study.METHODS]
    assert rows[0]["method"] == "start" and all(row["seeds"] == 2 for row in rows)
    drawn = {f"{name}{language}.png" for name in ("frontier", "sensitivity") for language in ("", ".es")}
    assert {path.name for path in out.glob("*.png")} == drawn
    candidates = read_csv(out / "candidates.csv")
    counted = {m: sum(row["method"] == m for row in candidates) for m in study.METHODS}
    assert set(counted.values()) == {2}, "every method has as many candidates"
    before = (out / "steps.csv").read_bytes()
    monkeypatch.setattr(study, "train", lambda *_: pytest.fail("it was trained again"))
    study.main(small.config, type(small)(small.config))
    assert (out / "steps.csv").read_bytes() == before
    for language in ("en", "es"):
        for table, found in shown.views(out).values():
            assert table.markdown(found, language)


def test_the_way_in_refuses_before_it_trains(tmp_path, model_folder, dataset, judges, monkeypatch):
    monkeypatch.setattr(way_in, "prepare", lambda config: prepare(config, judges))
    monkeypatch.setattr(way_in, "train", lambda *_: pytest.fail("it trained"))
    told = {"model": str(model_folder), "dataset": str(dataset), "tokens": 8, "steps": 4, "upper": 0.67}
    for change, message in [
        ({"prompts": 5, "batch_size": 2}, "--prompts 5: must be a multiple"),
        ({"prompts": 32}, "--prompts 32: there are 16 for training"),
    ]:
        with pytest.raises(UserError, match=message):
            way_in.main(DemoConfig(**told, **change, out=tmp_path / "three"))


def test_the_way_in(tmp_path, model_folder, dataset, judges, monkeypatch, capsys):
    monkeypatch.setattr(way_in, "prepare", lambda config: prepare(config, judges))
    way_in.main(DemoConfig(model=str(model_folder), dataset=str(dataset), tokens=8, steps=4, batch_size=2, prompts=4,
                           upper=0.67, out=tmp_path / "three", held_out=2))  # fmt: skip
    said = capsys.readouterr().out
    assert "Gain in gold reward over the start: dpo" in said and "orpo" in said and "ppo" in said
