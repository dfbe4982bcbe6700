"""Fingerprints: what was saved verifies, and whatever is done to it is found and named."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from shared.errors import UserError
from shared.fingerprint import ChainedLog, TeamKey, Verdict, seal_directory, team_key, verify
from shared.fingerprint.log import read_records

KEY = TeamKey("quipu", bytes(range(32)))
OTHER = TeamKey("ayni", bytes(range(1, 33)))


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoints" / "step-000001"
    (folder / "shards").mkdir(parents=True)
    save_file({"weight": np.arange(6, dtype=np.float32), "bias": np.zeros(2)}, folder / "model.safetensors")
    (folder / "shards" / "0.bin").write_bytes(b"zero")
    (folder / "shards" / "1.bin").write_bytes(b"ones")
    seal_directory(folder, {"run": "r", "project": "lora", "step": 1}, KEY)
    return folder


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with ChainedLog(path, KEY, {"run": "r", "project": "lora"}) as chained:
        for step in range(5):
            chained.append({"step": step, "loss": 1.0 / (step + 1)})
    return path


def only(findings):
    (finding,) = findings
    return finding


def test_an_untouched_checkpoint_is_ok(checkpoint):
    assert only(verify(checkpoint, KEY)).verdict is Verdict.OK


@pytest.mark.parametrize("name", ["model.safetensors", "shards/0.bin", "manifest.json"])
def test_a_flipped_byte_is_found_in_its_file(checkpoint, name):
    file = checkpoint / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    finding = only(verify(checkpoint, KEY))
    assert finding.verdict is Verdict.TAMPERED and finding.path == file


def test_swapped_files_are_found(checkpoint):
    zero, one = checkpoint / "shards" / "0.bin", checkpoint / "shards" / "1.bin"
    kept = zero.read_bytes()
    zero.write_bytes(one.read_bytes())
    one.write_bytes(kept)
    assert [(f.verdict, f.path) for f in verify(checkpoint, KEY)] == [(Verdict.TAMPERED, zero), (Verdict.TAMPERED, one)]


def test_a_file_too_many_and_a_file_too_few(checkpoint):
    (checkpoint / "shards" / "1.bin").rename(checkpoint / "shards" / "2.bin")
    assert [(f.verdict, f.path.name) for f in verify(checkpoint, KEY)] == [
        (Verdict.MISSING, "1.bin"),
        (Verdict.EXTRA, "2.bin"),
    ]


def test_a_missing_manifest_is_missing(checkpoint):
    (checkpoint / "manifest.json").unlink()
    assert only(verify(checkpoint, KEY)).verdict is Verdict.MISSING


def test_another_team_and_the_demo_key(checkpoint, tmp_path):
    assert only(verify(checkpoint, OTHER)).verdict is Verdict.WRONG_TEAM
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / "file").write_text("x")
    seal_directory(demo, {}, team_key())
    assert only(verify(demo, KEY)).verdict is Verdict.UNTRUSTED_DEMO
    assert only(verify(demo)).verdict is Verdict.UNTRUSTED_DEMO


def test_a_manifest_of_a_log_key_does_not_pass(checkpoint):
    """The keys of checkpoints and logs differ: a MAC made for one purpose is worthless for the other."""
    assert KEY.subkey("checkpoint") != KEY.subkey("log")
    assert len({key.subkey("log") for key in (KEY, OTHER)}) == 2


def test_an_untouched_log_is_ok_and_reads_back(log):
    assert only(verify(log, KEY)).verdict is Verdict.OK
    assert read_records(log)[2] == {"step": 2, "loss": 1 / 3}


def edited(lines):
    lines[3] = lines[3].replace(b'"step":2', b'"step":7')


def deleted(lines):
    del lines[2]


def inserted(lines):
    lines.insert(2, lines[2])


def reordered(lines):
    lines[1], lines[2] = lines[2], lines[1]


@pytest.mark.parametrize(("attack", "line"), [(edited, 4), (deleted, 3), (inserted, 4), (reordered, 2)])
def test_a_changed_log_names_the_first_line_that_is_wrong(log, attack, line):
    lines = log.read_bytes().splitlines(keepends=True)
    attack(lines)
    log.write_bytes(b"".join(lines))
    finding = only(verify(log, KEY))
    assert finding.verdict is Verdict.TAMPERED
    assert finding.detail.startswith(f"line {line} ")


def test_a_cut_log(log):
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert only(verify(log, KEY)).verdict is Verdict.INCOMPLETE
    log.write_bytes(b"".join(lines)[:-20])  # as a process leaves it that is killed while it writes
    found = only(verify(log, KEY))
    assert found.verdict is Verdict.INCOMPLETE and "the beginning of one more" in found.detail


def test_a_log_is_continued_where_it_was_left(log):
    straight = log.read_bytes()
    with ChainedLog(log, KEY, {}, position=4) as chained:
        for step in range(3, 5):
            chained.append({"step": step, "loss": 1.0 / (step + 1)})
    assert log.read_bytes() == straight


def test_an_empty_log_and_an_empty_place(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    assert only(verify(tmp_path / "metrics.jsonl", KEY)).verdict is Verdict.INCOMPLETE
    (tmp_path / "nothing" / "deeper").mkdir(parents=True)
    assert only(verify(tmp_path / "nothing", KEY)).verdict is Verdict.INCOMPLETE  # a run that was killed at once
    (tmp_path / "nothing" / "deeper" / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no log and no manifest"):
        verify(tmp_path / "nothing", KEY)
    with pytest.raises(UserError, match="is not there"):
        verify(tmp_path / "nowhere", KEY)


def test_the_key_comes_from_the_environment_or_a_private_file(monkeypatch, tmp_path):
    assert team_key().is_demo
    monkeypatch.setenv("CC0C2_TEAM", "quipu")
    file = tmp_path / "team.key"
    file.write_text(KEY.secret.hex() + "\n")
    monkeypatch.setenv("CC0C2_TEAM_KEY_FILE", str(file))
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        team_key()
    file.chmod(0o600)
    assert team_key() == KEY
    monkeypatch.setenv("CC0C2_TEAM_KEY", "beef")
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        team_key()
    assert KEY.secret.hex() not in repr(KEY)


@pytest.mark.parametrize(("damage", "code"), [(False, 10), (True, 11)])
def test_the_command_prints_verdicts_and_exits_with_the_worst(tmp_path, damage, code):
    with ChainedLog(tmp_path / "metrics.jsonl", team_key(), {"run": "r"}) as chained:
        chained.append({"step": 0})
    if damage:
        chained.path.write_bytes(chained.path.read_bytes().replace(b'"step":0', b'"step":1'))
    words = [sys.executable, "-m", "shared.fingerprint", "verify", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("TAMPERED" if damage else "UNTRUSTED-DEMO") in done.stdout


def test_every_line_is_json(log):
    assert [json.loads(line)["seq"] for line in log.read_text().splitlines()] == list(range(7))
