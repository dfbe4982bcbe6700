"""A run's directory: nothing lost, nothing overwritten, and a resumed run equal to one that never stopped."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from shared import optim
from shared.errors import UserError
from shared.files import atomic_directory, atomic_path, write_text
from shared.fingerprint import Verdict, team_key, verify
from shared.fingerprint.citations import manifest_digest
from shared.fingerprint.origin import file_digest
from shared.lab.fingerprint.attacks.edits import body_of, flip
from shared.run_directories import claim, describe_config, latest_checkpoint, new_directory
from shared.runs import Run, open_checkpoint, restore, verified_tensors
from shared.tensors import trainable_state


@dataclass(frozen=True)
class Config:
    width: int = 4
    out: Path | None = None


class Killed(Exception):
    pass


def train(directory, *, steps, resume=False, kill_at=None):
    """A noisy little training, checkpointed every second step; dies right before the step `kill_at`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    schedule = optim.linear_schedule(optimizer, total=steps)
    with Run(directory, project="test", config=Config(), resume=resume) as run:
        if resume:
            run.restore(model.load_state_dict, optimizer, schedule)
        for step in range(run.step + 1, steps + 1):
            if step == kill_at:
                raise Killed
            loss = (model(torch.randn(8, 4)) - 1).square().mean()
            optim.step(optimizer, loss)
            schedule.step()
            run.log(step, loss=loss.item())
            if step % 2 == 0:
                run.save(step, trainable_state(model), optimizer=optimizer, schedule=schedule)
    return model


def without_identity(path):
    """The records of a log without what differs between two runs: run id, MACs, and the seal of dated event files."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("run", "mac", "events")} for r in records]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    straight = train(tmp_path / "straight", steps=8)
    with pytest.raises(Killed):
        train(tmp_path / "resumed", steps=8, kill_at=6)
    assert verify(tmp_path / "resumed" / "metrics.jsonl")[0].verdict is Verdict.INCOMPLETE
    resumed = train(tmp_path / "resumed", steps=8, resume=True)
    for mine, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert without_identity(tmp_path / "resumed/metrics.jsonl") == without_identity(tmp_path / "straight/metrics.jsonl")
    assert {f.verdict for f in verify(tmp_path)} == {Verdict.UNTRUSTED_DEMO}


def test_each_checkpoint_names_the_one_before_it_and_one_of_a_resumed_run_that_which_it_went_on_from(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "run", steps=6, kill_at=4)
    train(tmp_path / "run", steps=6, resume=True)
    folders = [tmp_path / "run" / "checkpoints" / f"step-{step:06d}" for step in (2, 4, 6)]
    digests = [manifest_digest(folder, team_key()) for folder in folders]
    parents = [open_checkpoint(folder).body["parent"] for folder in folders]
    assert parents == [None, {"step": 2, "manifest": digests[0]}, {"step": 4, "manifest": digests[1]}]


def test_tensorboard_holds_the_same_numbers(tmp_path):
    train(tmp_path / "run", steps=4)
    events = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("loss")
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()][1:-1]
    assert [e.step for e in events] == [r["step"] for r in logged]
    assert [e.value for e in events] == pytest.approx([r["loss"] for r in logged])


def test_an_existing_run_is_never_overwritten(tmp_path):
    train(tmp_path / "run", steps=2)
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="is not overwritten"):
        train(tmp_path / "run", steps=2)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


def test_resuming_what_cannot_be_resumed(tmp_path):
    with pytest.raises(UserError, match="is not there"):
        train(tmp_path / "none", steps=2, resume=True)
    train(tmp_path / "run", steps=2)
    with pytest.raises(UserError, match="made with another width"):
        Run(tmp_path / "run", project="test", config=Config(width=5), resume=True)
    with pytest.raises(UserError, match="made with another width"):
        claim(tmp_path / "run", resume=True, config=Config(width=5))
    claim(tmp_path / "run", resume=True, config=Config())


def test_a_tampered_checkpoint_is_not_resumed(tmp_path):
    train(tmp_path / "run", steps=2)
    file = latest_checkpoint(tmp_path / "run") / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: TAMPERED"):
        train(tmp_path / "run", steps=4, resume=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_stops_the_run(tmp_path, value):
    with (
        pytest.raises(UserError, match=r"loss is (nan|inf) at step 1: training stopped.*Last checkpoint: none"),
        Run(tmp_path / "run", project="test", config=Config()) as run,
    ):
        run.log(1, loss=value)


def test_the_environment_says_versions_and_machine_but_no_host(tmp_path):
    train(tmp_path / "run", steps=2)
    environment = json.loads((tmp_path / "run/env.json").read_text())
    assert environment["versions"]["torch"].startswith("2.")
    assert environment["threads"] >= 1
    assert str(Path.home()) not in json.dumps(environment)


def test_new_directories_do_not_collide(tmp_path):
    first = new_directory(tmp_path, "lora", "x")
    first.mkdir(parents=True)
    assert new_directory(tmp_path, "lora", "x").name == "x-2"


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(Killed), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise Killed
    with pytest.raises(Killed), atomic_directory(tmp_path / "folder") as folder:
        (folder / "b").write_text("half")
        raise Killed
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and file.read_text() == "old"


def test_a_reader_keeps_the_old_file_until_it_opens_the_new_one(tmp_path):
    """The new file takes the old one's place in one step; nothing is written into what others have open."""
    file = tmp_path / "a.txt"
    file.write_text("old")
    with file.open() as reader:
        write_text(file, "new")
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_an_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        Run(tmp_path / "file" / "run", project="test", config=Config())


