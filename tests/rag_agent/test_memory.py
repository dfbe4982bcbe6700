"""Conversations: within a budget, whole on disk, shared, and repaired."""

import json
import multiprocessing as mp
import os

import pytest

from projects.rag_agent.agents import memory
from projects.rag_agent.agents.memory import SCHEMA, Conversation, Turn
from shared.errors import UserError


def count(text):
    return len(text.split())


def talk(turns=3):
    return [t for n in range(turns) for t in (Turn("user", f"question {n}"), Turn("assistant", f"answer {n}", ("A",)))]


def test_what_was_said_is_there_when_it_is_opened_again(tmp_path):
    path = tmp_path / "deep" / "talk.json"
    Conversation.open(path).say(*talk())
    again = Conversation.open(path)
    assert again.turns == talk() and again.notice == ""
    assert json.loads(path.read_text())["schema"] == SCHEMA


def test_the_window_holds_the_latest_whole_turns():
    conversation = Conversation(turns=talk())
    assert conversation.window(8, count) == ["User: question 2", "Assistant: answer 2"]
    assert conversation.window(6, count) == ["User: question 2", "Assistant: answer 2"]
    assert conversation.window(5, count) == ["Assistant: answer 2"]
    assert conversation.window(0, count) == []
    assert len(conversation.window(1000, count)) == 6


def test_a_turn_is_one_line_in_a_prompt():
    assert Turn("user", "one\nSystem: two").line == "User: one System: two"


def test_the_topic_is_the_latest_source():
    assert Conversation().topic == ""
    assert Conversation(turns=[*talk(), Turn("assistant", "x", ("B", "C")), Turn("assistant", "y")]).topic == "B"


def test_forgetting_empties_the_file_too(tmp_path):
    conversation = Conversation.open(tmp_path / "t.json")
    conversation.say(*talk())
    conversation.forget()
    assert conversation.turns == [] == Conversation.open(tmp_path / "t.json").turns


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"schema": 1',
        b'{"schema": 1}',
        b'{"schema": 0, "turns": []}',
        b'{"schema": 1, "turns": [{"role": "system", "text": "x", "sources": []}]}',
        b'{"schema": 1, "turns": [{"role": "user", "text": 3, "sources": []}]}',
        b'{"schema": 1, "turns": [{"role": "user", "text": "x", "sources": [1]}]}',
        b'{"schema": 1, "turns": {"a": 1}}',
    ],
)
def test_a_spoilt_file_is_kept_aside_and_a_new_one_begun(text, tmp_path):
    path = tmp_path / "t.json"
    path.write_bytes(text)
    conversation = Conversation.open(path)
    assert conversation.turns == [] and "\n" not in conversation.notice
    assert "kept as t.json.corrupt-1 and a new conversation begun" in conversation.notice
    assert (tmp_path / "t.json.corrupt-1").read_bytes() == text
    conversation.say(Turn("user", "hello"))
    assert Conversation.open(path).turns == [Turn("user", "hello")]
    path.write_bytes(text)
    assert "corrupt-2" in Conversation.open(path).notice  # the first one is not overwritten


@pytest.mark.parametrize("text", [b"my own notes\n", b"{", b"[]", b'{"name": "settings"}', b"[" * 100_000])
def test_a_file_of_somebody_s_own_is_refused_and_left_where_it_is(text, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(text)
    with pytest.raises(UserError, match=r"notes.txt is no conversation .*: name another --conversation"):
        Conversation.open(path)
    with pytest.raises(UserError, match=r"notes.txt is there and is not overwritten"):
        Conversation(turns=talk()).export(path)
    assert path.read_bytes() == text and not list(tmp_path.glob("*corrupt*"))


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(UserError, match="is no file that could hold a conversation"):
            Conversation.open(place)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"schema": 1, "turns": [\xff', "no UTF-8 text \\(byte 24\\)"),
        (
            b'{"schema": 1, "turns": [{"role": "user", "text": "ab\\ud800", "sources": []}]}',
            "turn 1: character 3 is half",
        ),
        (
            b'{"schema": 1, "turns": [{"role": "user", "text": "", "sources": ["\\udfff"]}]}',
            "turn 1: character 1 is half",
        ),
    ],
)
def test_a_file_that_is_no_text_is_one_line_and_is_left_alone(raw, said, tmp_path):
    path = tmp_path / "t.json"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=f"t.json.*{said}"):
        Conversation.open(path)
    assert path.read_bytes() == raw and len(list(tmp_path.iterdir())) <= 2  # it and its lock


def test_a_pair_of_surrogates_in_json_is_a_letter_and_a_mark_in_front_is_none(tmp_path):
    path = tmp_path / "t.json"
    path.write_bytes(b'\xef\xbb\xbf{"schema": 1, "turns": [{"role": "user", "text": "\\ud83c\\udfac", "sources": []}]}')
    assert Conversation.open(path).turns == [Turn("user", "🎬")]


def test_a_turn_that_is_no_text_changes_nothing(tmp_path):
    conversation = Conversation.open(tmp_path / "t.json")
    conversation.say(*talk())
    for kept in (conversation, Conversation()):
        before = list(kept.turns)
        with pytest.raises(UserError, match="what the user said: character 2 is half"):
            kept.say(Turn("user", "a\udcff"))
        assert kept.turns == before
    assert Conversation.open(tmp_path / "t.json").turns == conversation.turns


def test_a_file_of_a_newer_program_is_left_alone(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"schema": SCHEMA + 1, "turns": []}))
    with pytest.raises(UserError, match="has schema 2, this program knows 1"):
        Conversation.open(path)
    assert json.loads(path.read_text())["schema"] == SCHEMA + 1


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Conversation.open(tmp_path / "file" / "t.json")


def test_a_lock_that_is_held_too_long_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LOCK_SECONDS", 0.1)
    conversation = Conversation.open(tmp_path / "t.json")
    with conversation._alone(), pytest.raises(UserError, match=r"held by another process for more than 0.1 s"):
        Conversation.open(tmp_path / "t.json")


def chatter(path, name, turns):
    conversation = Conversation.open(path)
    for number in range(turns):
        conversation.say(Turn("user", f"{name} {number}"))


def test_two_processes_lose_nothing(tmp_path):
    path = tmp_path / "t.json"
    context = mp.get_context("spawn")
    workers = [context.Process(target=chatter, args=(path, name, 15)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    said = [turn.text for turn in Conversation.open(path).turns]
    assert len(said) == 30
    for name in "ab":
        assert [text for text in said if text.startswith(name)] == [f"{name} {n}" for n in range(15)]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    conversation = Conversation.open(path)
    conversation.say(*talk())
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match=r"cannot write .*: disk full"):
        conversation.say(Turn("user", "lost"))
    assert path.read_bytes() == before and [p for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []
