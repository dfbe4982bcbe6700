"""From runs to tables, figures and seals, on small runs; the study of initialisations; the benchmark's protocol."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from projects.adapters import __main__ as default
from projects.adapters import benchmark, data, evaluate, initialisation, ner, peers, plots, state, study
from projects.adapters.arms import ARMS, LORA_RANK, adapter_factory, load_base
from projects.adapters.config import Config, RunConfig
from projects.adapters.convergence import time_to_reach
from projects.adapters.data import Batch
from projects.adapters.hooks.forward_hooks import register_adapters, remove_adapters
from projects.adapters.models.transformer_base import SequenceClassifier
from projects.adapters.train import main as train
from projects.adapters.train import prepare
from shared.errors import UserError
from shared.files import write_json
from shared.fingerprint import Verdict, verify
from shared.interleave import Measured
from shared.optim import count_parameters
from shared.report import between_marks, crossed, read_csv
from shared.runs import Run
from shared.study import Cells

MARKS = ("texts", "ner", "times", "init", "bench")


@pytest.fixture(scope="module")
def model(tmp_path_factory, save_tiny_bert):
    folder = tmp_path_factory.mktemp("model")
    save_tiny_bert(folder, layers=1, width=16)
    return str(folder)


@pytest.fixture
def small_plan(few_texts, monkeypatch):
    """Every task, with a few dozen sentences and two seeds; the library's worker answers at once."""
    tiny = {"epochs": 1, "eval_every": 2, "curve_rows": 16}
    monkeypatch.setattr(study, "SETTINGS", dict.fromkeys(study.SETTINGS, tiny))
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    monkeypatch.setattr(study, "RATES", {arm: rates[:1] for arm, rates in study.RATES.items()})
    monkeypatch.setattr(initialisation, "SEEDS", (0,))
    drawn = {name: initialisation.SETTINGS[name] for name in ("he, up zero", "xavier, both")}
    monkeypatch.setattr(initialisation, "SETTINGS", drawn)
    for split, count in (("train", 64), ("validation", 20), ("test", 20)):
        monkeypatch.setitem(ner.SIZES, split, count)


@pytest.fixture
def library(monkeypatch):
    """In the place of the library's environment: our own adapters, and what was asked for."""
    asked = []

    def train_here(config):
        asked.append((config.lr, config.seed))
        train(Config(**vars(config)))

    monkeypatch.setattr(peers, "train", train_here)
    return asked


@pytest.fixture
def small(model, small_plan, tmp_path, monkeypatch):
    base = Config(model=model, batch_size=16, max_length=16, device="cpu", log_every=1)
    monkeypatch.setattr(study, "BASE", base)
    few = replace(initialisation.BASE, model=model, limit=32, batch_size=4, max_length=16)
    collect = initialisation.collect
    monkeypatch.setattr(initialisation, "collect", lambda runs: collect(runs, few, steps=3))
    return study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "projects" / "adapters" / "results")


