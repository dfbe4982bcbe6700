"""Running out of memory, being killed, resuming: what is lost, what goes on, and what is refused."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from projects.hf_finetune.training import train as training
from projects.hf_finetune.training.callbacks import FAULT, EarlyStopping, InjectedFault
from projects.hf_finetune.training.supervisor import (
    OUT_OF_MEMORY,
    Attempt,
    is_out_of_memory,
    read_attempt,
    run_child,
    spawn,
    supervise,
    wait_or_kill,
)
from projects.hf_finetune.training.train import fit, progress_of
from shared.errors import UserError
from shared.fingerprint import Verdict, verify
from shared.fingerprint.log import read_records
from shared.run_directories import latest_checkpoint
from shared.seeding import seed_everything
from tests.hf_finetune.in_process import (
    FORKING,
    STEPS,
    Killed,
    attempt,
    by_step,
    equal_bits,
    in_process,
    untimed,
    weights,
)

# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(("kind", "save_every"), [("runtime", 0), ("memory", 2), ("kill", 0), ("kill", 2)])
def test_out_of_memory_in_an_epoch(config, monkeypatch, capsys, seen, kill_in_process, kind, save_every):
    """Step 8 is the second of the third epoch. Nothing is lost but the step since the checkpoint, nothing skipped."""
    config = replace(config, save_every=save_every, awp=0.01, mixout=0.2)
    monkeypatch.setenv(FAULT, f"{kind}@8@8")
    supervise(config, in_process)
    metrics = training.read_metrics(config.out)
    assert (metrics.steps, metrics.micro_batch) == (STEPS, 8)
    assert "out of memory with 16 sentences at a time" in capsys.readouterr().err
    taken = [step for step, _ in seen]  # counted from 0; one pass of a step is 16 sentences, or the last 8 of an epoch
    assert [step for step in range(STEPS) if taken.count(step) > 16] == [
        6
    ]  # taken again: the step since the checkpoint
    records = read_records(config.out / "metrics.jsonl")
    assert [r["step"] for r in records if "loss" in r] == list(range(1, STEPS + 1))
    assert {f.verdict for f in verify(config.out)} == {Verdict.UNTRUSTED_DEMO}


def test_each_epoch_holds_every_sentence_once_though_the_batch_shrank(config, monkeypatch, seen):
    """The resumed Trainer skips by batches: with another batch size that must come to the same sentences."""
    supervise(replace(config, out=config.out.with_name("straight")), in_process)
    straight = by_step(seen)
    seen.clear()
    monkeypatch.setenv(FAULT, "runtime@9@4")  # 16, then 8, then 4
    supervise(replace(config, save_every=2), in_process)
    assert training.read_metrics(config.out).micro_batch == 4
    last_pass = {}
    for step, sentences in by_step(seen).items():
        count = len(straight[step])
        assert len(sentences) % count == 0  # whole passes over the step
        last_pass[step] = sentences[-count:]
    assert last_pass == straight
    sizes = [len(sentences) for _, sentences in sorted(straight.items())]
    assert sizes == [16, 16, 8] * 4
    for epoch in range(4):
        ids = [s for step in range(3 * epoch, 3 * epoch + 3) for s in straight[step]]
        assert len(ids) == len(set(ids)) == 40


def test_early_stopping_goes_on_counting(config, monkeypatch):
    """A score that never grows after the first epoch: patience 3 is over after the fourth, fault or no fault."""
    monkeypatch.setattr(EarlyStopping, "on_evaluate", constant_score(EarlyStopping.on_evaluate))
    config = replace(config, epochs=8, patience=3)
    straight = fit(attempt(replace(config, out=config.out.with_name("straight"))))
    monkeypatch.setenv(FAULT, "runtime@8@8")
    supervise(config, in_process)
    broken = training.read_metrics(config.out)
    assert straight.steps == broken.steps == 12
    assert progress_of(latest_checkpoint(config.out))["patience_counter"] == 3


def constant_score(original):
    def on_evaluate(self, args, state, control, metrics, **rest):
        return original(self, args, state, control, metrics={**metrics, "eval_macro_f1": 0.5}, **rest)

    return on_evaluate


def test_the_optimizer_the_schedule_and_mixouts_targets_survive(config, monkeypatch):
    """Rates go on where they were, Adam's moments too: its step counter reads 12 at the end, not 6."""
    monkeypatch.setenv(FAULT, "runtime@8@8")
    config = replace(config, mixout=0.5)
    supervise(config, in_process)
    records = read_records(config.out / "metrics.jsonl")
    rates = [r["lr"] for r in records if "lr" in r]
    assert len(rates) == STEPS and rates[3:] == sorted(rates[3:], reverse=True)
    kept = latest_checkpoint(config.out)
    moments = torch.load(kept / "optimizer.pt", weights_only=True)["state"]
    assert {int(entry["step"]) for entry in moments.values()} == {STEPS}
    targets = load_file(kept / "mixout_targets.safetensors")
    pretrained = load_file(f"{config.model}/model.safetensors")
    assert all(torch.equal(target, pretrained[name]) for name, target in targets.items())


