"""The default run, smaller: train, verify, reload, the 5-gram, paragraphs; and the sweep on the same small corpus."""

import json
import shutil
from dataclasses import replace

import pytest

from projects.pretrain_lm import __main__ as default_run
from projects.pretrain_lm import demo, study
from projects.pretrain_lm import peer as recipes
from projects.pretrain_lm.analysis import eval_generation
from projects.pretrain_lm.analysis.eval_generation import WAYS
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.peer import PeerConfig
from projects.pretrain_lm.study import StudyConfig, cells, finished, views
from shared.errors import UserError
from shared.fingerprint import verify
from shared.report import read_csv


class Judge:
    """Stands for the two models, which take seconds to load."""

    def __call__(self, texts):
        return {"similarity": 0.5, "perplexity": 10.0 + len(texts.texts[0])}


@pytest.fixture(scope="module", autouse=True)
def _quick():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(eval_generation, "Judge", Judge)
        patched.setattr(eval_generation, "WAYS", {k: WAYS[k] for k in ("greedy", "temperature 0.8", "top-p 0.8")})
        yield


def test_the_default_run(smoke, capsys):
    default_run.main(replace(smoke, steps=6))
    shown = capsys.readouterr().out
    for words in ("Fingerprints", "Reloaded: test loss", "Kneser–Ney 5-gram", "Diversity and coherence", "(greedy)"):
        assert words in shown, words
    assert (smoke.out / "generation" / "frontier.png").exists()


