"""The command line: one question, pipes, JSON, the console's commands, exit codes, and what is not remembered."""

import io
import json
import os
import subprocess
import sys

import pytest

from projects.rag_agent import run_agent
from projects.rag_agent.agents import build
from projects.rag_agent.agents.agent import Agent, RulePolicy
from projects.rag_agent.agents.memory import Conversation
from projects.rag_agent.config import SMOKE, Config
from projects.rag_agent.prompts import NOT_FOUND
from projects.rag_agent.run_agent import Console, RunConfig, described, one_shot, piped
from shared.errors import UserError, command


@pytest.fixture
def agent(make_module):
    return Agent(make_module("Alfred Hitchcock", "1985", threshold=0.45), RulePolicy())


@pytest.fixture
def console(agent):
    said = []
    made = Console(agent, said.append)
    made.said = said
    return made


def text(console):
    said = "".join(console.said)
    console.said.clear()
    return said


def test_one_question_answered(agent, capsys):
    assert one_shot(agent, "Who directed Vertigo?", as_json=False) == 0
    assert capsys.readouterr().out == "Alfred Hitchcock\n  [1] Vertigo, passage 1\n"


def test_one_question_that_the_documents_do_not_answer(agent, capsys):
    assert one_shot(agent, "What is the capital of Peru?", as_json=False) == 1
    assert capsys.readouterr().out == f"{NOT_FOUND}\n"
    assert one_shot(agent, "1 / 0", as_json=False) == 1
    assert "[calculator failed]" in capsys.readouterr().out