def test_a_checkpoint_says_where_it_comes_from(tmp_path):
    train(tmp_path / "run", steps=4)
    first, second = (body_of(tmp_path / "run" / "checkpoints" / f"step-00000{n}") for n in (2, 4))
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes().splitlines()
    opening = json.loads(lines[0])
    for member in ("run", "project", "config", "env", "data"):
        assert first[member] == second[member] == opening[member]
    assert first["config"] == file_digest(tmp_path / "run" / "config.json")
    assert second["log"] == {"position": 5, "mac": json.loads(lines[4])["mac"]}
    assert first["parent"] is None and second["parent"]["step"] == 2
    assert second["parent"]["manifest"] == file_digest(tmp_path / "run/checkpoints/step-000002/manifest.json")
    assert {"commit", "dirty", "seed", "epoch", "team"} <= second.keys()


def test_what_belongs_to_a_run_cannot_change_before_it_is_resumed(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "run", steps=8, kill_at=6)
    for name, match in (("env.json", "saved with another env"), ("events.seal.json", "TAMPERED")):
        kept = (tmp_path / "run" / name).read_bytes()
        flip(tmp_path / "run" / name, 0.7)
        with pytest.raises(UserError, match=match):
            train(tmp_path / "run", steps=8, resume=True)
        (tmp_path / "run" / name).write_bytes(kept)
    with pytest.raises(UserError, match="another data"):
        Run(tmp_path / "run", project="test", config=Config(), resume=True, data="00" * 32)
    with pytest.raises(UserError, match="another project"):
        Run(tmp_path / "run", project="other", config=Config(), resume=True)
    train(tmp_path / "run", steps=8, resume=True)
    assert {f.verdict for f in verify(tmp_path / "run")} == {Verdict.UNTRUSTED_DEMO}


def test_a_log_that_was_cut_below_the_checkpoint_is_not_resumed(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "run", steps=8, kill_at=6)
    log = tmp_path / "run" / "metrics.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(UserError, match=r"metrics\.jsonl: TRUNCATED"):
        train(tmp_path / "run", steps=8, resume=True)


def test_a_file_exchanged_after_verification_is_not_restored(tmp_path):
    train(tmp_path / "run", steps=2)
    model = nn.Linear(1, 1)
    opened = open_checkpoint(tmp_path / "run" / "checkpoints" / "step-000002")
    flip(opened.directory / "model.safetensors", 0.99)
    with pytest.raises(UserError, match="changed between verification and load"):
        restore(opened, model.load_state_dict, torch.optim.AdamW(model.parameters()))
    with pytest.raises(UserError, match=r"model\.safetensors: TAMPERED.*; not loaded"):
        verified_tensors(opened.directory)


@dataclass(frozen=True)
class Inner:
    clip: float = 0.2
    passes: int = 4


@dataclass(frozen=True)
class Outer:
    rate: float = 0.1
    inner: Inner = Inner()
    out: Path | None = None


@dataclass(frozen=True)
class Flat:
    rate: float = 0.1
    clip: float = 0.2
    passes: int = 4


def test_settings_that_are_put_together_are_described_as_when_they_stood_apart(tmp_path):
    """So that no log that was sealed before is another configuration's."""
    for name, config in (("nested", Outer(out=tmp_path)), ("flat", Flat())):
        with Run(tmp_path / name, project="test", config=config) as run:
            run.log(1, score=1.0)
    assert (tmp_path / "nested" / "config.json").read_bytes() == (tmp_path / "flat" / "config.json").read_bytes()


def test_two_fields_of_one_name_are_no_description():
    @dataclass(frozen=True)
    class Twice:
        clip: float = 0.1
        inner: Inner = Inner()

    with pytest.raises(ValueError, match="Twice has two fields that are called clip"):
        describe_config(Twice())
