"""`detect` as a command: pipes, files, stops and kills, a person's errors."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.ts_anomaly.conftest import spiked


def command(model, *words, **more):
    full = [sys.executable, "-m", "projects.ts_anomaly.detect", "--model", str(model), *map(str, words)]
    return subprocess.Popen(
        full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def until(lines, step):
    """Lines of alerts up to that of a step."""
    for line in lines:
        yield line
        if json.loads(line)["step"] == step:
            return


@pytest.mark.slow
def test_detect_tells_faults_of_a_pipe_and_a_stopped_one_goes_on(model, tmp_path):
    lines = spiked(600, *range(285, 290), *range(500, 505))
    said, errors = command(model, "--chance", "1e-4").communicate("\n".join(lines) + "\n", timeout=60)
    steps = [json.loads(line)["step"] for line in said.splitlines() if json.loads(line)["kind"] == "opened"]
    assert {285, 500} <= set(steps) and "600 steps judged" in errors
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines[:301]) + "\n")
    process = command(model, "--chance", "1e-4", "--source", path, "--follow", "--state", tmp_path / "state")
    told_first = list(
        until(process.stdout, 285)
    )  # it is somewhere behind the first fault: stopped there, wherever that is
    process.send_signal(signal.SIGTERM)
    first = process.communicate(timeout=60)
    with path.open("a") as file:
        file.write("\n".join(lines[301:]) + "\n")
    second = command(model, "--source", path, "--state", tmp_path / "state").communicate(timeout=60)
    judged = [int(re.search(r"(\d+) steps judged", each[1])[1]) for each in (first, second)]
    assert 285 < judged[0] <= 300 and sum(judged) == 600
    told = [json.loads(line) for line in ("".join(told_first) + first[0] + second[0]).splitlines()]
    told = [(each["kind"], each["step"], each["score"]) for each in told if each["kind"] not in ("silence", "back")]
    assert told == [(each["kind"], each["step"], each["score"]) for each in map(json.loads, said.splitlines())]


@pytest.mark.slow
def test_detect_that_is_killed_doubles_no_alert_and_two_do_not_share_a_state(model, tmp_path):
    lines = spiked(400, 100, 200, 300)
    path, state = tmp_path / "m.csv", tmp_path / "state"
    path.write_text("\n".join(lines[:251]) + "\n")
    words = ["--chance", "1e-4", "--source", path, "--state", state]
    process = command(model, *words, "--follow")
    said = list(until(process.stdout, 200))
    _, errors = command(model, *words).communicate(timeout=60)
    assert "is being written by another process" in errors and len(errors.strip().splitlines()) == 1
    process.kill()
    said += process.communicate(timeout=60)[0].splitlines()
    assert not state.exists(), "nothing was saved yet: all is judged again"
    with path.open("a") as file:
        file.write("\n".join([*lines[251:], f"{time.time() + 10**6},9", "0,9"]) + "\n")
    rest, errors = command(model, *words).communicate(timeout=60)
    assert "400 steps judged" in errors and "2 rows dropped" in errors
    told = [json.loads(line) for line in [*said, *rest.splitlines()]]
    ids = [each["id"] for each in told if each["kind"] not in ("silence", "back")]
    whole = command(model, *words[:4]).communicate(timeout=60)[0].splitlines()
    assert sorted(ids) == sorted(json.loads(line)["id"] for line in whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--source", "missing.csv"], "missing.csv: no such file"),
        (["--chance", "2"], "--chance"),
        (["--webhook", "nonsense"], "--webhook"),
        (["--interval", "0"], "--interval 0.0"),
        (["--threshold", "-1"], "--threshold -1.0"),
    ],
)
def test_a_person_s_errors_are_one_line(model, words, says):
    process = command(model, *words)
    _, errors = process.communicate("", timeout=60)
    assert process.returncode == 2 and says in errors and "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1