def test_a_changed_checkpoint_is_found(trained, tmp_path):
    run = shutil.copytree(trained.directory, tmp_path / "run")
    (path,) = run.glob("checkpoints/*/model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="TAMPERED"):
        demo.check_saved(replace(trained, directory=run))


@pytest.fixture(scope="module")
def peer(corpus_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peer")
    text = folder / "one.txt"
    text.write_text(" ".join(json.loads(line)["text"] for line in corpus_file.read_text().splitlines()[:20]))
    recipe = PeerConfig(dataset=str(text), layers=1, heads=2, width=16, context=8, batch_size=3, steps=4)
    return replace(recipe, corpora=folder / "corpora")


@pytest.fixture(scope="module")
def sweep(prepared, peer, tmp_path_factory):
    """A cell or two of each study, run once; the README and that of the results have the blocks of their tables."""
    folder = tmp_path_factory.mktemp("sweep")
    small = replace(prepared, steps=6)
    made = {
        "news-seed0": small,
        "peer-ours-seed0": peer,
        **{f"masking-static-0.15-seed{seed}": replace(small, objective="static", seed=seed) for seed in (0, 1)},
        "context-16-seed0": small,
    }
    config = StudyConfig(runs=folder / "runs", out=folder / "pretrain_lm" / "results")
    config.out.mkdir(parents=True)
    for place, names in {
        "README.md": ("news", "frontier", "peer"),
        "results/README.md": ("masking", "context", "loader", "samples"),
    }.items():
        blocks = "".join(f"<!-- begin {name} -->\n<!-- end {name} -->\n" for name in names)
        (config.out.parent / place).write_text(blocks)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(study, "cells", lambda _: made)
        patched.setattr(study.loader, "main", lambda _: [read_once(copies) for copies in (1, 4)])
        study.main(config)
        yield config


def read_once(copies):
    """A row of the loader study, which takes a process a size."""
    return {"copies": copies, "tokens": 9 * copies, "peak_mb": 1.5, "tokens_per_second": 7, "over_one": 1.0}


def test_the_study_writes_sealed_tables_whose_numbers_are_in_the_logs(sweep):
    runs = read_csv(sweep.out / "runs.csv")
    assert [row["study"] for row in runs] == ["news", "masking", "masking", "context"]
    findings = verify(sweep.out, recompute=True)
    assert [f"{f.path.name}: {f.detail}" for f in findings if not f.verdict.unchanged] == []
    models = [row["model"] for row in read_csv(sweep.out / "news.csv")]
    assert models[:4] == ["Kneser–Ney 2-gram", "Kneser–Ney 3-gram", "Kneser–Ney 5-gram", "Transformer"]
    assert "both mixed" in models[4]
    (masked,) = read_csv(sweep.out / "masking.csv")
    assert masked["seeds"] == 2
    assert masked["test_loss"] == pytest.approx(sum(row["test_loss"] for row in runs[1:3]) / 2)
    shown = (sweep.out.parent / "README.md").read_text() + (sweep.out / "README.md").read_text()
    for table, rows in views(sweep.out).values():
        assert table.markdown(rows) in shown
    assert (sweep.out / "samples.md").read_text().rstrip() in shown
    results = json.loads((sweep.runs / "news-seed0" / "result.json").read_text())
    assert {name: runs[0][name] for name in ("parameters", "tokens", "steps")} == {
        name: results[name] for name in ("parameters", "tokens", "steps")
    }


def test_every_epoch_and_every_size_of_the_loader_is_a_row(sweep):
    log = [json.loads(line) for line in (sweep.runs / "news-seed0" / "metrics.jsonl").read_text().splitlines()]
    ends = [record for record in log if "validation_loss" in record]
    epochs = read_csv(sweep.out / "epochs.csv")
    assert len(ends) > 0 and [row["validation_loss"] for row in epochs] == [end["validation_loss"] for end in ends]
    assert [row["epoch"] for row in epochs] == [end["epoch"] for end in ends]
    assert [(row["copies"], row["tokens"]) for row in read_csv(sweep.out / "loader.csv")] == [(1, 9), (4, 36)]


def test_a_study_that_is_done_is_not_made_again_and_another_corpus_is_measured_anew(sweep, prepared, monkeypatch):
    before = {name: (sweep.out / name).read_bytes() for name in ("runs.csv", "peer.csv", "epochs.csv", "loader.csv")}
    for name in ("pretrain", "train_peer"):
        monkeypatch.setattr(study, name, lambda _: pytest.fail("trained again"))
    monkeypatch.setattr(study, "write_news", lambda *_: None)  # it follows from the run and is written each time
    measured = []
    monkeypatch.setattr(study.loader, "main", lambda _: measured.append("again") or [read_once(1)])
    study.main(sweep)
    assert measured == [] and all((sweep.out / name).read_bytes() == text for name, text in before.items())
    monkeypatch.setattr(study, "corpus_digest", lambda _: "aa")
    assert study.loaded(sweep.runs / "loader", prepared).directory == sweep.runs / "loader-2"
    assert measured == ["again"]


def test_a_cell_that_was_interrupted_goes_on_and_one_of_other_data_is_trained_beside_it(smoke, tmp_path, monkeypatch):
    place, cell = tmp_path / "news-seed0", replace(smoke, out=None, steps=6, save_every=2)
    trained = study.pretrain
    asked = []
    monkeypatch.setattr(study, "pretrain", lambda config: asked.append(config.resume) or trained(config))
    finished(place, cell)
    (place / "result.json").unlink()
    finished(place, cell)
    assert asked == [False, True]
    monkeypatch.setattr(study, "corpus_digest", lambda _: "aa")
    assert finished(place, cell).name == "news-seed0-2"
    assert asked == [False, True, False]


class StopError(Exception):
    """In the place of a process that is stopped."""


def test_a_peer_run_that_was_cut_short_starts_anew(peer, tmp_path, monkeypatch):
    def stopped(*_):
        raise StopError

    place = tmp_path / "peer-ours-seed0"
    with monkeypatch.context() as patched, pytest.raises(StopError):
        patched.setattr(recipes, "validation_loss", stopped)
        finished(place, peer)
    assert (place / "metrics.jsonl").exists() and not (place / "result.json").exists()
    done = finished(place, peer)
    assert (done.name, study.study_of(done)) == ("peer-ours-seed0", "peer") and done.last("validation_loss") > 0


def test_the_plan_keeps_the_names_and_settings_that_finished_runs_have():
    planned = cells(Config())
    assert len(planned) == 34
    assert planned["masking-dynamic-0.3-seed2"] == Config(
        limit=60, tokenizer="char", context=64, width=64, epochs=8, log_every=10,
        objective="dynamic", mask_ratio=0.3, seed=2,
    )  # fmt: skip
    assert planned["context-256-seed0"] == Config(context=256, batch_size=8, steps=400)
    assert planned["peer-gpt2-seed1"] == PeerConfig(arm="gpt2", seed=1)
    assert planned["news-seed0"] == Config(epochs=6, width=256, dropout=0.1, lr=2e-3)