def test_json_is_one_object_with_sources(agent, capsys):
    assert one_shot(agent, "Who directed Vertigo? And what is 6 * 7?", as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == "Alfred Hitchcock\n42" and not said["refused"]
    assert [step["tool"] for step in said["steps"]] == ["documents", "calculator"]
    assert said["sources"][0]["document"] == "Vertigo" and said["sources"][0]["cited"]
    assert said["sources"][0]["text"].startswith("Vertigo is a 1958")


def test_lines_of_a_pipe_are_answered_in_order(agent, capsys):
    assert (
        piped(agent, io.BytesIO(b"6 * 7\n\nWho directed Vertigo?\nWhat is the capital of Peru?\n"), as_json=True) == 1
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["answer"] for line in lines] == ["42", "Alfred Hitchcock", NOT_FOUND]


def test_a_line_of_a_pipe_that_is_no_text_is_one_line_and_those_before_are_answered(agent, capsys):
    with pytest.raises(UserError, match=r"^standard input, line 3: no UTF-8 text \(byte 4\)$"):
        piped(agent, io.BytesIO(b"\xef\xbb\xbf6 * 7\r\n\ncafe\xff\n6 * 8\n"), as_json=False)
    assert capsys.readouterr().out.startswith("42\n")


@pytest.mark.parametrize("message", ["a\ud800", "6 * 7\udcff"])
def test_a_message_that_is_no_text_is_one_line(agent, console, message):
    with pytest.raises(UserError, match="the message: character"):
        agent.respond(message)
    console.handle(message)
    assert "half of a surrogate pair" in text(console)
    with pytest.raises(UserError, match="--question: character"):
        RunConfig(question=message)


def test_a_typed_line_that_is_no_text_does_not_end_the_conversation(console, monkeypatch):
    lines = iter([b"caf\xe9", b"6 * 7", b"/quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines).decode())
    monkeypatch.setattr(run_agent, "_keep_history", lambda: None)
    console.run()
    said = text(console)
    assert "(that line is no UTF-8 text)" in said and "42" in said


def test_an_answer_is_streamed_once_with_its_source(console):
    console.handle("Who directed Vertigo?")
    assert text(console) == "Alfred Hitchcock \n  [1] Vertigo, passage 1\n"


def test_the_consoles_commands(console, tmp_path):
    console.handle("/sources")
    assert text(console) == "(nothing was asked yet)\n"
    console.handle("Who directed Vertigo?")
    text(console)
    console.handle("/sources")
    assert "[1]* Vertigo, passage 1 (score" in text(console)
    console.handle(f"/save {tmp_path / 'deep' / 'talk.json'}")
    assert "(saved 2 turns" in text(console)
    assert Conversation.open(tmp_path / "deep" / "talk.json").turns[1].text == "Alfred Hitchcock"
    console.handle("/save")
    assert "say which file" in text(console)
    console.handle("6 * 7")
    console.handle("/sources")
    assert "used no passages" in text(console)
    console.handle("/reset")
    assert console.agent.conversation.turns == [] and "forgotten" in text(console)
    console.handle("/help")
    assert "/sources" in text(console)
    console.handle("/nosuch")
    assert text(console) == "no command /nosuch; /help lists them\n"


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(console, monkeypatch):
    console.handle("6 * 7")
    monkeypatch.setattr(
        console.agent.module.generator, "answer", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    console.handle("Who directed Vertigo?")
    assert "(stopped; this turn is not remembered)" in text(console)
    assert len(console.agent.conversation.turns) == 2
    console.handle("6 * 8")
    assert "48" in text(console)


def test_the_loop_reads_until_the_end(console, monkeypatch):
    lines = iter(["", "6 * 7", KeyboardInterrupt, "/quit", "never"])

    def typed(_):
        line = next(lines)
        if line is KeyboardInterrupt:
            raise line
        return line

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(run_agent, "_keep_history", lambda: None)
    console.run()
    said = text(console)
    assert said.startswith("4 passages; /help lists the commands.\n42\n") and "/quit or Ctrl-D" in said
    assert next(lines) == "never"


def test_a_reply_without_sources_has_none_in_json(agent):
    said = described(agent.respond("What is the capital of Peru?"), "q")
    assert said["sources"] == [] and said["refused"] and said["answer"] == NOT_FOUND


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"k": 0}, "--k 0: must be at least 1"),
        ({"budget": 0}, "--budget 0"),
        ({"overlap": -1}, "--overlap -1"),
        ({"threshold": 1.5}, r"must be in \[0, 1\]"),
        ({"passage_tokens": 3}, "must be at least 16"),
        ({"limit": 0}, "--limit 0"),
        ({"constant": 0.0}, "must be a positive number"),
    ],
)
def test_a_configuration_that_cannot_work_is_one_line(settings, said):
    with pytest.raises(UserError, match=said):
        Config(**settings)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k", "0"], "error: --k 0: must be at least 1\n"),
        (["--dataset", "/nowhere"], "error: --dataset /nowhere: neither film_articles nor a folder\n"),
        (["--conversation", "/proc/x/talk.json"], "error: cannot write /proc/x/talk.json: No such file or directory\n"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(words, said, capsys):
    with pytest.raises(SystemExit) as caught:
        command(run_agent.main, RunConfig, ["--question", "x", *words])
    assert caught.value.code == 2 and capsys.readouterr().err == said


def test_the_real_thing_small(tmp_path, capsys, monkeypatch):
    """Both models, a folder of documents, a pipe: built and saved by a process; loaded and brought up to date here."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "owls.txt").write_text("Owls hunt at night. The snowy owl lives in the Arctic tundra.")
    (tmp_path / "docs" / "bees.md").write_text("Bees make honey from nectar.")
    words = ["--dataset", str(tmp_path / "docs"), "--out", str(tmp_path / "index"), "--json"]
    words += ["--answer_tokens", str(SMOKE.answer_tokens), "--threshold", "0.2"]

    done = subprocess.run(
        [sys.executable, "-m", "projects.rag_agent.run_agent", *words],
        input="Where does the snowy owl live?\n2 + 2\n",
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},  # threads that wait leave the cores to others
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert said[0]["sources"][0]["document"] == "owls.txt" and said[1]["answer"] == "4"
    assert len(Conversation.open(tmp_path / "index" / "conversation.json").turns) == 4
    (tmp_path / "docs" / "bees.md").write_text("Bumblebees nest in the ground.")
    (tmp_path / "docs" / "ants.md").write_text("Ants follow trails.")
    monkeypatch.setattr(build, "CACHE", tmp_path / "cache.sqlite")
    code = command(run_agent.main, RunConfig, [*words, "--question", "Where do bumblebees nest?"])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert json.loads(said.out)["sources"][0]["text"] == "Bumblebees nest in the ground."
