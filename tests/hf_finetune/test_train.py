"""Training from end to end: learning, bit-equality, and every mistake on the command line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Trainer

from projects.hf_finetune.benchmark import training_steps
from projects.hf_finetune.config import SMOKE, Config
from projects.hf_finetune.training import train as training
from projects.hf_finetune.training.regularised import RegularisedTrainer
from projects.hf_finetune.training.train import fit, main
from shared.errors import UserError, command
from shared.fingerprint import Verdict, verify
from shared.fingerprint.log import read_records
from shared.run_directories import latest_checkpoint
from tests.hf_finetune.in_process import STEPS, attempt, equal_bits, untimed, weights

# ---------------------------------------------------------------- learning, and what is left behind


@pytest.mark.parametrize(("awp", "mixout"), [(0.0, 0.0), (0.001, 0.1)])
def test_it_learns_and_leaves_a_whole_run(config, awp, mixout):
    metrics = fit(attempt(replace(config, awp=awp, mixout=mixout, limit=None, epochs=8)))
    assert metrics.accuracy > 0.55  # three even classes: the majority reaches 0.36
    assert {f.verdict for f in verify(metrics.directory)} == {Verdict.UNTRUSTED_DEMO}
    kept = latest_checkpoint(metrics.directory)
    assert (kept / "mixout_targets.safetensors").exists() == (mixout > 0)
    assert not (kept / "training_args.bin").exists()
    records = read_records(metrics.directory / "metrics.jsonl")
    assert [r["step"] for r in records if "loss" in r] == list(range(1, metrics.steps + 1))
    best = max(r["validation_macro_f1"] for r in records if "validation_macro_f1" in r)
    assert metrics.validation_macro_f1 == best and records[-1]["test_accuracy"] == metrics.accuracy


def test_tensorboard_reads_what_was_logged(straight):
    directory = straight.directory
    events = EventAccumulator(str(directory)).Reload()
    records = read_records(directory / "metrics.jsonl")
    for name in ("loss", "lr", "validation_macro_f1"):
        logged = [(r["step"], r[name]) for r in records if name in r]
        shown = [(e.step, e.value) for e in events.Scalars(name)]
        assert [step for step, _ in shown] == [step for step, _ in logged]
        assert np.allclose([v for _, v in shown], [v for _, v in logged], rtol=1e-6)


def test_the_rate_rises_and_falls_linearly_also_with_awp_and_accumulation(config):
    """The schedule counts optimizer steps: neither a second backward pass nor micro-batches move it."""
    config = replace(config, awp=0.01, accumulation=4, warmup=0.25)
    records = read_records(fit(attempt(config)).directory / "metrics.jsonl")
    rates = [r["lr"] for r in records if "lr" in r]
    rising = [step / 3 for step in range(3)]
    falling = [(STEPS - step) / 9 for step in range(3, STEPS)]
    assert np.allclose(rates, [5e-3 * share for share in rising + falling])


def test_nan_stops_with_one_line(config):
    with pytest.raises(UserError, match="is nan at step"):
        fit(attempt(replace(config, lr=1e30, max_norm=1e30)))


# ---------------------------------------------------------------- bit-equality


def plain_library_run(config, tmp_path, monkeypatch):
    """The same run with the library's own step instead of ours."""
    with monkeypatch.context() as patched:
        patched.setattr(RegularisedTrainer, "training_step", Trainer.training_step)
        patched.setattr(RegularisedTrainer, "get_batch_samples", Trainer.get_batch_samples)
        return fit(attempt(replace(config, out=tmp_path / "plain"))).directory


@pytest.mark.parametrize("accumulation", [1, 4])
def test_gamma_zero_and_p_zero_are_plain_training_bit_for_bit(config, straight, tmp_path, monkeypatch, accumulation):
    plain = plain_library_run(replace(config, accumulation=accumulation), tmp_path, monkeypatch)
    ours = straight.directory if accumulation == 1 else fit(attempt(replace(config, accumulation=4))).directory
    assert equal_bits(weights(plain), weights(ours))
    assert untimed(plain) == untimed(ours)


def test_gamma_zero_through_the_whole_machinery_is_plain_training_bit_for_bit(config, straight, monkeypatch):
    """Ascent, perturbation by δ = 0 and restoration on every step: no bit, no random number and no rate moves.

    Plain is our run without AWP, which the test above compares with the library's.
    """
    monkeypatch.setattr(
        RegularisedTrainer, "__setattr__", lambda s, n, v: object.__setattr__(s, n, Zero() if n == "awp" else v)
    )
    ours = fit(attempt(config)).directory
    assert Zero.used > 0 and equal_bits(weights(straight.directory), weights(ours))


class Zero(float):
    """A γ of 0 that does not say so when asked."""

    used = 0

    def __eq__(self, other):
        Zero.used += 1
        return False

    __hash__ = float.__hash__


