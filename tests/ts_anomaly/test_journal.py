"""What was accepted: read again after a kill to the same bits, with its alerts handed over, half lines and damage."""

import copy
import itertools
import json
import math
from dataclasses import replace

import pytest

from projects.ts_anomaly.data.reading import Row
from projects.ts_anomaly.monitor import alerts
from projects.ts_anomaly.monitor.alerts import identity
from projects.ts_anomaly.server.journal import Journal
from projects.ts_anomaly.server.service import REDRAWN, Monitor
from shared.errors import UserError
from tests.ts_anomaly.conftest import faulty


def test_a_monitor_that_begins_again_is_as_one_that_never_stopped(trained, given_settings, tmp_path):
    rows = [Row(60.0 * n, (v,)) for n, v in enumerate(faulty(900))]
    whole = Monitor(copy.deepcopy(trained), replace(given_settings, data=tmp_path / "whole"))
    for at, stop in itertools.pairwise((0, 100, 300, 620, 900)):  # each time killed: nothing is closed
        whole.push("cpu", rows[at:stop])
        Monitor(copy.deepcopy(trained), given_settings).push("cpu", rows[at:stop])
        if at == 300:
            Monitor(copy.deepcopy(trained), given_settings).close()
    again = Monitor(copy.deepcopy(trained), given_settings)
    one, other = again.series["cpu"], whole.series["cpu"]
    assert one.watch.step == other.watch.step and one.watch.spot == other.watch.spot
    assert list(one.alerts) == list(other.alerts)
    scores = [point.score for point in other.points][-len(one.points) :]
    assert [point.score for point in one.points] == pytest.approx(scores, nan_ok=True, rel=0, abs=0)


def test_who_begins_again_still_shows_what_was_judged_and_told(trained, given_settings):
    monitor = Monitor(copy.deepcopy(trained), given_settings)
    monitor.push("cpu", [Row(60.0 * n, (v,)) for n, v in enumerate(faulty(900))])
    monitor.close()
    again = Monitor(copy.deepcopy(trained), given_settings)
    one, other = monitor.series["cpu"], again.series["cpu"]
    assert other.told == one.told > 0 and list(other.points) == list(one.points)[-REDRAWN:]


def test_half_a_line_was_never_acknowledged(tmp_path):
    path = tmp_path / "j"
    path.write_text("[[0.0, 1.0], [60.0, null]]\n[[120.0, 3.0]]\n[[180.0, 3.0], [24")
    journal = Journal(path)
    pieces = list(journal.read())
    assert [[row.time for row in rows] for rows in pieces] == [[0, 60], [120]] and journal.rows == 3
    assert math.isnan(pieces[0][1].values[0])
    journal.append(pieces[0][:1])
    journal.append([])
    assert [len(rows) for rows in Journal(path).read()] == [2, 1, 1]


def test_a_line_in_the_middle_that_is_none_of_ours_is_one_line(tmp_path):
    path = tmp_path / "j"
    for damaged in ("[[0.0, 1.0], [6", "7", '[["a", 1.0]]', "[[0.0, {}]]", "\x00"):
        path.write_text(f"[[0.0, 1.0]]\n{damaged}\n[[60.0, 1.0]]\n")
        with pytest.raises(UserError, match="line 2: is damaged"):
            list(Journal(path).read())


def test_a_mark_behind_rows_says_that_their_alerts_were_handed_over(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append([Row(0.0, (1.0,))])
    journal.told()
    journal.append([Row(60.0, (2.0,))])
    again = Journal(tmp_path / "j")
    assert [len(rows) for rows in again.read()] == [1, 0, 1] and again.rows == 2
    journal.path.unlink()
    journal.path.mkdir()  # the disk takes no mark: the alert is sent once more, and nothing ends
    journal.told()


def test_alerts_of_a_push_that_was_not_answered_are_handed_over_once(trained, given_settings, tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(alerts, "_post", lambda _, body: got.append(json.loads(body)["id"]) or 200)
    hooked = replace(given_settings, webhook="http://127.0.0.1:9/")
    rows = [Row(60.0 * n, (v,)) for n, v in enumerate(faulty(400))]

    def begun():
        return Monitor(copy.deepcopy(trained), hooked)

    def killed(*_):
        raise RuntimeError("killed")

    first = begun()
    first.push("disk", rows)  # its alerts are told long before
    first.push("cpu", rows[:340])
    first._webhook.close()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(first, "_tell", killed)
        first.push("cpu", rows[340:])
    before = list(got)
    for _ in range(2):  # the first hands over, the second has nothing to
        begun()._webhook.close()
    whole = Monitor(copy.deepcopy(trained), replace(given_settings, data=tmp_path / "whole"))
    whole.push("cpu", rows[:340])
    whole.push("cpu", rows[340:])
    late = [identity("cpu", alert) for alert in whole.series["cpu"].alerts if alert.step >= 340 - 127]
    assert late and got == before + late and len(set(got)) == len(got)
