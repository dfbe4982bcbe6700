"""A cell is used again only if its configuration and its data are those asked for, and nothing is lost beside it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from shared import study
from shared.errors import UserError
from shared.files import read_json, write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import manifest_digest, read_source
from shared.runs import Run
from shared.study import (
    Cells,
    Table,
    bootstrap,
    bounds,
    complete,
    interval,
    log_items,
    mean,
    mean_sd,
    plain,
    publish,
    resampled_means,
)


@dataclass(frozen=True)
class Config:
    dataset: str = "trec"
    epochs: int = 3
    out: Path | None = None
    resume: bool = False


class Stopped(Exception):
    pass


def cell(directory, config=None, *, data="aa", stop=None):
    """Complete a cell whose result tells the configuration. Returns (its directory, how often it was trained)."""
    config, trained = config or Config(), []

    def train(place, resume):
        trained.append(resume)
        with Run(place, project="test", config=config, resume=resume, data=data) as run:
            if stop == "begun":
                raise Stopped
            if not resume:
                run.save(1, {"w": torch.ones(1)})
            if stop == "saved":
                raise Stopped
            run.log(1, score=config.epochs)
        write_json(place / "result.json", {"epochs": config.epochs, "dataset": config.dataset})

    return complete(directory, config, train, project="test", data=data), trained


def test_a_finished_cell_is_not_trained_again(tmp_path):
    assert cell(tmp_path / "full") == (tmp_path / "full", [False])
    assert cell(tmp_path / "full", replace(Config(), out=tmp_path, resume=True)) == (tmp_path / "full", [])


@pytest.mark.parametrize(
    ("config", "data", "said"),
    [
        (Config(epochs=30), "aa", "another epochs"),
        (Config(dataset="movie_reviews"), "aa", "another dataset"),
        (Config(), "bb", "another data"),
        (Config(dataset="movie_reviews", epochs=30), "bb", "another dataset, epochs, data"),
    ],
)
def test_another_configuration_or_other_data_are_trained_beside(tmp_path, capsys, config, data, said):
    first, _ = cell(tmp_path / "full")
    kept = (first / "metrics.jsonl").read_bytes()
    second, trained = cell(tmp_path / "full", config, data=data)
    assert (second, trained) == (tmp_path / "full-2", [False])
    assert read_json(second / "result.json") == {"epochs": config.epochs, "dataset": config.dataset}
    assert said in capsys.readouterr().out
    assert (first / "metrics.jsonl").read_bytes() == kept
    assert cell(tmp_path / "full", config, data=data) == (second, [])
    assert cell(tmp_path / "full") == (first, [])


def test_a_stopped_cell_goes_on_from_its_checkpoint_or_begins_again(tmp_path):
    for stop, again in (("begun", [False]), ("saved", [True])):
        with pytest.raises(Stopped):
            cell(tmp_path / stop, stop=stop)
        assert cell(tmp_path / stop) == (tmp_path / stop, again)


@pytest.mark.parametrize("kept", [0, 100])
def test_a_cell_that_was_stopped_in_its_first_line_begins_again(tmp_path, kept):
    whole, _ = cell(tmp_path / "whole")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "metrics.jsonl").write_bytes((whole / "metrics.jsonl").read_bytes()[:kept])
    assert cell(tmp_path / "torn") == (tmp_path / "torn", [False])


def test_what_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert cell(tmp_path / "full")[0] == tmp_path / "full-2"
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "metrics.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: TAMPERED.*not removed"):
        cell(tmp_path / "log")
    assert (tmp_path / "log" / "metrics.jsonl").read_text() == "mine\n"


@dataclass(frozen=True)
class Repeated(Config):
    seed: int = 0


def cells_of(tmp_path, *, by="", data="aa"):
    """Cells whose runs log a score of the seed, best at their first checkpoint. Returns (cells, what was trained)."""
    trained = []

    def train(config):
        trained.append((config.out.name, config.resume))
        with Run(config.out, project="test", config=replace(config, out=None, resume=False), data=data) as run:
            for step in (1, 2):
                run.log(step, score=config.seed + 0.5 / step)
                run.save(step, {"w": torch.full((1,), float(step))})
        write_json(config.out / "result.json", {})

    name = lambda config: f"seed{config.seed}"  # noqa: E731
    return Cells(tmp_path / "runs", train, project="test", name=name, data=lambda _: data, by=by), trained


def test_a_cell_is_trained_once_and_other_data_train_another(tmp_path):
    cells, trained = cells_of(tmp_path)
    first = cells.run(Repeated())
    assert cells.run(Repeated()) == first and trained == [("seed0", False)]
    again, trained = cells_of(tmp_path)
    assert again.run(Repeated()).source.run == first.source.run and trained == []
    other, trained = cells_of(tmp_path, data="bb")
    assert other.run(Repeated()).name == "seed0-2" and trained == [("seed0-2", False)]


def test_the_checkpoint_that_is_cited_is_the_best_one_or_the_last(tmp_path):
    found = {by: cells_of(tmp_path, by=by)[0].run(Repeated()).source for by in ("score", "")}
    assert found["score"].run == found[""].run
    for by, step in (("score", 1), ("", 2)):
        folder = tmp_path / "runs" / "seed0" / "checkpoints" / f"step-{step:06d}"
        assert found[by].manifest == manifest_digest(folder, team_key())


def test_a_table_says_mean_deviation_and_interval_of_the_cells_behind_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESAMPLES", 200)
    cells, _ = cells_of(tmp_path)
    group = [cells.run(Repeated(seed=seed)) for seed in (0, 1)]
    items = {0: [0.0, 1.0, 2.0], 1: [2.0, 3.0, 7.0]}
    columns = (
        plain("seeds", len),
        mean_sd("score", head="score"),
        interval("gap", lambda done: items[done.config.seed]),
    )
    table = Table("summary", columns)
    (row,) = publish(table, [group], tmp_path / "test" / "results", "test")
    low, high = bootstrap([1.0, 2.0, 4.5])  # item by item, the mean of both
    assert (row["gap"], row["gap_low"], row["gap_high"]) == (2.5, round(low, 4), round(high, 4))
    assert (row["score"], row["score_sd"]) == (pytest.approx(0.75), pytest.approx(0.5**0.5))
    assert table.markdown([row]) == "| score |\n|---|\n| 0.7500 ± 0.7071 |"
    items[1].pop()
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        publish(table, [group], tmp_path / "test" / "results", "test")


def test_an_interval_of_95_percent_is_that_of_the_normal_distribution_for_many_items():
    """1.96 standard errors on either side (Efron and Tibshirani 1993, §13.3); 90 % would be 1.64 of them."""
    items = np.random.default_rng(1).normal(3.0, 2.0, 2_000)
    low, high = bootstrap(list(items))
    error = items.std() / len(items) ** 0.5
    assert [(items.mean() - low) / error, (high - items.mean()) / error] == pytest.approx([1.96, 1.96], abs=0.08)


def test_the_best_candidate_is_the_one_with_the_best_line_not_the_best_last_line(tmp_path):
    """Seed 0 is best in its first epoch and falls; seed 1 ends higher than seed 0 does, and never reaches its best."""
    scores = {0: (0.9, 0.2), 1: (0.5, 0.6)}

    def train(config):
        with Run(config.out, project="test", config=config, resume=config.resume, data="aa") as run:
            for step, score in enumerate(scores[config.seed], start=1):
                run.log(step, score=score)
                run.save(step, {"w": torch.ones(1)})
        write_json(config.out / "result.json", {})

    name = lambda config: f"seed{config.seed}"  # noqa: E731
    cells = Cells(tmp_path / "runs", train, project="test", name=name, data=lambda _: "aa", by="score")
    assert cells.best([Repeated(seed=1), Repeated(seed=0)]).seed == 0


def test_a_run_that_was_made_again_is_not_published(tmp_path):
    cells, _ = cells_of(tmp_path)
    done = cells.run(Repeated())
    shutil.rmtree(done.directory)
    assert cells_of(tmp_path)[0].run(Repeated()).source.run != done.source.run
    out = tmp_path / "test" / "results"
    with pytest.raises(UserError, match="seed0 was run again since its log was read"):
        publish(Table("summary", (mean_sd("score"),)), [[done]], out, "test")
    assert not (out / "summary.csv").exists()


def test_it_is_said_whether_a_table_changed(tmp_path, capsys):
    cells, _ = cells_of(tmp_path)
    out = tmp_path / "test" / "results"
    said = []
    for seed in (0, 0, 1):
        group = [cells.run(Repeated(seed=seed))]
        capsys.readouterr()
        publish(Table("summary", (mean_sd("score"),)), [group], out, "test")
        said.append(capsys.readouterr().out.strip().rpartition(": ")[2])
    assert said == ["new", "as before", "changed"]


def test_the_time_left_is_that_of_the_cells_that_were_trained(tmp_path, capsys, monkeypatch):
    clock = iter([0.0, 60.0, 60.0, 240.0, *[240.0] * 4])  # one minute, then three
    monkeypatch.setattr(study, "time", SimpleNamespace(monotonic=lambda: next(clock)))  # no other thread's clock
    cells, _ = cells_of(tmp_path)
    cells.expected = 4
    for seed in range(3):
        cells.run(Repeated(seed=seed))
    told = [line for line in capsys.readouterr().out.splitlines() if " cell " in line]
    assert [line.partition(" cell ")[2] for line in told] == [
        "1 of about 4",
        "2 of about 4, about 3 min left",
        "3 of about 4, about 4 min left",
    ]
    assert [line.count("━") for line in told] == [0, 8, 15] and {len(line.split()[0]) for line in told} == {30}
    cells.expected = 2
    cells.run(Repeated(seed=3))
    assert "cell 4\n" in capsys.readouterr().out


def test_the_points_of_a_curve_have_their_last_values_and_means_since_the_one_before(tmp_path):
    with Run(tmp_path / "run", project="test", config=Config(), data="aa") as run:
        for step in range(1, 8):
            run.log(step, loss=float(step), **({"score": step / 10} if step in (2, 5, 6) else {}))
    done = study.Done("run", Config(), read_source(tmp_path / "run", team_key()), directory=tmp_path / "run")
    table = study.table("curve", study.last("step"), study.last("score"), study.mean("loss", digits=1))
    rows = publish(table, study.by_line(done, "score"), tmp_path / "test" / "results", "test")
    assert rows == [
        {"step": 2, "score": 0.2, "loss": 1.5},
        {"step": 5, "score": 0.5, "loss": 4.0},
        {"step": 6, "score": 0.6, "loss": 6.0},
    ]
    threes = publish(table, study.by_line(done, "loss", every=3), tmp_path / "test" / "results", "test")
    assert [(row["step"], row["loss"]) for row in threes] == [
        (3, 2.0),
        (6, 5.0),
    ]  # no whole stretch, no point


def test_what_was_published_before_and_is_cited_no_more_goes_and_nothing_else(tmp_path):
    cells, _ = cells_of(tmp_path)
    out = tmp_path / "test" / "results"
    table = Table("runs", (mean_sd("score"),), keep_logs=True)
    publish(table, [[cells.run(Repeated(seed=seed))] for seed in (0, 1)], out, "test")
    kept = cells.run(Repeated(seed=1)).source.run
    (out / "logs" / "letter.jsonl.xz").write_text("mine")
    publish(table, [[cells.run(Repeated(seed=1))]], out, "test")
    assert len(list((out / "logs").iterdir())) == 3
    seal = out / "runs.csv.seal.json"
    whole = seal.read_bytes()
    seal.write_bytes(whole[:-9])
    study.finish(out, {})  # of a seal that does not hold nobody knows what it cites
    assert len(list((out / "logs").iterdir())) == 3
    seal.write_bytes(whole)
    study.finish(out, {})
    assert sorted(path.name for path in (out / "logs").iterdir()) == sorted([f"{kept}.jsonl.xz", "letter.jsonl.xz"])
    assert read_json(out / "environment.json")["versions"]


@dataclass(frozen=True)
class Asked:
    method: str = "bm25"


def test_items_are_measured_once_and_their_means_cite_their_lines(tmp_path):
    films = ["Alien", "Alien", "Brazil"]
    numbers = [{"f1": 0.0}, {"f1": 0.5}, {"f1": 0.5, "faithful": 1.0}]
    asked = []

    def measure():
        asked.append(1)
        yield from zip(numbers, ({"film": film} for film in films), strict=True)

    cells = [log_items(tmp_path / "bm25", Asked(), measure, project="test", data="aa") for _ in range(2)]
    assert len(asked) == 1 and [item["film"] for item in cells[1].items] == films
    pair = lambda group: (group[0].values("f1"), [item["film"] for item in group[0].items])  # noqa: E731
    columns = (mean("f1"), mean("faithful"), mean("exact"), bounds("f1", pair), bounds("exact", lambda _: ([], [])))
    (row,) = publish(Table("answers", columns, keep_logs=True), [cells[:1]], tmp_path / "test" / "results", "test")
    low, high = bootstrap(numbers_of := [0.0, 0.5, 0.5], films)
    assert row == {
        "f1": round(sum(numbers_of) / 3, 6),
        "faithful": 1.0,
        "exact": "",
        **{"f1_low": round(low, 4), "f1_high": round(high, 4), "exact_low": "", "exact_high": ""},
    }
    other = log_items(tmp_path / "bm25", Asked("vectors"), measure, project="test", data="aa")
    assert other.directory == tmp_path / "bm25-2" and len(asked) == 2


def test_clusters_are_drawn_whole():
    """Two clusters: the mean is that of one of them, or of both together; drawn alone, items would mix."""
    means = resampled_means([0.0, 0.0, 1.0], ["a", "a", "b"])
    assert set(means.round(9)) == {0.0, round(1 / 3, 9), 1.0}
    assert (means == 0.0).mean() == pytest.approx(0.25, abs=0.02)
    single = resampled_means([0.0, 0.0, 1.0])
    assert single.mean() == pytest.approx(1 / 3, abs=0.01) and set((3 * single).round()) == {0, 1, 2, 3}


def test_the_bootstrap_covers_the_mean_and_shrinks():
    few, many = [0.0, 1.0] * 5, [0.0, 1.0] * 100
    low, high = bootstrap(few)
    assert low < 0.5 < high and bootstrap(few) == (low, high)
    assert bootstrap(many)[1] - bootstrap(many)[0] < high - low
    assert bootstrap([2.0] * 9) == (2.0, 2.0)


def test_the_spanish_view_says_the_words_of_its_cells_in_spanish():
    """Longer phrases first: "LoRA, ours" is no "LoRA"."""
    who, range_ = ("who", "quién", "{who}"), ("range", "intervalo", "{low} to {high}")
    table = study.table("t", who, range_, spanish={"ours": "propio", "LoRA, ours": "LoRA propia"})
    rows = [{"who": "LoRA, ours", "low": 1, "high": 2}, {"who": "ours", "low": 3, "high": 4}]
    assert table.view(rows) == (["who", "range"], [["LoRA, ours", "1 to 2"], ["ours", "3 to 4"]])
    assert table.view(rows, "es") == (["quién", "intervalo"], [["LoRA propia", "1 a 2"], ["propio", "3 a 4"]])
    again = study.table("t", who, spanish={"text": "texto", "raw text": "texto sin centrar"})
    told = [{"who": "raw text"}, {"who": "text"}]
    assert again.view(told, "es")[1] == [["texto sin centrar"], ["texto"]], "what is Spanish already is not said anew"