def test_from_runs_to_sealed_tables_figures_and_readme(small, library, tmp_path, capsys):
    out, readme = small.out, small.out.parent / "README.md"
    out.mkdir(parents=True)
    readme.write_text("".join(f"<!-- begin {m} -->\n<!-- end {m} -->\n" for m in MARKS))
    study.main(small)
    first = capsys.readouterr().out
    assert first.count("training ") == len(list((tmp_path / "runs").glob("*-seed*/result.json")))
    names = {"runs", "curves", "parameters_accuracy", "init", "init_summary"}
    assert {path.stem for path in out.glob("*.csv")} == names
    assert {f.verdict for f in verify(out, recompute=True)} == {Verdict.UNTRUSTED_DEMO}
    assert len(list(out.glob("*.png"))) == 2 * 4, "in two languages"
    assert "full fine-tuning" in between_marks(readme, "texts") and "level 3" in between_marks(readme, "ner")
    assert "xavier, both" in between_marks(readme, "init")
    study.collect(small)  # a second time nothing is trained
    initialisation.collect(small.runs)
    assert "training " not in capsys.readouterr().out
    runs = read_csv(out / "runs.csv")
    finals = [r for r in runs if r["final"]]
    assert len({(r["dataset"], r["arm"], r["size"], r["seed"]) for r in finals}) == len(finals)
    for row in runs:
        told = json.loads((small.runs / row["cell"] / "result.json").read_text())
        same = ("accuracy", "macro_f1", "validation_score", "steps", "trained", "parameters", "seconds")
        assert [row[name] for name in same] == [told[name] for name in same]
        entity = told.get("entity_f1")
        assert row["score"] == (told["accuracy"] if entity is None else entity)
    assert library == [(1e-3, 0), (1e-3, 1)]
    assert [r["cell"] for r in runs if r["arm"] == "peer"] == ["trec-peer-lr0.001-seed0", "trec-peer-lr0.001-seed1"]


def test_without_the_library_there_is_no_row_of_it(small, library, monkeypatch, capsys):
    """Not even of the seeds that were trained before it failed; the reason is said."""

    def fail_later(config):
        if config.seed:
            raise UserError("no such wheel")
        train_here(config)

    train_here = peers.train
    assert study.collect_peers(library_cells(small, fail_later)) == []
    assert "without the library's row: no such wheel" in capsys.readouterr().out
    again = study.collect_peers(library_cells(small, train_here))
    assert [done.name for done in again] == [f"trec-peer-lr0.001-seed{s}" for s in (0, 1)]
    assert library == [(1e-3, 0), (1e-3, 1)]


def library_cells(config, trained_by):
    told = {"name": study.cell_name, "data": study.data_digest, "by": "validation_score"}
    return Cells(config.runs, trained_by, "adapters", **told)


def test_the_librarys_run_is_told_everything_and_its_failure_is_told(monkeypatch, tmp_path):
    asked = []

    def run(command, *, input, text, check):
        asked.append((command, json.loads(input)))
        return SimpleNamespace(returncode=len(asked) - 1)

    monkeypatch.setattr(peers, "make_environment", lambda: None)
    monkeypatch.setattr(peers.subprocess, "run", run)
    config = peers.PeerConfig(lr=0.25, out=tmp_path / "peer")
    peers.train(config)
    command, told = asked[0]
    assert command == [str(peers.PYTHON), "-m", "projects.adapters.peers"]
    assert peers.PeerConfig(**{**told, "targets": tuple(told["targets"]), "out": Path(told["out"])}) == config
    with pytest.raises(UserError, match=r"the library's run .*peer failed"):
        peers.train(config)


def test_an_environment_that_cannot_be_made_is_one_line(monkeypatch, tmp_path):
    home = {"HOME": tmp_path / "peers", "PYTHON": tmp_path / "peers" / "python", "READY": tmp_path / "peers" / "ready"}
    for name, path in home.items():
        monkeypatch.setattr(peers, name, path)
    failed = SimpleNamespace(returncode=1, stdout="", stderr="noise\nno such wheel\n")
    monkeypatch.setattr(peers.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="no such wheel") as refused:
        peers.make_environment()
    assert "\n" not in str(refused.value) and not peers.READY.exists()
    peers.READY.parent.mkdir()
    peers.READY.touch()
    peers.make_environment()  # it is there: nothing is run


