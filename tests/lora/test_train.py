"""Training from end to end on a tiny model, and every mistake that a command line can hold."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import peft.optimizers
import pytest
import torch
from safetensors.torch import load_file
from torch.optim import AdamW
from torch.testing import assert_close

from projects.lora import __main__ as default
from projects.lora import benchmark
from projects.lora.config import SMOKE, Config
from projects.lora.demo import check_saved
from projects.lora.scripts import audit, pruning_quant, train_lora
from projects.lora.scripts.train_lora import build, main, parameter_groups, read_corpus, training_step
from projects.lora.study import RUNS, SUMMARY, write_curves
from shared.assets import load_encoder
from shared.errors import UserError
from shared.fingerprint import ChainedLog, Verdict, team_key, verify
from shared.fingerprint.citations import read_best
from shared.fingerprint.log import read_records
from shared.runs import Run
from shared.study import Done, publish


@pytest.fixture
def config(questions, tmp_path):
    return Config(
        model=str(questions / "model"),
        dataset=str(questions / "questions.csv"),
        text_column="question",
        label_column="kind",
        rank=4,
        batch_size=16,
        epochs=4,
        max_length=12,
        lr=5e-3,
        device="cpu",
        out=tmp_path / "run",
    )


@pytest.mark.parametrize("arm", ["lora", "peft", "full", "head"])
def test_every_arm_learns(config, arm):
    metrics = main(replace(config, arm=arm))
    assert metrics.accuracy > 0.7  # three even classes: the majority reaches 0.36
    assert (metrics.trained == metrics.parameters) == (arm == "full")
    assert {f.verdict for f in verify(metrics.directory)} == {Verdict.UNTRUSTED_DEMO}
    assert json.loads((metrics.directory / "result.json").read_text())["accuracy"] == metrics.accuracy


def test_an_audit_repeats_the_logged_steps_and_finds_a_lie(config, monkeypatch):
    """From the seed and from a checkpoint; then the same run with one loss that training did not give."""
    monkeypatch.setattr(Run, "keep_checkpoints", lambda *_: None)
    directory = main(replace(config, epochs=2)).directory
    starts = set()
    for seed in range(6):
        result = audit.main(audit.AuditConfig(run=directory, steps=3, seed=seed))
        starts.add(result.start and result.start.name)
        assert result.compared == 9 and result.largest < 1e-5
    assert None in starts and len(starts) == 2
    records = read_records(directory / "metrics.jsonl")
    (directory / "metrics.jsonl").unlink()
    with ChainedLog(directory / "metrics.jsonl", team_key(), {"run": run_of(directory)}) as log:
        for record in records:
            log.append({**record, "loss": 0.9 * record["loss"]} if record["step"] == 2 and "loss" in record else record)
    seed = next(s for s in range(99) if random.Random(s).choice([0, 1]) == 0)
    with pytest.raises(UserError, match="line 3 says loss"):
        audit.main(audit.AuditConfig(run=directory, steps=3, seed=seed))


def run_of(directory):
    return json.loads((directory / "checkpoints").glob("*").__next__().joinpath("state.json").read_text())["run"]


def test_every_row_cites_the_lines_that_it_comes_from(config, tmp_path):
    metrics = {seed: main(replace(config, epochs=2, seed=seed, out=tmp_path / str(seed))) for seed in (0, 1)}
    done = [
        Done(str(seed), config, read_best(m.directory, team_key(), "validation_accuracy"), final=True)
        for seed, m in metrics.items()
    ]
    out = tmp_path / "projects" / "lora" / "results"
    publish(RUNS, [[each] for each in done], out, "lora")
    write_curves(done, out)
    (summary,) = publish(SUMMARY, [done], out, "lora")
    assert summary["accuracy"] == pytest.approx((metrics[0].accuracy + metrics[1].accuracy) / 2)
    assert [f.verdict for f in verify(out, recompute=True)] == [Verdict.UNTRUSTED_DEMO] * 3
    edited = (out / "summary.csv").read_text().replace(str(summary["accuracy"]), "0.99")
    (out / "summary.csv").write_text(edited)
    assert "row 1, column accuracy differs" in verify(out)[2].detail


def test_ours_and_pefts_train_as_many_parameters(config, tmp_path):
    ours, theirs = (main(replace(config, arm=arm, epochs=1, out=tmp_path / arm)) for arm in ("lora", "peft"))
    assert ours.trained == theirs.trained


def test_saved_verified_reloaded_merged_and_the_answers_are_the_same(config, capsys):
    metrics = main(config)
    check_saved(metrics.directory, config)
    assert "answers the same" in capsys.readouterr().out
    adapter = metrics.directory / "adapter" / "adapter.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match=r"adapter\.safetensors: TAMPERED"):
        check_saved(metrics.directory, config)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_killed_run_resumes_to_the_same_weights(config, tmp_path, monkeypatch, accumulation):
    config = replace(config, accumulation=accumulation)
    straight = main(config)
    resumed = replace(config, out=tmp_path / "resumed")
    steps = 0

    def die_in_the_third_epoch(*args):
        nonlocal steps
        steps += 1
        if steps == straight.steps * 3 // 4 - 2:
            raise KeyboardInterrupt
        return training_step(*args)

    monkeypatch.setattr(train_lora, "training_step", die_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        main(resumed)
    assert Verdict.INCOMPLETE in {f.verdict for f in verify(resumed.out)}
    monkeypatch.undo()
    again = main(replace(resumed, resume=True))
    assert (again.accuracy, again.steps) == (straight.accuracy, straight.steps)
    mine, theirs = (load_file(run / "adapter" / "adapter.safetensors") for run in (again.directory, straight.directory))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("arm", ["lora", "peft", "full", "head"])
def test_every_arm_resumes_when_it_was_stopped_before_the_test(config, tmp_path, monkeypatch, arm):
    config = replace(config, arm=arm, epochs=2)
    straight, resumed = main(config), replace(config, out=tmp_path / "resumed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_lora.optim, "count_parameters", interrupt)
        main(resumed)
    again = main(replace(resumed, resume=True))
    assert again == replace(straight, directory=resumed.out, seconds=again.seconds)
    assert {f.verdict for f in verify(resumed.out)} == {Verdict.UNTRUSTED_DEMO}


def test_the_frozen_base_does_not_move(config):
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    kept = {name: p.clone() for name, p in encoder.state_dict().items() if not name.startswith("pooler.")}
    corpus = read_corpus(config, tokenizer)
    model = build(config, encoder, len(corpus.classes)).train()
    optimizer = AdamW(parameter_groups(config, model))
    for batch in corpus.train.shuffled_batches(16, seed=0, epoch=0):
        training_step(config, model, optimizer, batch)
    now = {name.replace(".base.", "."): p for name, p in model.encoder.state_dict().items()}
    assert all(torch.equal(now[name], p) for name, p in kept.items())
    assert not torch.equal(model.head.weight, build(config, encoder_again(config), 3).head.weight)


def encoder_again(config):
    return load_encoder(config.model, max_length=config.max_length)[0]


def test_accumulation_gives_the_gradient_of_the_whole_batch(config):
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    model = build(config, encoder, 3).eval()  # without dropout, which would draw another mask for each part
    batch = next(corpus.train.shuffled_batches(16, seed=0, epoch=0))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    results = []
    for parts in (1, 3, 16):
        model.load_state_dict(start)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        results.append(
            (training_step(replace(config, accumulation=parts), model, optimizer, batch), model.head.weight.clone())
        )
    for (loss, norm), weight in results[1:]:
        assert_close([loss, norm], list(results[0][0]), rtol=1e-4, atol=1e-6)
        assert_close(weight, results[0][1], rtol=1e-4, atol=1e-6)


def test_the_groups_are_those_of_lora_plus(config):
    """Oracle: PEFT's create_loraplus_optimizer puts the same matrices at the higher rate."""
    config = replace(config, arm="peft", lr=1e-3, lr_ratio=16.0)
    model = build(config, encoder_again(config), 3)
    groups = parameter_groups(config, model)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    theirs = peft.optimizers.create_loraplus_optimizer(
        peft.PeftModel(encoder_again(config), peft.LoraConfig(r=4, target_modules=list(config.targets))),
        AdamW,
        lr=1e-3,
        loraplus_lr_ratio=16.0,
    )
    fast = [p.shape for group in theirs.param_groups if group["lr"] == pytest.approx(16e-3) for p in group["params"]]
    mine = [p.shape for group in groups if group["lr"] == pytest.approx(16e-3) for p in group["params"]]
    assert sorted(mine) == sorted(fast) and len(mine) == 12
    assert next(g["lr"] for g in groups if g["name"] == "head") == config.head_lr


