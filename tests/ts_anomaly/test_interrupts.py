"""Ctrl-C in the middle of each command: one line, exit code 130, nothing half-written, and it can be gone on with."""

import json
import os
import signal
import time

import httpx
import pytest

from projects.ts_anomaly.server.settings import PREFIX
from shared.files import is_temporary
from shared.fingerprint import Verdict, verify
from shared.web.launch import running
from tests.processes import started
from tests.ts_anomaly.conftest import spiked, wave

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # several commands one behind the other
PATIENCE = 120  # seconds that a busy machine may take
SMALL = ["--batch", "2", "--sequence", "64", "--window", "8", "--width", "16", "--layers", "1"]


def interrupted(process, condition):
    """Ctrl-C once it holds. Returns the one line that was said, and what else was written."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    written, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and len(said.splitlines()) == 1 and said.startswith("interrupted"), said
    return said, written


def halves(folder):
    """What was not written to its end."""
    return [path for path in folder.rglob("*") if is_temporary(path)]


def weights(run):
    (path,) = (run / "checkpoints").glob("*/model.safetensors")
    return path.read_bytes()


def test_train_goes_on_from_its_last_checkpoint(tmp_path):
    words = ["-m", "projects.ts_anomaly.train", "--dataset", "mitdb", "--steps", "400", *SMALL]
    with started(*words, "--out", tmp_path / "straight") as process:
        assert process.communicate(timeout=PATIENCE)[1] == "" and process.returncode == 0
    run = tmp_path / "run"
    with started(*words, "--out", run) as process:
        said, _ = interrupted(process, lambda: (run / "checkpoints" / "step-000100").exists())
    assert said == f"interrupted; --out {run} --resume goes on from the last checkpoint\n"
    assert not halves(run) and not (run / "result.json").exists()
    assert {each.verdict for each in verify(run)} <= {Verdict.INCOMPLETE, Verdict.UNTRUSTED_DEMO}
    with started(*words, "--out", run, "--resume") as process:
        assert process.communicate(timeout=PATIENCE)[1] == "" and process.returncode == 0
    assert weights(run) == weights(tmp_path / "straight")
    assert (run / "result.json").read_text() == (tmp_path / "straight" / "result.json").read_text()


def test_the_main_job_goes_on_with_its_judging(tmp_path):
    run = tmp_path / "run"
    words = ["-m", "projects.ts_anomaly", "--dataset", "mitdb", "--steps", "12", *SMALL, "--out", run]
    with started(*words) as process:
        said, _ = interrupted(process, lambda: (run / "result.json").exists())
    assert said == "interrupted\n" and not halves(run)
    before = weights(run)
    with started(*words, "--resume") as process:
        table, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "On kinds never seen contrast has" in table and weights(run) == before


def test_results_go_on_behind_the_last_whole_cell(tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "out"
    words = ["-m", "projects.ts_anomaly.study", "--runs", runs, "--out", out, "--only", "mitdb"]
    whole = {}
    for most in (1, 2):  # the second goes on
        with started(*words) as process:
            deadline = time.monotonic() + PATIENCE
            while len(list(runs.glob("measured/*/items.jsonl"))) < most:
                assert process.poll() is None and time.monotonic() < deadline, process.communicate()
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        lines = said.splitlines()
        assert process.returncode == 130 and lines[-1] == "interrupted", said
        assert all(line.startswith(("training ", "resuming ")) for line in lines[:-1]), said
        assert not out.exists() and not halves(runs)
        assert all(path.read_bytes() == content for path, content in whole.items()), "what was whole stays as it is"
        whole = {
            path: path.read_bytes() for done in runs.glob("measured/*/items.jsonl") for path in done.parent.glob("*.*")
        }


def test_detect_says_in_its_line_what_it_did_and_goes_on(model, tmp_path):
    lines = spiked(500, 100, 300, 450)
    path, state = tmp_path / "m.csv", tmp_path / "state"
    path.write_text("\n".join(lines[:351]) + "\n")
    words = ["-m", "projects.ts_anomaly.detect", "--model", model, "--source", path, "--chance", "1e-4"]
    told = []
    with started(*words, "--state", state, "--follow") as process:

        def until():
            told.append(json.loads(process.stdout.readline()))
            return told[-1]["step"] == 300

        said, rest = interrupted(process, until)
    told += map(json.loads, rest.splitlines())
    judged = int(said.removeprefix("interrupted; ").split()[0])
    assert 300 < judged <= 350 and "steps judged, threshold" in said and not halves(tmp_path)
    with path.open("a") as file:
        file.write("\n".join(lines[351:]) + "\n")
    with started(*words, "--state", state) as process:
        rest, said = process.communicate(timeout=PATIENCE)
    assert f"{500 - judged} steps judged" in said
    with started(*words) as process:
        expected, _ = process.communicate(timeout=PATIENCE)
    told = [each for each in told if each["kind"] not in ("silence", "back")]
    assert told + list(map(json.loads, rest.splitlines())) == list(map(json.loads, expected.splitlines()))


def test_the_server_ends_in_order_at_ctrl_c_too(model, tmp_path):
    options = {"model": model, "data": tmp_path, "warm": 128, "rate": 10_000}
    body = {"points": [{"time": 60 * n, "values": [value]} for n, value in enumerate(wave(300)[:, 0].tolist())]}
    with running("projects.ts_anomaly.server", PREFIX, options) as server:
        assert httpx.post(f"{server.url}/v1/series/cpu/points", json=body, timeout=20).json()["accepted"] == 300
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 130
        assert [line for line in server.said().splitlines() if '"level": "INFO"' not in line] == ["interrupted"]
    assert not halves(tmp_path)
    (journal,), (state,) = tmp_path.glob("*.jsonl"), tmp_path.glob("*.state")
    assert journal.read_text() == "" and state.stat().st_size > 1000, "the state holds all"