def test_at_one_sentence_it_stops_with_a_clear_error(config, monkeypatch, capsys):
    monkeypatch.setenv(FAULT, "runtime@5@0")
    with pytest.raises(UserError, match=r"out of memory with one sentence at a time: lower --max_length \(16\)"):
        supervise(config, in_process)
    said = capsys.readouterr().err
    assert [f"with {n} sentences at a time" in said for n in (16, 8, 4, 2)] == [True] * 4
    assert latest_checkpoint(config.out).name == "step-000003"


def test_before_the_first_checkpoint_it_starts_afresh(config, monkeypatch):
    monkeypatch.setenv(FAULT, "memory@2@8")
    supervise(config, in_process)
    assert training.read_metrics(config.out).steps == STEPS


def test_another_error_is_not_taken_for_memory(config):
    codes = iter([3])
    with pytest.raises(SystemExit) as ended:
        supervise(config, lambda _: next(codes))
    assert ended.value.code == 3
    shapes, memory = (RuntimeError(text) for text in ("mat1 and mat2 shapes cannot be multiplied", "bad_alloc"))
    with pytest.raises(RuntimeError, match="mat1"):
        run_child(attempt(config), raising(shapes))
    assert run_child(attempt(config), raising(memory)) == OUT_OF_MEMORY
    assert not is_out_of_memory(shapes)
    assert not is_out_of_memory(OSError(2, "No such file"))
    assert is_out_of_memory(OSError(12, "Cannot allocate memory"))


def raising(error):
    def work(_):
        raise error

    return work


def test_a_real_allocation_that_fails_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("words", ["rlimit@8@8", "kill@8@8"])
def test_a_real_process_that_runs_out_of_memory(config, monkeypatch, capfd, words):
    """Its address space is really limited in the middle of an epoch, or the kernel's SIGKILL really arrives."""
    monkeypatch.setattr("projects.hf_finetune.training.supervisor.subprocess", FORKING)
    monkeypatch.setenv(FAULT, words)
    supervise(config, spawn)
    metrics = training.read_metrics(config.out)
    assert (metrics.steps, metrics.micro_batch) == (STEPS, 8)
    assert capfd.readouterr().err.count("out of memory with 16 sentences") == 1
    assert {f.verdict for f in verify(config.out)} == {Verdict.UNTRUSTED_DEMO}


def test_a_process_that_sleeps_for_ever_is_killed_and_one_that_works_is_not():
    def run(code):
        return subprocess.Popen([sys.executable, "-c", code])

    assert wait_or_kill(run("import time; time.sleep(600)"), patience=0.5) == -signal.SIGKILL
    busy = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    assert wait_or_kill(run(busy), patience=0.5) == 0


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize(
    ("when", "save_every", "awp", "mixout", "accumulation"),
    [(7, 0, 0.0, 0.0, 1), (9, 2, 0.0, 0.5, 4), (6, 2, 0.01, 0.3, 2), (12, 0, 0.0, 0.0, 1)],
)
def test_a_killed_run_resumes_to_the_same_bits(
    config, straight, monkeypatch, kill_in_process, when, save_every, awp, mixout, accumulation
):
    plain = config
    config = replace(config, save_every=save_every, awp=awp, mixout=mixout, accumulation=accumulation)
    if config != plain:
        straight = fit(attempt(replace(config, out=config.out.with_name("straight"))))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setenv(FAULT, f"kill@{when}@0")
        fit(attempt(config))
    seed_everything(99)
    resumed = fit(attempt(config, resume=True))
    assert equal_bits(weights(straight.directory), weights(resumed.directory))
    assert untimed(straight.directory) == untimed(resumed.directory)