def test_the_benchmark_takes_the_steps_of_training(config, tmp_path, seen):
    """The same sentences in the same order, and on after the end of an epoch; the weights move."""
    fit(attempt(replace(config, epochs=1)))
    trained = [ids for _, ids in seen]
    seen.clear()
    model, tokenizer, data = training.load_model_and_data(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    told = {"directory": tmp_path, "accumulation": 1, "targets": {}}
    steps = training_steps(training.make_trainer(config, model, tokenizer, data, **told), config.max_norm)
    for _ in range(4):
        next(steps)
    assert [ids for _, ids in seen][:40] == trained and len(seen) == 40 + 16
    assert not equal_bits(before, model.state_dict())


# ---------------------------------------------------------------- the command line


def test_the_real_command_with_the_smoke_configuration(tmp_path, capfd):
    """MiniLM and the product reviews, a few steps: processes, run, fingerprints, report."""
    metrics = main(replace(SMOKE, epochs=1, out=tmp_path / "run"))
    training.report(metrics)
    said = capfd.readouterr()
    assert "test accuracy" in said.out and "Warning" not in said.err and "it/s" not in said.err
    assert metrics.steps == 4 and {f.verdict for f in verify(tmp_path / "run")} == {Verdict.UNTRUSTED_DEMO}
    assert json.loads((tmp_path / "run" / "data.json").read_text())["splits"]["train"]["sentences"] == 64


BAD_INPUT = [
    (["--awp", "-1"], "--awp -1.0: must be 0 (off) or a positive number"),
    (["--mixout", "1"], "--mixout 1.0: must be in [0, 1)"),
    (["--batch_size", "10", "--accumulation", "4"], "--accumulation 4: does not divide the batch of 10"),
    (["--epochs", "0"], "--epochs 0: must be at least 1"),
    (["--resume"], "--resume needs --out"),
    (["--out", "{}/none", "--resume"], "is not there"),
    (["--out", "{}/occupied"], "is in use and is not overwritten"),
    (["--out", "/proc/nothing/run"], "cannot write"),
    (["--device", "cuda:9"], "--device cuda:9"),
    (["--model", "nomodel"], "--model nomodel: neither embedded"),
    (["--model", "{}/two_classes"], "no classifier of 3 classes in it"),
    (["--model", "{}/no_model"], "no tokenizer that can be loaded"),
    (["--max_length", "2"], "--max_length 2: must be at least 3"),
    (["--max_length", "1000"], "--max_length 1000:"),
    (["--dataset", "product_review"], "did you mean product_reviews?"),
    (["--dataset", "{}/none.csv"], "no such file"),
    (["--dataset", "{}/other_columns.csv"], "no column 'text'; its columns are a, b"),
    (["--dataset", "{}/one_class.csv"], "the label column holds only 'only'"),
    (["--dataset", "{}/empty_text.csv"], "line 3: 'text' is empty or no text"),
    (["--dataset", "{}/words.csv", "--scores"], "row 2: 'five' is no number"),
    (["--dataset", "trec", "--scores"], "--scores: trec holds classes"),
    (["--dataset", "{}/long_line.csv"], "line 2: longer than 1 MB"),
    (["--dataset", "{}/latin.csv"], "line 2: not UTF-8"),
    (["--dataset", "{}/few.jsonl"], "2 different texts or groups, but three splits take 10"),
]


def bad_files(folder, model):
    texts = {
        "one_class.csv": "text,label\n" + "".join(f"review {n},only\n" for n in range(30)),
        "other_columns.csv": "a,b\n1,2\n",
        "empty_text.csv": "text,label\nfine,a\n ,b\n",
        "words.csv": "text,label\nfine,1\nwell,five\n",
        "long_line.csv": "text,label\n" + "x" * 10_000_000 + ",a\n",
        "few.jsonl": '{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "latin.csv").write_bytes("text,label\ncaf\u00e9,a\n".encode("latin-1"))
    (folder / "occupied").mkdir()
    (folder / "occupied" / "file").touch()
    (folder / "no_model").mkdir()
    shutil.copytree(model, folder / "two_classes")
    from tests.hf_finetune.conftest import tiny_classifier

    vocab = json.loads((folder / "two_classes" / "config.json").read_text())["vocab_size"]
    tiny_classifier(classes=2, vocab=vocab).save_pretrained(folder / "two_classes")


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_ends_in_one_line_and_writes_nothing(words, message, folder, tmp_path, monkeypatch, capsys):
    bad_files(tmp_path, folder / "model")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()  # the library's bar over the files that the test itself wrote

    def straight_in(config):
        return fit(attempt(replace(config, out=config.out or tmp_path / "run"), config.resume))

    with pytest.raises(SystemExit) as ended:
        command(
            straight_in,
            Config,
            ["--limit", "64", "--model", str(folder / "model"), *(w.format(tmp_path) for w in words)],
        )
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("error: ") and message in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_from_the_process_that_trains(tmp_path, capfd):
    """The child says it, once; the command that watches it passes the code on."""
    bad = ["--dataset", str(tmp_path / "none.csv"), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        command(main, Config, bad)
    said = capfd.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: --dataset") and said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