def test_early_stopping_keeps_the_best_epoch():
    progress = train_lora.Progress().after(0.5, 10).after(0.8, 20).after(0.7, 30).after(0.8, 40)
    assert progress == train_lora.Progress(epoch=4, best=0.8, best_step=20, stale=2)


def test_the_real_command_with_the_smoke_configuration(tmp_path):
    """MiniLM, TREC, a hundred steps fewer: the command a person types, in a process of its own."""
    words = [
        "--limit",
        str(SMOKE.limit),
        "--epochs",
        "1",
        "--rank",
        "2",
        "--max_length",
        "16",
        "--out",
        str(tmp_path / "r"),
    ]
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout and "Warning" not in done.stderr
    assert {f.verdict for f in verify(tmp_path / "r")} == {Verdict.UNTRUSTED_DEMO}


def run_command(*words):
    command = [sys.executable, "-m", "projects.lora.scripts.train_lora", *words]
    quiet = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave the cores to others
    return subprocess.run(command, capture_output=True, text=True, env=quiet)


def bad_files(questions):
    (questions / "one_class.csv").write_text("text,label\n" + "".join(f"question {n},only\n" for n in range(30)))
    (questions / "other_columns.csv").write_text("a,b\n1,2\n")
    (questions / "occupied").mkdir()
    (questions / "occupied" / "file").touch()


