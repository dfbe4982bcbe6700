"""What people send all the same: too much, wrongly encoded, markup, twice, unseen marks, endless questions."""

import pytest

from projects.qa_api.index.words import WordIndex, visible
from tests.qa_api.conftest import DOCUMENTS


def test_ten_megabytes_are_refused_before_they_are_read_announced_or_not(client, monkeypatch):
    read = []

    def chunks():
        for _ in range(160):
            read.append(65_536)
            yield b"x" * 65_536

    monkeypatch.setattr("projects.qa_api.server.routes.documents.Document", None)
    announced = client.put("/v1/documents/big", content=chunks(), headers={"Content-Length": str(160 * 65_536)})
    assert announced.status_code == 413 and announced.headers["connection"] == "close"
    assert client.put("/v1/documents/big", content=chunks()).status_code == 413
    assert client.post("/v1/ask", content=b"x" * 100_000).status_code == 413


@pytest.mark.parametrize(
    "body",
    ['{"title": "Peñón", "text": "Año"}'.encode("latin-1"),
     b'{"title": "x", "text": "\\ud800"}', b'{"title": "\\udfff", "text": "x"}', b"\xff\xfe", b"", b"[" * 5_000,
     b'{"title": "x", "text": 1e999}'],
)  # fmt: skip
def test_what_is_not_text_is_refused_and_changes_nothing(client, small, body):
    answer = client.put("/v1/documents/x", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"
    assert small.store.count("a") == 0


def test_json_in_utf_16_is_read_as_what_it_says(client):
    body = '{"title": "Peñón", "text": "Año 🌞"}'.encode("utf-16")
    assert client.put("/v1/documents/x", content=body, headers={"Content-Type": "application/json"}).status_code == 201
    assert client.get("/v1/documents/x").json()["text"] == "Año 🌞"


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script> & <b>bold</b>", "%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj", "nul \0 inside",
     "line\r\nline\rline\n", "e\u0301 and é stay apart", "\u202eright to left\u202c", "🌞" * 50],
)  # fmt: skip
def test_markup_and_control_characters_are_data_kept_to_the_byte(client, text):
    assert client.put("/v1/documents/x", json={"title": "X", "text": text}).status_code == 201
    told = client.get("/v1/documents/x")
    assert told.json()["text"] == text and told.headers["content-type"] == "application/json"
    answer = client.post("/v1/ask", json={"question": "What is X?"}).json()
    if answer["source"]:
        assert text[answer["source"]["start"] : answer["source"]["stop"]] == answer["text"]


def test_of_two_of_one_id_in_one_request_the_last_is_kept_and_both_are_told_of(client):
    many = [{"id": "x", "title": "X", "text": f"Text number {n}."} for n in (1, 2, 2)]
    items = client.post("/v1/documents", json={"documents": many}).json()["items"]
    assert [each["status"] for each in items] == ["created", "kept", "kept"]
    assert items[0]["etag"] != items[1]["etag"] == items[2]["etag"]
    assert client.get("/v1/documents/x").json()["text"] == "Text number 2."


def test_marks_that_nobody_sees_split_no_word_and_other_scripts_are_found(client):
    told = {"title": "Zero", "text": "Val\u200blet\u00adta has a Greek mu\u200dseum: μουσείο, музей."}
    client.put("/v1/documents/zero", json=told)
    client.put("/v1/documents/sun", json={"title": "Sun", "text": DOCUMENTS[0].text})
    for words in ("Valletta", "V\u200ballet\u2060ta", "музей", "ΜΟΥΣΕΊΟ"):
        index = WordIndex()
        index.put(each for each in client.app.state.service.answerer("a").library.snapshot.documents.values())
        index.commit()
        assert [each for each, _ in index.search(words, 5)] == ["zero"], words
    assert visible("a\u200bb\ufeffc") == "abc" and visible("naïve 🌞") == "naïve 🌞"
    assert client.get("/v1/documents/zero").json()["text"] == told["text"], "what is kept is as it came"


def test_a_question_of_five_thousand_words_is_refused_in_a_line(client):
    answer = client.post("/v1/ask", json={"question": "why " * 5_000})
    assert answer.status_code == 422 and answer.json()["reasons"][0]["where"] == "body.question"
    assert client.get("/v1/search", params={"q": "why " * 5_000}).status_code == 422
    assert client.post("/v1/ask", json={"question": "why " * 499}).status_code == 200


@pytest.mark.parametrize("question", ["", "   ", "¿?", "\u200b\u200b", "🌞", "…" * 100])
def test_a_question_of_nothing_is_answered_with_nothing(client, question):
    client.put("/v1/documents/sun", json={"title": "Sun", "text": DOCUMENTS[0].text})
    answer = client.post("/v1/ask", json={"question": question})
    assert answer.status_code == 200 and answer.json()["kind"] in ("none", "answer")
    assert question.strip(" \u200b¿?") or answer.json()["kind"] == "none"


def test_a_token_that_is_no_token_is_refused(client):
    for token in ("x", "." * 100, "é", "a" * 4_001, "eyJ9.eyJ9"):
        answer = client.post("/v1/ask", json={"question": "", "token": token, "document": "x"})
        assert answer.status_code == 422
