"""What a client may not send: 422 or 413, with the place of the fault."""

import pytest

from tests.onnx_serving.serving import post


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/generate", {}),
        ("/generate", {"prompt": ""}),
        ("/generate", {"prompt": 5}),
        ("/generate", {"prompt": None}),
        ("/generate", {"prompt": "x" * 16385}),
        ("/generate", {"prompt": "x", "max_new_tokens": 0}),
        ("/generate", {"prompt": "x", "max_new_tokens": 257}),
        ("/generate", {"prompt": "x", "max_new_tokens": 1.5}),
        ("/generate", {"prompt": "x", "temperature": -1}),
        ("/generate", {"prompt": "x", "top_p": 0}),
        ("/generate", {"prompt": "x", "seed": -1}),
        ("/generate", {"prompt": "x", "temprature": 1}),
        ("/generate", []),
        ("/generate/stream", {"prompt": ""}),
        ("/qa", {"question": "x"}),
        ("/qa", {"question": " ", "context": "x"}),
        ("/qa", {"question": "\x1f", "context": "x"}),
        ("/qa", {"question": "x", "context": "\r\n"}),
        ("/qa", {"question": "why " * 100, "context": "x"}),
        ("/qa", {"question": "x", "context": "x", "top_k": 11}),
    ],
)
def test_violations_are_422_and_say_where(models, route, body):
    reply = post(models, route, json=body)
    assert reply.status_code == 422
    assert all(problem["loc"] and problem["msg"] for problem in reply.json()["detail"])


def test_a_prompt_of_ten_thousand_tokens(models):
    reply = post(models, "/generate", json={"prompt": "a" * 10_000})
    assert reply.status_code == 422 and "10000 tokens, and at most 300" in reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}',
        b'{"prompt": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"prompt": "\xff\xfe"}',
        b"\x80",
        b"",
        b"{",
        b"nul",
        b'{"prompt": "x", "seed": 1e400}',
        b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b"[" * 20000,
    ],
)
def test_bytes_that_are_no_request(models, content):
    for route in ("/generate", "/qa"):
        reply = post(models, route, content=content, headers={"content-type": "application/json"})
        assert reply.status_code == 422, (reply.status_code, reply.text)
        assert reply.json()["detail"]


def test_what_is_no_utf8_is_told_by_its_byte(models):
    reply = post(models, "/generate", content=b'{"prompt": "\xff\xfe"}')
    assert reply.status_code == 422 and "no UTF-8 text (byte 12)" in reply.json()["detail"][0]["msg"]


def test_a_body_over_the_limit(models):
    reply = post(models, "/generate", content=b'{"prompt": "' + b"x" * 70_000 + b'"}')
    assert reply.status_code == 413 and "65536" in reply.json()["detail"][0]["msg"]

    async def pieces():
        for _ in range(100):
            yield b"x" * 1000

    assert post(models, "/generate", content=pieces()).status_code == 413