def test_bert_in_the_place_of_our_encoder(model):
    """What the library gets to adapt computes what our encoder computes, and takes the same head."""
    peer, own = (load_base(kind(model=model))[0] for kind in (peers.PeerConfig, Config))
    ids = torch.randint(1, 50, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    torch.testing.assert_close(peer(ids, mask)[mask.bool()], own(ids, mask)[mask.bool()], rtol=1e-5, atol=1e-5)
    assert count_parameters(peer) == count_parameters(own)
    assert SequenceClassifier(peer, 3)(ids, mask).shape == (3, 3)
    peer.train()
    assert not torch.equal(peer(ids, mask), peer(ids, mask))
    attention = peer.bert.encoder.layer[0].attention.self
    attention.dropout_prob = 0.1  # where the library's transformers keeps that of the attention
    peers.turn_dropout_off(peer)
    assert torch.equal(peer(ids, mask), peer(ids, mask)) and attention.dropout_prob == 0


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Training is played here: what counts is which cells are asked for again."""
    config, trained = study.StudyConfig(runs=tmp_path / "runs"), []

    def play(cell):
        trained.append(cell.out.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        with Run(cell.out, project="adapters", config=cell) as run:
            run.log(1, validation_score=cell.lr)
        write_json(cell.out / "result.json", {})

    monkeypatch.setattr(study, "train", play)
    monkeypatch.setattr(study, "TEXTS", ("trec",))
    monkeypatch.setattr(study, "ENTITIES", ())
    monkeypatch.setattr(study, "OTHER_BOTTLENECKS", ())
    monkeypatch.setattr(study, "collect_peers", lambda _: [])
    monkeypatch.setattr(study, "data_digest", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        study.collect(config)
    finished = trained[:2]
    study.collect(config)
    assert trained[3] == trained[2] and not set(finished) & set(trained[3:])
    # Two rates, then two more seeds of the better one, also of LoRA; from scratch two rates, on the entities one.
    assert len(trained) == 1 + len(set(trained)) == 1 + 4 * (2 + 2) + 2 + 1
    for arm in study.OWN:
        later = [name for name in trained if f"-{arm}" in name and not name.endswith("seed0")]
        assert later and all(f"lr{max(study.RATES[arm]):g}-" in name for name in later)


def test_a_method_that_a_task_lacks_is_shown_by_a_dash():
    row = {
        "method": "full fine-tuning",
        "seeds": 1,
        "score": 0.5,
        "score_sd": 0.0,
        "lr": 1e-3,
        "trained": 5,
        "share": 1.0,
    }
    summary = [{**row, "dataset": "trec"}, {**row, "dataset": "trec", "method": "mine", "score": 0.25}]
    summary += [{**row, "dataset": "movie_reviews"}]
    full, mine = study.IN_TEXTS.view(crossed(summary, "method", "dataset"))[1]
    assert mine == ["mine", "0.2500 (1 seed)", "-25.00", "–", "–", "5 (100.00%)", "0.001, –"]
    assert full[3:5] == ["0.5000 (1 seed)", "+0.00"]


def test_a_cells_name_tells_all_that_varies():
    cells = [
        study.cell_of(dataset, arm, lr=rate, seed=seed)
        for dataset in study.SETTINGS
        for arm in ARMS
        for rate in (1e-3, 3e-3)
        for seed in (0, 1)
    ]
    cells += [replace(study.cell_of("trec", "bottleneck"), bottleneck=8)]
    cells += [peers.PeerConfig(**vars(study.cell_of("trec", "bottleneck", lr=rate))) for rate in (1e-3, 3e-3)]
    assert len({study.cell_name(cell) for cell in cells}) == len(cells)


def test_lora_has_at_least_the_adapters_parameters_and_no_smaller_rank_has():
    adapters, lora, less = (
        12 * (2 * 384 * 64 + 384 + 64),
        *(rank * 6 * (4 * 2 * 384 + 2 * (384 + 1536)) for rank in (LORA_RANK, LORA_RANK - 1)),
    )
    assert less < adapters <= lora


def test_time_to_reach_counts_steps_to_the_target():
    run = {"dataset": "trec", "size": 0, "final": 1, "validation_score": 0.8}
    runs = [{**run, "cell": f"f{s}", "arm": "full", "seed": s} for s in range(3)]
    runs += [{**run, "cell": f"b{s}", "arm": "bottleneck", "size": 64, "seed": s} for s in range(3)]
    steps = {"f0": (10, 20), "f1": (10, 40), "f2": (10, 30), "b0": (10, 60), "b1": (10, 50), "b2": (10, 70)}
    curves = [
        {"cell": cell, "step": step, "score": score}
        for cell, each in steps.items()
        for step, score in zip(each, (0.7599, 0.76), strict=True)  # 0.95 · 0.8 = 0.76
    ]
    curves[-1]["score"] = 0.5  # b2 never gets there
    bench = [
        {"dataset": "trec", "arm": "full", "step_ms": 400.0},
        {"dataset": "trec", "arm": "bottleneck", "step_ms": 200.0},
    ]
    adapters, full = time_to_reach(runs, curves, bench)
    assert (full["steps"], full["seconds"], full["reached"]) == (30, 12.0, 3)
    assert (adapters["steps"], adapters["seconds"], adapters["reached"]) == (60, 12.0, 2)


# ---------------------------------------------------------------- the study of initialisations


def test_zero_up_deviates_by_nothing_and_drawing_both_by_something(classifier, batch):
    ids, mask = batch
    probe = Batch(ids, mask, torch.zeros(4, dtype=torch.long))
    found = {}
    for setting, (init, down) in initialisation.SETTINGS.items():
        torch.manual_seed(0)
        config = Config(init=init, down_init=down, bottleneck=8)
        register_adapters(classifier.encoder, config.targets, adapter_factory(config, 16))
        found[setting] = initialisation.deviation(classifier, probe)
        remove_adapters(classifier.encoder)
    assert found["he, up zero"] == found["xavier, up zero"] == 0.0
    assert found["he, both"] > found["xavier, both"] > 0.05


# ---------------------------------------------------------------- the benchmark


@pytest.fixture
def small_arms(model, monkeypatch):
    monkeypatch.setattr(benchmark, "BASE", Config(model=model, limit=32, max_length=16, epochs=1))


def test_the_arms_of_the_benchmark_are_what_they_say(small_arms):
    models = {arm: prepare(benchmark.config_of(arm, "ner-1"))[0] for arm in benchmark.MEASURED}
    benchmark.write_inline(models["inline"].encoder)
    counts = {arm: count_parameters(each) for arm, each in models.items()}
    assert counts["bottleneck"] == counts["inline"] == counts["parallel"]
    assert counts["full"][0] == counts["full"][1]
    inline, hooked = (models[arm].train() for arm in ("inline", "bottleneck"))
    assert [n for n, m in inline.named_modules() if m.training and not list(m.children())]
    trained = [sum(m.training for m in each.modules()) for each in (inline, hooked)]
    assert trained[0] == trained[1]
    assert not any(m._forward_hooks for m in inline.modules())


@pytest.mark.parametrize("arm", ["bottleneck", "inline"])
def test_an_arm_answers_with_milliseconds_and_memory(small_arms, arm, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n2\n0\n"))
    written = []
    monkeypatch.setattr(benchmark, "write_inline", lambda encoder: written.append(encoder))
    benchmark.serve(arm, "ner-1")
    ready, one, two, (peak, growth) = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == "ready" and one > 0 and two > 0 and peak > 50 and 0 <= growth < peak
    assert bool(written) == (arm == "inline")


def test_a_row_holds_medians_and_our_time_over_the_arms():
    ms = {"bottleneck": [10.0, 20.0, 30.0], "full": [20.0, 80.0, 60.0]}
    ours, row = benchmark.task_rows("trec", {arm: Measured(each, 1.0, 0.0) for arm, each in ms.items()})
    assert (ours["dataset"], ours["arm"], ours["ours_over_arm"]) == ("trec", "bottleneck", 1.0)
    assert (row["step_ms"], row["ours_over_arm"]) == (60.0, 0.5)  # the median of ½, ¼, ½


def test_figures_are_drawn_again_from_the_committed_files(tmp_path):
    results = study.RESULTS
    for path in results.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    plots.draw(tmp_path)
    assert {p.name for p in tmp_path.glob("*.png")} <= {p.name for p in results.glob("*.png")}


# ---------------------------------------------------------------- refused before work begins, and nothing removed


def must_not_run(*_, **__):
    raise AssertionError("work began")


@pytest.fixture
def occupied(tmp_path):
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.txt").write_text("mine")
    return tmp_path / "occupied"


def test_the_default_run_refuses_before_its_first_table(occupied, monkeypatch):
    monkeypatch.setattr(default, "check_identity", must_not_run)
    for out, message in ((occupied, "is in use and is not overwritten"), (occupied / "thesis.txt/x", "cannot write")):
        with pytest.raises(UserError, match=message):
            default.main(RunConfig(out=out))
    assert (occupied / "thesis.txt").read_text() == "mine"


def test_the_benchmark_reads_every_task_before_it_measures_one(small_arms, tmp_path, occupied, monkeypatch):
    monkeypatch.setattr(benchmark, "commands", must_not_run)
    tasks = ("ner-1", "ner-9")
    with pytest.raises(UserError, match="the synthetic levels are"):
        benchmark.main(benchmark.BenchConfig(dataset=tasks, out=tmp_path))
    with pytest.raises(UserError, match="cannot write"):
        benchmark.main(benchmark.BenchConfig(dataset=tasks, out=occupied / "thesis.txt" / "x"))


def few():
    return data.Corpus(*[data.Texts([], [], [], 0)] * 3, classes=["O"], tagging=True)


def test_a_folder_that_is_no_run_of_ours_is_left_alone(tmp_path, occupied, monkeypatch):
    """A folder of a person's under a cell's name: the cell is trained beside it."""

    def play(cell, *_):
        with Run(cell.out, project="adapters", config=cell, data=few().digest()) as run:
            run.log(1, validation_score=0.5)
        write_json(cell.out / "result.json", {})

    monkeypatch.setattr(initialisation, "load_base", lambda _: (None, None))
    monkeypatch.setattr(initialisation, "load_corpus", lambda *_: few())
    monkeypatch.setattr(initialisation, "SEEDS", (0,))
    monkeypatch.setattr(initialisation, "RATES", (1e-3,))
    monkeypatch.setattr(initialisation, "train_briefly", play)
    monkeypatch.setattr(study, "data_digest", lambda _: few().digest())
    monkeypatch.setattr(study, "SEEDS", (0,))
    for name, begin in (
        ("init-he-up-zero-lr0.001-seed0", lambda: initialisation.collect(tmp_path, Config())[0]),
        (
            "trec-peer-lr0.001-seed0",
            lambda: study.collect_peers(library_cells(study.StudyConfig(runs=tmp_path), play))[-1],
        ),
    ):
        occupied = occupied.rename(tmp_path / name)
        assert begin().name == f"{name}-2"
        assert [path.name for path in occupied.iterdir()] == ["thesis.txt"]


def test_sentences_do_not_overwrite_files(occupied):
    (occupied / "validation.conll").write_text("mine")
    with pytest.raises(UserError, match=r"validation\.conll exists and is not overwritten"):
        ner.main(ner.NerConfig(out=occupied))
    assert sorted(path.name for path in occupied.iterdir()) == ["thesis.txt", "validation.conll"]


def test_evaluation_reads_everything_before_it_scores_one(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "score_trained", must_not_run)
    monkeypatch.setattr(evaluate, "load_test", lambda *_: None)
    load = state.load_trained
    monkeypatch.setattr(state, "load_trained", lambda path, **_: load(path) if "none" in str(path) else Config)
    with pytest.raises(UserError, match="is not there"):
        evaluate.main(evaluate.EvaluateConfig(run=(tmp_path / "first", tmp_path / "none"), dataset=("ner-1",)))
