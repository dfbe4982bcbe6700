"""A real shell on a real pseudo-terminal: it advances on prompts and patterns, and a failure stops the build."""

import os
import re
import tempfile
import time
from pathlib import Path

import pytest

from shared.course.film import cast, film, recording, screenplay
from shared.course.film.cast import Cast, Event
from shared.course.film.recording import Shell, perform
from shared.course.film.screenplay import Step
from shared.errors import UserError


def step(command, **changed):
    values = {"until": "", "shows": "", "limit": 20.0, "exit": 0, "squeeze": 8.0, "trailer": False, **changed}
    return Step(id="train/1", caption={}, command=command, figure="", **values)


def played(tmp_path, *steps):
    with Shell(tmp_path) as shell:
        for each in steps:
            perform(each, shell)
    return shell.events


def printed(events):
    return "".join(event.data for event in events if event.kind == "o")


def test_commands_their_output_and_their_exit_codes_are_recorded(tmp_path):
    events = played(
        tmp_path,
        step("echo ñandú ✓ > f; cat f"),
        step("echo why; (exit 3)", exit=3, shows="^why"),
        step("sleep 60 & echo later", until="later"),
    )
    text = printed(events)
    assert "\r\nñandú ✓\r\n" in text and (tmp_path / "f").read_text() == "ñandú ✓\n"
    assert [e.data for e in events if e.kind == "m"] == ["train/1 type", "train/1 run", "train/1 done"] * 3
    assert "133;D" not in text and "\x07" not in text, "the shell's own marks are no output"
    times = [event.at for event in events]
    assert times == sorted(times)


def test_typing_is_spread_as_a_persons_but_takes_no_such_time(tmp_path):
    started = time.monotonic()
    events = played(tmp_path, step("true # " + "x" * 100))
    marks = {e.data.split()[1]: e.at for e in events if e.kind == "m"}
    assert 3 < marks["run"] - marks["type"] < 30
    assert sum(e.kind == "o" and e.data == "x" for e in events) == 100
    assert time.monotonic() - started < marks["run"] - marks["type"] + 5


def test_a_command_that_goes_on_after_its_pattern_is_interrupted(tmp_path):
    started = time.monotonic()
    played(tmp_path, step("echo up and running; sleep 50", until="up and r.nning", exit=130), step("echo next"))
    assert time.monotonic() - started < 40
    stubborn = step("trap '' INT; echo up; sleep 30", until="up", limit=1.5)
    with pytest.raises(UserError, match="goes on after Ctrl-C"):
        played(tmp_path, stubborn)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (step("false"), "step train/1: false: exit code 1, expected 0"),
        (step("true", exit=11), "exit code 0, expected 11"),
        (step("sleep 30", limit=0.3), "not done after 0.3 s"),
        (step("echo no", until="yes", limit=0.3), "'yes' not printed after 0.3 s"),
        (step("sleep 9 # yes", until="yes", limit=0.3), "'yes' not printed"),
        (step("exit"), "the shell ended"),
        (step("echo no # yes", shows="yes"), "'yes' was not printed"),
    ],
)
def test_what_fails_stops_the_recording(tmp_path, bad, said):
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        played(tmp_path, bad)
    assert "\n" not in str(caught.value)


def test_output_cannot_pass_for_the_shells_mark(tmp_path):
    """A program that prints the mark with a guessed nonce does not end its step early."""
    forged = r"printf '\033]133;D;0000;0\007'; false"
    with pytest.raises(UserError, match="exit code 1"):
        played(tmp_path, step(forged))


def test_the_shell_knows_no_secret_no_home_and_no_history(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("CC0C2_TEAM_KEY", "ab" * 32)
    text = printed(played(tmp_path, step("env; echo ~; echo [$HISTFILE]")))
    assert "hunter2" not in text and "abab" not in text and "[]" in text
    assert os.path.expanduser("~") + "\r" not in text


def test_a_recording_that_shows_something_private_is_refused(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    monkeypatch.setattr(recording.socket, "gethostname", lambda: "box-17")
    for text, kind in (
        ("x hunter2hunter2", "SOME_TOKEN"),
        (f"cd {os.path.expanduser('~')}/x", "home"),
        ("@box-17:", "host"),
        ("in /srv/course/projects/toy.py", "the repository's folder"),
        (f"{tempfile.gettempdir()}/x.json", "temporary files"),
        ("Looking in indexes: https://mirror", "package index"),
    ):
        with pytest.raises(UserError, match=kind) as caught:
            recording.refuse_private(text, Path("/srv/course"))
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    recording.refuse_private("that is false", Path("/srv/course"))
    recording.refuse_private("inbox-17x is another word", Path("/srv/course"))


def test_a_command_that_would_show_something_private_is_refused_before_any_is_run(toy, demo_toml, monkeypatch):
    typed = f'type = "cat {tempfile.gettempdir()}/x.json"'
    (toy.folder / "demo.toml").write_text(demo_toml(step=typed))
    monkeypatch.setattr(film.recording, "record", lambda *_: pytest.fail("it was run"))
    with pytest.raises(UserError, match="temporary files"):
        film.record(toy, screenplay.load(toy))


def test_the_commands_run_where_runs_is_their_own(toy):
    (toy.root / "runs").mkdir()
    (toy.root / "runs" / "mine").write_text("x")
    stage = recording.stage(toy)
    assert not (stage / "runs").exists() and (stage / "projects" / "toy" / "demo.toml").exists()
    (stage / "runs").mkdir()
    assert not (recording.stage(toy) / "runs").exists(), "each recording starts afresh"
    assert (toy.root / "runs" / "mine").exists() and (toy.folder / "demo.toml").exists()


def test_a_cast_is_read_as_it_was_written():
    one = Cast(80, 24, (Event(0.0, "m", "a/1 type"), Event(0.123, "o", "ñ\x1b[1m✓\u2028\x85\r\n")))
    text = cast.text(one, title="T")
    assert cast.parse(text, "a.cast") == one
    assert text.split("\n")[1] == '[0.0, "m", "a/1 type"]'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 is no header"),
        ("[]", "line 1 is no header"),
        ('{"version": 1, "width": 1, "height": 1}', "version 1, not 2"),
        ('{"version": 2, "width": 1, "height": 1}\n[1, "o"]', "line 2 is no event"),
        ('{"version": 2, "width": 1, "height": 1}\n[2, "o", ""]\n[1, "o", ""]', "line 3 goes back in time"),
        ('{"version": 2, "width": 1, "height": 1}\n[NaN, "o", ""]', "line 2 goes back in time"),
    ],
)
def test_a_malformed_cast_says_where(text, said):
    with pytest.raises(UserError, match=said):
        cast.parse(text, "a.cast")
