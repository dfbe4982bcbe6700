"""The training loop: what it logs is true; accumulation, interruption and processes do not change what is learned."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from projects.pretrain_lm import train_pretrain
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.shards import ALONE, EpochChunks
from projects.pretrain_lm.data.tokenizer import CorpusTokenizer
from projects.pretrain_lm.distributed import Loss, Process
from projects.pretrain_lm.evaluate import evaluate
from projects.pretrain_lm.train_pretrain import (
    load_run,
    main,
    new_state,
    prepare_corpus,
    read_corpus,
    report,
    train_step,
)
from shared.errors import UserError, command
from shared.fingerprint import verify
from shared.run_directories import latest_checkpoint
from shared.seeding import seed_everything
from shared.tensors import load_tensors


def log_of(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def losses_of(directory):
    return {r["step"]: r["loss"] for r in log_of(directory) if "loss" in r}


def weights_of(directory):
    return load_tensors(latest_checkpoint(directory) / "model.safetensors")


def fresh_state(config):
    corpus = read_corpus(config)
    seed_everything(config.seed)
    return new_state(config, corpus, ALONE), corpus


def first_losses(config, steps):
    """What the first steps of a run log, without a run around them."""
    state, corpus = fresh_state(config)
    batches = corpus.training_batches(config, ALONE, epoch=0)
    return [train_step(config, state, next(batches), ALONE)["loss"] for _ in range(steps)]


def test_train_save_verify_reload(trained, prepared, capsys):
    report(trained)
    assert "bits per byte" in capsys.readouterr().out
    assert all(finding.verdict.unchanged for finding in verify(trained.directory))
    config, model, tokenizer = load_run(trained.directory)
    again = evaluate(Loss(model), read_corpus(prepared).held_out(prepared, "test"))
    assert again.loss == pytest.approx(trained.test.loss, rel=1e-6)
    assert config.seed == prepared.seed and len(tokenizer) == model.config.vocab_size


def test_what_is_logged_each_epoch(trained, prepared):
    records = log_of(trained.directory)
    losses = losses_of(trained.directory)
    assert list(losses) == list(range(1, trained.steps + 1))
    assert losses[1] == pytest.approx(math.log(300), abs=0.1)  # an untrained model knows nothing
    assert losses[trained.steps] < losses[1] - 0.5
    ends = [r for r in records if "epoch" in r and "validation_loss" in r]
    assert [r["epoch"] for r in ends] == [1, 2]
    for record in ends:
        assert record["validation_perplexity"] == pytest.approx(math.exp(record["validation_loss"]))
        assert 0 < record["distinct_1"] <= record["distinct_2"] <= 1
    assert ends[-1]["validation_loss"] == trained.validation.loss
    (last,) = (r for r in records if "test_loss" in r)
    bits = last["test_loss"] * trained.test.labels / math.log(2)
    texts = read_corpus(prepared).report["splits"]["test"]
    assert last["test_bits_per_byte"] == pytest.approx(bits / texts["bytes"])


def test_perplexity_is_over_all_tokens_and_no_mean_of_batches(trained):
    """Against a loop over single chunks; each token of a document but the first is predicted once."""
    config, model, _ = load_run(trained.directory)
    corpus, total, count = read_corpus(config), 0.0, 0
    for (chunk,) in EpochChunks(corpus.folder / "chunks" / "test", batch_size=1):
        with torch.no_grad():
            logits = model(torch.tensor([chunk.ids[:-1]]))[0]
        total += F.cross_entropy(logits, torch.tensor(chunk.ids[1:]), reduction="sum").item()
        count += len(chunk.ids) - 1
    assert trained.test.labels == count
    assert trained.test.perplexity == pytest.approx(math.exp(total / count), rel=1e-5)


@pytest.mark.parametrize("objective", ["causal", "dynamic"])
def test_accumulation_changes_nothing(prepared, objective):
    """Though micro-batches hold different numbers of labels."""
    whole = replace(prepared, objective=objective, steps=8)
    one, other = first_losses(whole, 8), first_losses(replace(whole, accumulation=4), 8)
    assert other == pytest.approx(one, abs=2e-5)


class Killed(BaseException):
    """Stands for a signal."""


@pytest.fixture(scope="module")
def whole_runs(trained, prepared, tmp_path_factory):
    """Objective → the metrics of an uninterrupted run with dropout."""
    static = replace(prepared, objective="static", dropout=0.1)
    return {"causal": trained, "static": main(replace(static, out=tmp_path_factory.mktemp("whole") / "run"))}


@pytest.mark.parametrize(("objective", "at"), [("causal", 9), ("causal", 14), ("causal", 40), ("static", 20)])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(smoke, whole_runs, monkeypatch, objective, at):
    """Killed between two checkpoints, behind one, and in the second epoch; masks are drawn as before."""
    whole = whole_runs[objective]
    config = replace(smoke, objective=objective, dropout=0.1)

    def until(config, state, batch, process):
        if state.step == at:
            raise Killed
        return train_step(config, state, batch, process)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(train_pretrain, "train_step", until)
        main(config)
    resumed = main(replace(config, resume=True))
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
    """The loss curve at the same global batch, and the weights."""
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


def test_shards_are_divided_without_overlap(prepared):
    """Unequal shares too: every process takes as many steps as the others."""
    train = prepared.corpus / "chunks" / "train"
    parts = [EpochChunks(train, batch_size=1, seed=0, process=Process(rank, 3)) for rank in range(3)]
    parts = [[c.id for batch in part for c in batch] for part in parts]
    whole = [c.id for batch in EpochChunks(train, batch_size=1, seed=0) for c in batch]
    assert sorted(sum(parts, [])) == sorted(whole)  # noqa: RUF017
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_epoch_has_an_order_and_masks_of_its_own(prepared, epoch):
    config = replace(prepared, objective="dynamic")
    corpus = read_corpus(config)
    chunks = list(EpochChunks(corpus.folder / "chunks" / "train", batch_size=64, seed=0, epoch=epoch))
    found = list(corpus.training_batches(config, ALONE, epoch))
    masks = {number: [corpus.collator(config, seed=0, epoch=number)(some) for some in chunks] for number in (0, 1)}
    assert len(found) == len(chunks)
    assert all(torch.equal(one.labels, other.labels) for one, other in zip(found, masks[epoch], strict=True))
    assert not any(torch.equal(one.labels, other.labels) for one, other in zip(found, masks[1 - epoch], strict=True))


def test_masked_models_are_all_asked_the_same(prepared):
    corpus = read_corpus(prepared)

    def asked(**more):
        return [batch.labels for batch in corpus.held_out(replace(prepared, **more), "validation")]

    reference = asked(objective="static", mask_ratio=0.15)
    other = asked(objective="dynamic", mask_ratio=0.5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(reference, other, strict=True))
    chunks = len(reference) // train_pretrain.EVALUATION_MASKS
    assert not torch.equal(reference[0], reference[chunks])  # four masks, not one four times


def test_it_learns_eight_rows_by_heart(prepared):
    config = replace(prepared, batch_size=8, width=64, lr=1e-2, steps=150)
    state, corpus = fresh_state(config)
    batch = next(corpus.training_batches(config, ALONE, epoch=0))
    for _ in range(150):
        train_step(config, state, batch, ALONE)
    summed, count = state.loss.eval()(batch)
    assert summed.item() / count < 0.1


def test_bfloat16_stays_close_to_float32(smoke):
    rough = main(replace(smoke, steps=6, precision="bfloat16"))
    exact = replace(smoke, steps=6)
    assert list(losses_of(rough.directory).values()) == pytest.approx(first_losses(exact, 6), rel=5e-3)
    assert exact.bfloat16 is False and rough.bfloat16 is True


# ---------------------------------------------------------------- what a person can do wrong


def test_a_checkpoint_of_another_vocabulary_is_one_line(prepared, trained, tmp_path):
    other = replace(prepared, vocabulary=310, corpus=tmp_path / "other")
    prepare_corpus(other)
    run = shutil.copytree(trained.directory, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "corpus": str(other.corpus)}))
    with pytest.raises(UserError, match="knows 300 tokens, the corpus's tokenizer has 310"):
        load_run(run)


def test_weights_of_another_version_of_the_model_are_one_line(prepared, trained):
    state, _ = fresh_state(prepared)
    saved = weights_of(trained.directory)
    saved["tokens.weight"] = saved.pop("token_embedding.weight")
    with pytest.raises(UserError, match=r"holds no token_embedding\.weight: another version of the model saved it"):
        train_pretrain.load_weights(state.model, saved, trained.directory)


def test_a_configuration_that_changed_under_a_run_is_refused(prepared, trained, tmp_path):
    run = shutil.copytree(trained.directory, tmp_path / "run")
    with pytest.raises(UserError, match="made with another lr"):
        main(replace(prepared, dropout=0.1, lr=1e-3, out=run, resume=True))
    assert len(CorpusTokenizer.load(prepared.corpus)) == 300


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


def test_the_command_ends_with_exit_code_2_and_one_line(tmp_path, capsys):
    """As a process of its own, and once more by the function that every command is run by."""
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))

    def words(name):
        return ["--dataset", str(tmp_path / f"{name}.txt"), "--corpus", str(tmp_path / f"corpus-{name}")]

    module = [sys.executable, "-m", "projects.pretrain_lm.train_pretrain"]
    done = subprocess.run([*module, *words("empty")], capture_output=True, text=True)
    with pytest.raises(SystemExit) as left:
        command(main, Config, words("binary"))
    shown = capsys.readouterr().err
    for code, said, expected in ((done.returncode, done.stderr, "left no text"), (left.value.code, shown, "not UTF-8")):
        assert code == 2
        assert expected in said and len(said.strip().splitlines()) == 1