def test_kill_9_of_the_command_ends_its_child_and_the_run_resumes_to_the_same_bits(config, tmp_path):
    """The command that a person types, killed in the second epoch; the process it watched must be gone too."""
    config = replace(config, epochs=10, patience=10)
    words = [sys.executable, "-m", "projects.hf_finetune.training.train"]
    for name in (
        "model",
        "dataset",
        "text_column",
        "label_column",
        "limit",
        "epochs",
        "patience",
        "max_length",
        "lr",
        "device",
    ):
        words += [f"--{name}", str(getattr(config, name))]
    words += ["--out", str(config.out)]
    parent = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while latest_checkpoint(config.out) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    (trainer,) = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while alive(trainer) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(trainer)
    assert Verdict.INCOMPLETE in {f.verdict for f in verify(config.out)}
    resumed = fit(attempt(config, resume=True))
    straight = fit(attempt(replace(config, out=tmp_path / "straight")))
    assert equal_bits(weights(straight.directory), weights(resumed.directory))


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_half_written_checkpoint_is_passed_over(killed):
    config = killed
    whole = latest_checkpoint(config.out)
    half = config.out / "checkpoints" / ".trainer.tmp" / "checkpoint-9"
    shutil.copytree(whole, half)
    (half / "manifest.json").unlink()
    (half / "model.safetensors").write_bytes(b"half")
    assert latest_checkpoint(config.out) == whole
    assert {f.verdict for f in verify(config.out)} == {Verdict.INCOMPLETE, Verdict.UNTRUSTED_DEMO}
    assert fit(attempt(config, resume=True)).steps == STEPS
    assert not half.parent.exists()
    assert {f.verdict for f in verify(config.out)} == {Verdict.UNTRUSTED_DEMO}


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", "model.safetensors", "trainer_state.json"])
def test_a_changed_checkpoint_is_refused_before_it_is_opened(killed, monkeypatch, name):
    path = latest_checkpoint(killed.out) / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("an unverified file was opened"))
    with pytest.raises(UserError, match=rf"{name}: TAMPERED"):
        fit(attempt(killed, resume=True))


def test_a_run_that_shrank_its_micro_batches_goes_on_with_the_small_ones(config, monkeypatch, kill_in_process):
    monkeypatch.setenv(FAULT, "memory@5@8")
    config = replace(config, epochs=6)
    supervise(
        replace(config), lambda given: in_process(given) if given.accumulation == 1 else stop_later(given, monkeypatch)
    )
    monkeypatch.delenv(FAULT)
    attempts = []
    supervise(replace(config, resume=True), lambda given: attempts.append(given) or in_process(given))
    assert [each.accumulation for each in attempts] == [2]
    assert training.read_metrics(config.out).micro_batch == 8


def stop_later(given, monkeypatch):
    monkeypatch.setenv(FAULT, "kill@11@0")
    assert in_process(given) == -signal.SIGKILL
    return 0


def test_what_the_child_is_told_is_what_was_asked(config, tmp_path, monkeypatch):
    orders = []

    class Recorded(subprocess.Popen):
        stdin = None
        __del__ = object.__init__

        def __init__(self, words, stdin):
            orders.append(read_attempt(type(tmp_path)(words[-1])))

        def wait(self, timeout=None):
            return 0

        def kill(self):
            pass

    monkeypatch.setattr("projects.hf_finetune.training.supervisor.subprocess.Popen", Recorded)
    given = Attempt(replace(config, awp=0.01, resume=True), 4, True, own_process=True)
    assert spawn(given) == 0
    assert orders == [given] and not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------- what is not resumed, and the injector


def test_resuming_with_another_model_or_configuration_is_refused(killed):
    config = killed
    with pytest.raises(UserError, match="made with another lr"):
        fit(attempt(replace(config, lr=1e-3), resume=True))
    other = config.out.with_name("other-model")
    shutil.copytree(config.model, other)
    with pytest.raises(UserError, match="made with another model"):
        fit(attempt(replace(config, model=str(other)), resume=True))


def test_a_checkpoint_of_another_run_is_refused(killed, monkeypatch, kill_in_process):
    """The same model and settings under another seed: its checkpoint in the place of ours."""
    other = killed.out.with_name("other")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setenv(FAULT, "kill@8@0")
        fit(attempt(replace(killed, seed=1, out=other)))
    place = latest_checkpoint(killed.out)
    shutil.rmtree(place)
    shutil.copytree(latest_checkpoint(other), place)
    with pytest.raises(UserError, match="was saved with another"):
        fit(attempt(killed, resume=True))


def test_a_fault_dies_where_it_is_told(tmp_path):
    around = TrainingArguments(output_dir=str(tmp_path)), TrainerState(), TrainerControl()
    fault = InjectedFault("runtime@12@8", 16)
    around[1].global_step = 10
    fault.on_step_begin(*around)
    around[1].global_step = 11
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        fault.on_step_begin(*around)
    InjectedFault("runtime@12@8", 8).on_step_begin(*around)  # small enough: it lives on
