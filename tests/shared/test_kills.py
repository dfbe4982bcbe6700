"""A run that is killed at any moment is INCOMPLETE, can be gone on with, and is then as one that was never stopped."""

import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from shared import optim
from shared.errors import UserError
from shared.files import atomic_directory, is_temporary, write_json
from shared.fingerprint import Verdict, team_key, verify
from shared.fingerprint.citations import read_source
from shared.run_directories import claim, discard, latest_checkpoint
from shared.runs import Run
from shared.tensors import trainable_state

STEPS = 6
PROJECT = "killed"


@dataclass(frozen=True)
class Config:
    width: int = 4
    out: Path | None = None


def train(directory, *, resume, pause=0.0):
    """A small training as the projects have it: a checkpoint every second step, two are kept, a sealed result."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    with Run(directory, project=PROJECT, config=Config(), resume=resume) as run:
        if resume:
            run.restore(model.load_state_dict, optimizer)
        for step in range(run.step + 1, STEPS + 1):
            optim.step(optimizer, (model(torch.randn(8, 4)) - 1).square().mean())
            run.log(step, size=model.weight.norm().item())
            time.sleep(pause)
            if step % 2 == 0:
                run.save(step, trainable_state(model), optimizer=optimizer)
                run.keep_checkpoints(2, step)
        with run.sealed("adapter", STEPS) as folder:
            write_json(folder / "weights.json", model.weight.tolist())
    write_json(directory / "result.json", {"steps": STEPS})


def in_a_child(work):
    """Run `work` in a fork of this process; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def killed_at_event(directory, resume, number):
    """Train in a child that kills itself before the n-th change of a file. Returns whether it was killed."""

    def work():
        seen = iter(range(number))

        def count(event, arguments):
            touches = event == "open" and str(directory) in str(arguments[0])
            changes = touches or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
            if changes and next(seen, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        train(directory, resume=resume)

    return os.WIFSIGNALED(os.waitpid(in_a_child(work), 0)[1])


def killed_after(directory, resume, seconds):
    """Train in a child that is killed from outside. Returns whether it was still running."""
    pid = in_a_child(lambda: train(directory, resume=resume, pause=0.005))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def check_after_a_kill(directory):
    """Returns whether there is a checkpoint to go on from."""
    if not directory.exists() or not any(directory.iterdir()):
        return False
    found = verify(directory)
    assert {f.verdict for f in found} <= {Verdict.INCOMPLETE, Verdict.UNTRUSTED_DEMO}, found
    unfinished = not (directory / "result.json").exists()
    assert not unfinished or (directory / "adapter").exists() or any(f.verdict is Verdict.INCOMPLETE for f in found)
    return latest_checkpoint(directory) is not None


def go_on(directory, resume):
    """What a person does after a kill."""
    if not resume and directory.exists() and any(directory.iterdir()):
        with pytest.raises(UserError, match=r"is in use|holds no checkpoint"):
            claim(directory, resume=(directory / "config.json").exists())
        discard(directory, PROJECT)
    train(directory, resume=resume)


def test_every_file_that_a_run_touches_may_be_its_last(tmp_path):
    """Killed before each of the first changes of a file, then each sixth, and once more while it goes on."""
    train(tmp_path / "straight", resume=False)
    weights = (tmp_path / "straight/adapter/weights.json").read_bytes()
    for number in (*range(9), *range(12, 1000, 6)):
        directory = tmp_path / f"run{number}"
        killed = killed_at_event(directory, False, number)
        resume = check_after_a_kill(directory)
        if resume:
            killed_at_event(directory, True, number % 40)
            resume = check_after_a_kill(directory)
        go_on(directory, resume)
        assert {f.verdict for f in verify(directory)} == {Verdict.UNTRUSTED_DEMO}
        assert (directory / "adapter/weights.json").read_bytes() == weights
        assert not any(map(is_temporary, directory.rglob("*")))
        if not killed:
            return
    raise AssertionError("the run touches files without end")


def test_a_run_killed_at_a_random_moment(tmp_path):
    draw = random.Random(0)
    for number in range(int(os.environ.get("KILLS", "12"))):
        directory = tmp_path / f"run{number}"
        killed_after(directory, False, draw.uniform(0, 0.25))
        resume = check_after_a_kill(directory)
        go_on(directory, resume)
        assert {f.verdict for f in verify(directory)} == {Verdict.UNTRUSTED_DEMO}


def test_a_live_run_is_incomplete_and_no_more(tmp_path):
    """Verified over and over while a child writes it, ends it and goes on with it."""
    directory = tmp_path / "run"
    pid = in_a_child(lambda: (train(directory, resume=False, pause=0.02), train(directory, resume=True)))
    seen = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if (directory / "metrics.jsonl").exists():
            seen |= {finding.verdict for finding in verify(directory)}
    assert Verdict.INCOMPLETE in seen
    assert seen <= {Verdict.INCOMPLETE, Verdict.UNTRUSTED_DEMO}


def test_a_second_process_is_refused_while_the_first_writes(tmp_path):
    train(tmp_path / "run", resume=False)
    with Run(tmp_path / "run", project=PROJECT, config=Config(), resume=True):
        before = (tmp_path / "run/metrics.jsonl").read_bytes()
        with pytest.raises(UserError, match="is being written by another process"):
            Run(tmp_path / "run", project=PROJECT, config=Config(), resume=True)
        assert (tmp_path / "run/metrics.jsonl").read_bytes() == before
    train(tmp_path / "run", resume=True)


def test_discard_removes_nothing_but_a_run_without_a_checkpoint(tmp_path):
    train(tmp_path / "whole", resume=False)
    with pytest.raises(UserError, match="not removed"):
        discard(tmp_path / "whole", PROJECT)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not removed"):
        discard(mine, PROJECT)
    killed_at_event(tmp_path / "begun", False, 20)
    (tmp_path / "begun" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt was not written by the run"):
        discard(tmp_path / "begun", PROJECT)
    (tmp_path / "begun" / "notes.txt").unlink()
    with pytest.raises(UserError, match="not removed"):
        discard(tmp_path / "begun", "another")
    (tmp_path / "link").symlink_to(tmp_path / "begun")
    with pytest.raises(UserError, match="is a link and is not removed"):
        discard(tmp_path / "link", PROJECT)
    discard(tmp_path / "begun", PROJECT)
    assert not (tmp_path / "begun").exists() and (mine / "config.json").read_text() == "{}"


def test_what_cannot_be_claimed_is_refused_before_any_work(tmp_path):
    train(tmp_path / "run", resume=False)
    with pytest.raises(UserError, match="is in use and is not overwritten: pass --resume"):
        claim(tmp_path / "run")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match=r"in use|cannot write"):
            claim(out)
    with pytest.raises(UserError, match="--resume needs --out"):
        claim(None, resume=True)
    with pytest.raises(UserError, match="is not there"):
        claim(tmp_path / "none", resume=True)
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="is in use"):
        claim(tmp_path / "link")
    with pytest.raises(UserError, match="exists and is not overwritten"), atomic_directory(tmp_path / "link"):
        pass
    claim(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_a_copy_of_a_checkpoint_is_no_checkpoint_and_stays(tmp_path):
    mine = tmp_path / "run/checkpoints/step-000002-copy"
    mine.mkdir(parents=True)
    with pytest.raises(UserError, match="is in use and is not overwritten: choose another"):
        claim(tmp_path / "run")
    mine.rename(tmp_path / "copy")
    (tmp_path / "run/checkpoints").rmdir()
    with Run(tmp_path / "run", project=PROJECT, config=Config()) as run:
        run.save(2, {"w": torch.ones(1)})
        (tmp_path / "copy").rename(mine)
        run.save(4, {"w": torch.ones(1)})
        run.keep_checkpoints(4)
    assert {path.name for path in mine.parent.iterdir()} == {"step-000002-copy", "step-000004"}
    assert latest_checkpoint(tmp_path / "run") == run.checkpoint_path(4)
    assert read_source(tmp_path / "run", team_key()).manifest


def test_ctrl_c_offers_to_resume_only_where_there_is_a_checkpoint(tmp_path):
    notes = []
    for name, save in (("bare", False), ("saved", True)):
        with pytest.raises(KeyboardInterrupt) as caught, Run(tmp_path / name, project=PROJECT, config=Config()) as run:
            if save:
                run.save(1, {"w": torch.ones(1)})
            raise KeyboardInterrupt
        notes.append(getattr(caught.value, "__notes__", []))
    assert notes == [[], [f"--out {tmp_path / 'saved'} --resume goes on from the last checkpoint"]]
    assert threading.active_count() < 50
