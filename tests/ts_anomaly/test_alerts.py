"""Alerts: told once, posted until they are taken, kept over a kill."""

import io
import json
import math
import threading
import time
from dataclasses import replace

import pytest

from projects.ts_anomaly.monitor.alerts import MOST_WAITING, Once, Outbox, Told, Webhook, as_line
from projects.ts_anomaly.monitor.watch import Alert
from shared.errors import UserError


def test_the_same_alert_is_told_once_and_lines_are_json():
    file = io.StringIO()
    told, alert = Told(file), Alert("opened", 1.0, 7, 5.0, 3.0, "high", "x")
    told.tell("cpu", [alert, alert])
    told.tell("cpu", [replace(alert, step=8)])
    assert [json.loads(line)["step"] for line in file.getvalue().splitlines()] == [7, 8]
    assert as_line("cpu", replace(alert, score=math.nan))
    once = Once(2)
    assert [once.first(key) for key in "abab"] == [True, True, False, False]
    assert once.first("c") and once.first("a"), "memory is bounded: the oldest are forgotten"


@pytest.mark.parametrize(
    ("answers", "tries", "sent"), [([503, 0, 200], 3, 1), ([400], 1, 0), ([503] * 4, 4, 0), ([429, 204], 2, 1)]
)
def test_a_webhook_is_tried_again_when_it_may_help(answers, tries, sent):
    left, calls = list(answers), []

    def post(url, body):
        calls.append(body)
        return left.pop(0)

    hook = Webhook("http://127.0.0.1/x", tries=4, first=0.001, post=post)
    hook.send("line")
    hook.close()
    assert (len(calls), hook.sent, hook.lost) == (tries, sent, 1 - sent)


def test_a_webhook_that_hangs_holds_nothing_up():
    gate = threading.Event()
    hook = Webhook("http://127.0.0.1/x", post=lambda *_: (gate.wait(5) and 200) or 200)
    begun = time.monotonic()
    for number in range(3000):
        hook.send(str(number))
    assert hook.lost >= 1900 and time.monotonic() - begun < 4
    gate.set()
    hook.close()
    with pytest.raises(UserError, match="--webhook"):
        Webhook("ftp://x")


def test_what_was_told_before_a_kill_is_not_told_again_until_a_state_is_saved(tmp_path):
    log, alert = tmp_path / "told", Alert("opened", 1.0, 7, 5.0, 3.0, "high", "x")
    for seen in (1, 0):  # the second is who begins again behind a kill
        file = io.StringIO()
        told = Told(file, log=log)
        told.tell("a\nb", [alert])
        assert len(file.getvalue().splitlines()) == seen
    with log.open("a") as half:
        half.write('"a/op')
    told = Told(io.StringIO(), log=log)
    assert told.tell("a\nb", [alert]) == []
    told.kept()
    assert log.read_text() == ""


def test_a_webhook_that_was_down_at_a_kill_is_sent_what_waited(tmp_path):
    outbox, gate, got = tmp_path / "outbox", threading.Event(), []

    def down(*_):
        gate.wait(20)
        return 0

    first = Webhook("http://127.0.0.1/x", post=down, outbox=outbox, tries=1)  # never closed: as if killed
    for number in range(3):
        first.send(f'{{"id": {number}}}')
    text = outbox.read_text()
    gate.set()
    first.close()
    outbox.write_text(text + '{"half')
    second = Webhook("http://127.0.0.1/x", post=lambda _, body: got.append(body) or 200, outbox=outbox)
    second.send("new")
    second.close()
    assert got == [b'{"id": 0}', b'{"id": 1}', b'{"id": 2}', b"new"] and outbox.read_text() == ""


def test_an_outbox_forgets_what_is_done_with_and_stays_short(tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    outbox.add("kept")
    for _ in range(MOST_WAITING):
        for word in "abcd":
            outbox.add(word)
        for _ in "abcd":
            outbox.done()
    assert len((tmp_path / "outbox").read_text().splitlines()) <= 4 * MOST_WAITING + 8
    assert Outbox(tmp_path / "outbox").left() == ["d"], "the oldest went first"
