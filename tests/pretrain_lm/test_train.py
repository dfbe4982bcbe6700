"""The training loop: what it logs is true; accumulation, interruption and processes do not change what is learned."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from projects.pretrain_lm import train_pretrain
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.shards import Chunks, Part
from projects.pretrain_lm.data.vocabulary import Vocabulary
from projects.pretrain_lm.distributed import Loss
from projects.pretrain_lm.evaluate import predict
from projects.pretrain_lm.train_pretrain import Trainer, load, main, read_corpus, report
from shared.errors import UserError
from shared.fingerprint import verify
from shared.runs import latest_checkpoint, load_tensors


def log_of(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def losses_of(directory):
    return {r["step"]: r["loss"] for r in log_of(directory) if "loss" in r}


def weights_of(directory):
    return load_tensors(latest_checkpoint(directory) / "model.safetensors")


def test_train_save_verify_reload(smoke, capsys):
    metrics = main(smoke)
    report(metrics)
    assert "bits per byte" in capsys.readouterr().out
    assert all(finding.verdict.unchanged for finding in verify(metrics.directory))
    config, model, vocabulary = load(metrics.directory)
    again = predict(Loss(model), read_corpus(smoke).held_out(smoke, "test"))
    assert again.loss == pytest.approx(metrics.test.loss, rel=1e-6)
    assert config.seed == smoke.seed and len(vocabulary) == model.size.vocabulary


def test_what_is_logged_each_epoch(smoke):
    metrics = main(smoke)
    records = log_of(metrics.directory)
    losses = losses_of(metrics.directory)
    assert list(losses) == list(range(1, metrics.steps + 1))
    assert losses[1] == pytest.approx(math.log(300), abs=0.1)  # an untrained model knows nothing
    assert losses[metrics.steps] < losses[1] - 0.5
    ends = [r for r in records if "epoch" in r and "validation_loss" in r]
    assert [r["epoch"] for r in ends] == [1, 2]
    for record in ends:
        assert record["validation_perplexity"] == pytest.approx(math.exp(record["validation_loss"]))
        assert 0 < record["distinct_1"] <= record["distinct_2"] <= 1
    assert ends[-1]["validation_loss"] == metrics.validation.loss
    (last,) = (r for r in records if "test_loss" in r)
    bits = last["test_loss"] * metrics.test.labels / math.log(2)
    texts = read_corpus(smoke).report["splits"]["test"]
    assert last["test_bits_per_byte"] == pytest.approx(bits / texts["bytes"])


def test_perplexity_is_over_all_tokens_and_no_mean_of_batches(smoke):
    """Against a loop over single chunks; each token of a document but the first is predicted once."""
    metrics = main(smoke)
    config, model, _ = load(metrics.directory)
    corpus, total, count = read_corpus(config), 0.0, 0
    for (chunk,) in Chunks(corpus.folder / "chunks" / "test", batch=1):
        with torch.no_grad():
            scores = model(torch.tensor([chunk.ids[:-1]]))[0]
        total += F.cross_entropy(scores, torch.tensor(chunk.ids[1:]), reduction="sum").item()
        count += len(chunk.ids) - 1
    assert metrics.test.labels == count
    assert metrics.test.perplexity == pytest.approx(math.exp(total / count), rel=1e-5)


@pytest.mark.parametrize("objective", ["causal", "dynamic"])
def test_accumulation_changes_nothing(smoke, objective):
    """Though micro-batches hold different numbers of labels."""
    smoke = replace(smoke, objective=objective, steps=8)
    whole = main(smoke)
    pieces = main(replace(smoke, accumulation=4, out=smoke.out.with_name("pieces")))
    one, other = losses_of(whole.directory), losses_of(pieces.directory)
    assert one.keys() == other.keys()
    assert all(other[step] == pytest.approx(loss, abs=2e-5) for step, loss in one.items())


class Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize(("objective", "at"), [("causal", 9), ("causal", 14), ("static", 20)])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(smoke, monkeypatch, objective, at):
    smoke = replace(smoke, objective=objective, dropout=0.1)
    whole = main(smoke)
    broken = replace(smoke, out=smoke.out.with_name("broken"))
    learn = Trainer.learn

    def until(self, batch, run):
        if self.step == at:
            raise Killed
        learn(self, batch, run)

    monkeypatch.setattr(Trainer, "learn", until)
    with pytest.raises(Killed):
        main(broken)
    monkeypatch.setattr(Trainer, "learn", learn)
    resumed = main(replace(broken, resume=True))
    assert losses_of(resumed.directory) == losses_of(whole.directory)
    for name, tensor in weights_of(whole.directory).items():
        assert torch.equal(weights_of(resumed.directory)[name], tensor), name
    assert (resumed.test, resumed.tokens) == (whole.test, whole.tokens)


def torchrun(config, processes):
    """The same script as several processes on this machine, each of which ends its threads before it leaves."""
    words = ["--nproc-per-node", str(processes), "--master-port", "0", "--rdzv-backend", "c10d"]
    words += ["--rdzv-endpoint", "localhost:0", "-m", "tests.pretrain_lm.one_of_several"]
    for name in ("dataset", "corpus", "out", "objective", "precision"):
        words += [f"--{name}", str(getattr(config, name))]
    for name in ("vocabulary", "context", "layers", "heads", "width", "batch_size", "steps", "save_every"):
        words += [f"--{name}", str(getattr(config, name))]
    words += ["--resume"] if config.resume else []
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_processes_learn_what_one_does(smoke):
    """The loss curve at the same global batch, and the weights; the second half resumed by two processes."""
    smoke = replace(smoke, steps=12, save_every=5)
    one, two = main(smoke), replace(smoke, out=smoke.out.with_name("two"))
    torchrun(two, 2)
    mine, theirs = losses_of(one.directory), losses_of(two.out)
    assert mine.keys() == theirs.keys()
    assert max(abs(mine[step] - theirs[step]) for step in mine) < 1e-4
    for name, tensor in weights_of(one.directory).items():
        torch.testing.assert_close(weights_of(two.out)[name], tensor, atol=1e-4, rtol=1e-3)


def test_fewer_lines_in_the_log_are_the_same_run(smoke):
    every, some = main(replace(smoke, steps=8)), replace(smoke, steps=8, log_every=3, out=smoke.out.with_name("some"))
    main(some)
    assert losses_of(some.out) == {step: losses_of(every.directory)[step] for step in (3, 6)}
    for name, tensor in weights_of(every.directory).items():
        assert torch.equal(weights_of(some.out)[name], tensor)


def test_shards_are_divided_without_overlap(smoke):
    """Unequal shares too: every process takes as many steps as the others."""
    main(replace(smoke, steps=1))
    train = smoke.corpus / "chunks" / "train"
    parts = [[c.id for b in Chunks(train, batch=1, seed=0, part=Part(r, 3)) for c in b] for r in range(3)]
    whole = [c.id for b in Chunks(train, batch=1, seed=0) for c in b]
    assert sorted(sum(parts, [])) == sorted(whole)  # noqa: RUF017
    assert len(set(whole)) == len(whole)


def test_masked_models_are_all_asked_the_same(smoke):
    main(replace(smoke, steps=1))
    corpus = read_corpus(smoke)

    def asked(**more):
        return [batch.labels for batch in corpus.held_out(replace(smoke, **more), "validation")]

    reference = asked(objective="static", mask_ratio=0.15)
    other = asked(objective="dynamic", mask_ratio=0.5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(reference, other, strict=True))
    chunks = len(reference) // train_pretrain.MASKS_OF_EVALUATION
    assert not torch.equal(reference[0], reference[chunks])  # four masks, not one four times


def test_it_learns_eight_rows_by_heart(smoke, tmp_path):
    config = replace(smoke, batch_size=8, width=64, lr=1e-2, steps=150)
    main(replace(config, steps=1))
    corpus = read_corpus(config)
    trainer = Trainer(config, train_pretrain.TransformerLM(config.size(len(corpus.vocabulary))), corpus)
    batch = next(iter(train_pretrain.batches(trainer.chunks, corpus.collator(config, seed=0))))
    for _ in range(150):
        trainer.learn(batch, None)
    summed, count = trainer.loss.eval()(batch)
    assert summed.item() / count < 0.1


def test_bfloat16_stays_close_to_float32(smoke):
    exact = main(replace(smoke, steps=6))
    rough = main(replace(smoke, steps=6, precision="bfloat16", out=smoke.out.with_name("rough")))
    one, other = losses_of(exact.directory), losses_of(rough.directory)
    assert all(other[step] == pytest.approx(loss, rel=5e-3) for step, loss in one.items())
    assert exact.bfloat16 is False and rough.bfloat16 is True


# ---------------------------------------------------------------- what a person can do wrong


def test_a_checkpoint_of_another_vocabulary_is_one_line(smoke, tmp_path, corpus_file):
    metrics = main(replace(smoke, steps=2))
    other = replace(smoke, vocabulary=310, corpus=tmp_path / "other", steps=1, out=tmp_path / "b")
    main(other)
    config = json.loads((metrics.directory / "config.json").read_text())
    config["corpus"] = str(tmp_path / "other")
    (metrics.directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="knows 300 tokens, the corpus's tokenizer has 310"):
        load(metrics.directory)


def test_an_alphabet_that_changed_under_a_run_is_refused(smoke, tmp_path):
    main(replace(smoke, steps=4, save_every=2))
    with pytest.raises(UserError, match="made with another"):
        main(replace(smoke, steps=4, save_every=2, lr=1e-3, resume=True))
    vocabulary = Vocabulary.load(smoke.corpus)
    assert len(vocabulary) == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 6, "accumulation": 4}, "does not divide into 1 processes of 4 micro-batches"),
        ({"batch_size": 100_000}, "fewer chunks than one batch"),
        ({"context": 32}, "is cut for a context of 16, not 32"),
        ({"lr": 1e30}, "training stopped"),
    ],
)
def test_what_does_not_fit_is_one_line(smoke, change, message):
    main(replace(smoke, steps=1, out=smoke.out.with_name("first")))
    with pytest.raises(UserError, match=message) as caught:
        main(replace(smoke, **change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"dropout": 1.0},
        {"steps": 0},
        {"resume": True},
        {"weight_decay": -1.0},
        {"epochs": 0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)


def test_the_command_ends_with_exit_code_2_and_one_line(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    for name, words in (("empty", "left no text"), ("binary", "not UTF-8")):
        path, corpus = tmp_path / f"{name}.txt", tmp_path / f"corpus-{name}"
        command = [sys.executable, "-m", "projects.pretrain_lm.train_pretrain", "--dataset", str(path)]
        done = subprocess.run([*command, "--corpus", str(corpus)], capture_output=True, text=True)
        assert done.returncode == 2
        assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1
