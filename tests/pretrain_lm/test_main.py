"""The default run, smaller: train, verify, reload, the 5-gram, paragraphs; and the sweep on the same small corpus."""

import json
from dataclasses import replace

import pytest

from projects.pretrain_lm import __main__ as default_run
from projects.pretrain_lm import demo, experiments, provenance
from projects.pretrain_lm.analysis import eval_generation
from projects.pretrain_lm.analysis.eval_generation import WAYS
from projects.pretrain_lm.experiments import ExperimentConfig, complete
from projects.pretrain_lm.peer import PeerConfig
from projects.pretrain_lm.tables import tables_of
from projects.pretrain_lm.train_pretrain import main as train
from shared.errors import UserError
from shared.fingerprint import verify
from shared.report import read_csv


class Judge:
    """Stands for the two models, which take seconds to load."""

    def __call__(self, texts):
        return {"similarity": 0.5, "perplexity": 10.0 + len(texts.written[0])}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(eval_generation, "Judge", Judge)
    monkeypatch.setattr(eval_generation, "WAYS", {k: WAYS[k] for k in ("greedy", "temperature 0.8", "top-p 0.8")})


def test_the_default_run(smoke, capsys):
    default_run.main(smoke)
    shown = capsys.readouterr().out
    for words in ("Fingerprints", "Reloaded: test loss", "Kneser–Ney 5-gram", "Diversity and coherence", "(greedy)"):
        assert words in shown, words
    assert (smoke.out / "generation" / "frontier.png").exists()


def test_a_changed_checkpoint_is_found(smoke):
    metrics = train(replace(smoke, steps=2))
    (path,) = metrics.directory.glob("checkpoints/*/model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="TAMPERED"):
        demo.check_saved(metrics)


@pytest.fixture
def sweep(smoke, tmp_path, monkeypatch, corpus_file):
    """A cell of each study."""
    text = tmp_path / "one.txt"
    text.write_text(" ".join(json.loads(line)["text"] for line in corpus_file.read_text().splitlines()[:20]))
    small = replace(smoke, out=None, steps=6)
    peer = PeerConfig(dataset=str(text), layers=1, heads=2, width=16, context=8, batch_size=3, steps=4)
    peer = replace(peer, corpora=tmp_path / "corpora")
    made = {
        "news-seed0": small,
        "peer-ours-seed0": peer,
        "masking-static-0.15-seed0": replace(small, objective="static"),
        "context-16-seed0": small,
    }
    monkeypatch.setattr(experiments, "cells", lambda _: made)
    monkeypatch.setattr(
        provenance, "loader_rows", lambda *_: [{"copies": 1, "tokens": 9, "peak_mb": 1.0, "over_one": 1.0}]
    )
    readme = tmp_path / "README.md"
    names = ("news", "masking", "context", "loader", "frontier", "peer", "samples")
    readme.write_text("".join(f"<!-- begin {name} -->\n<!-- end {name} -->\n" for name in names))
    return ExperimentConfig(runs=tmp_path / "runs", out=tmp_path / "pretrain_lm" / "results", readme=readme)


def test_the_sweep_writes_sealed_tables(sweep):
    experiments.main(sweep)
    assert {row["study"] for row in read_csv(sweep.out / "runs.csv")} == {"news", "masking", "context"}
    assert all(finding.verdict.unchanged for finding in verify(sweep.out))
    models = [row["model"] for row in read_csv(sweep.out / "news.csv")]
    assert models[:4] == ["Kneser–Ney 2-gram", "Kneser–Ney 3-gram", "Kneser–Ney 5-gram", "Transformer"]
    assert "both mixed" in models[4]
    for table in tables_of(sweep.out).values():
        assert table in sweep.readme.read_text()


def test_a_cell_that_is_done_is_not_trained_again(sweep, monkeypatch):
    cell = experiments.cells(None)["news-seed0"]
    complete(sweep.runs / "news-seed0", cell)
    assert (sweep.runs / "news-seed0" / "result.json").exists()
    monkeypatch.setattr(experiments, "train", lambda _: pytest.fail("trained again"))
    complete(sweep.runs / "news-seed0", cell)