BAD_INPUT = [
    (["--rank", "0"], "--rank 0: must be at least 1"),
    (["--rank", "385"], "rank 385 does not fit a 384→384 layer: use 1 to 384"),
    (["--targets", "querry"], "target 'querry' names no linear layer of the model; near it: query"),
    (["--dataset", "trek"], "did you mean trec?"),
    (["--dataset", "{}/none.csv"], "no such file"),
    (["--dataset", "{}/other_columns.csv"], "no column 'text'; its columns are a, b"),
    (["--dataset", "{}/one_class.csv"], "the label column holds only 'only'"),
    (["--model", "nomodel"], "--model nomodel: neither embedded"),
    (["--out", "{}/occupied"], "is in use and is not overwritten"),
    (["--out", "/proc/nothing/run"], "cannot write"),
    (["--lr", "-1"], "--lr -1.0: must be a positive number"),
    (["--resume"], "--resume needs --out"),
    (["--out", "{}/none", "--resume"], "is not there"),
    (["--device", "cuda:9"], "--device cuda:9"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_ends_in_one_line_and_writes_nothing(words, message, tmp_path, monkeypatch, capsys):
    from shared.errors import command

    bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        command(main, Config, ["--limit", "64", *(word.format(tmp_path) for word in words)])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("error: ") and message in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_in_a_process_of_its_own():
    done = run_command("--rank", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --rank 0: must be at least 1\n"


# ---------------------------------------------------------------- refused before work begins


def must_not_run(*_, **__):
    raise AssertionError("work began")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: {"out": occupied(config)}, "is in use and is not overwritten: choose another --out"),
        (lambda config: {"out": occupied(config) / "file" / "run"}, "cannot write"),
        (lambda config: {"rank": 64}, "rank 64 does not fit"),
        (lambda config: {"targets": ("querry",)}, "names no linear layer"),
        (lambda config: {"out": occupied(config), "resume": True}, "is not there"),
    ],
)
def test_the_default_run_refuses_before_it_trains_its_baseline(config, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_lora, "probe", must_not_run)
    monkeypatch.setattr(train_lora, "train", must_not_run)
    config = replace(config, **change(config))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        default.main(config)
    assert sorted(tmp_path.rglob("*")) == before


def occupied(config):
    folder = config.out.with_name("occupied")
    folder.mkdir(exist_ok=True)
    (folder / "file").touch()
    return folder


def test_measurements_refuse_what_they_could_not_write_before_they_measure(config, tmp_path, monkeypatch):
    below_a_file = occupied(config) / "file" / "results"
    monkeypatch.setattr(benchmark, "spawned", must_not_run)
    monkeypatch.setattr(pruning_quant, "load_trained", must_not_run)
    for begin in (
        lambda: benchmark.main(benchmark.BenchConfig(**{**vars(config), "out": below_a_file})),
        lambda: pruning_quant.main(pruning_quant.PruneConfig(run=tmp_path, out=below_a_file)),
    ):
        with pytest.raises(UserError, match="cannot write"):
            begin()
    with pytest.raises(UserError, match="rank 64 does not fit"):
        benchmark.main(benchmark.BenchConfig(**{**vars(config), "rank": 64, "out": tmp_path / "new"}))
    with pytest.raises(UserError, match="--rounds 1: must be at least 2"):
        benchmark.BenchConfig(rounds=1)
