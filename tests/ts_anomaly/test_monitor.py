"""The watch: clocks, pauses, drift, states that go on exactly, files that grow, alerts told once."""

import copy
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.monitor.alerts import MOST_WAITING, Once, Outbox, Told, Webhook, as_line
from projects.ts_anomaly.monitor.drift import DriftGate, distance
from projects.ts_anomaly.monitor.sources import Followed, Place
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import RECENT, SILENCE, Alert, WatchConfig, new_watch, warmed
from shared.errors import UserError
from tests.ts_anomaly.conftest import wave


@pytest.fixture
def watch(detector, series):
    return new_watch(detector, series.known, series.fit, WatchConfig(chance=1e-3, interval=60.0))


def pushed(watch, values, start=0.0, step=60.0):
    points, alerts = [], []
    for place, value in enumerate(values):
        more, told = watch.push(start + step * place, tuple(map(float, np.atleast_1d(value))))
        points += more
        alerts += told
    return points, alerts


def test_a_watch_judges_as_the_detector_does(watch, detector, series):
    values = wave(200, 4)
    points, _ = pushed(watch, values)
    np.testing.assert_allclose([p.score for p in points][10:], detector.score(values)[10:], rtol=1e-4, atol=1e-4)


def test_one_fault_is_one_event_that_opens_at_once_and_closes(watch):
    values = wave(300, 4)
    values[200:210] += 30
    watch.config = replace(watch.config, threshold=15.0)
    _, alerts = pushed(watch, values)
    opened = [a for a in alerts if a.kind == "opened"]
    assert opened[0].step == 200 and len(opened) == 1 and opened[0].detail.startswith("channel 0: ")
    assert any(a.kind == "closed" and a.step == 200 for a in alerts)


def test_clocks_that_repeat_or_jump_back_are_dropped_and_pauses_are_gaps(watch):
    pushed(watch, wave(50))
    assert watch.push(49 * 60.0, [1.0]) == ([], []) and watch.push(0.0, [1.0]) == ([], [])
    points, _ = watch.push(54 * 60.0 + 7, [0.5])
    assert [point.step for point in points] == [50, 51, 52, 53, 54]
    assert all(math.isnan(point.values[0]) and not point.alarm for point in points[:4])
    points, _ = watch.push(10_000_000 * 60.0, [0.5])
    assert len(points) == 1, "a pause of ten million steps is not filled"


def test_many_rows_at_once_are_judged_as_one_by_one(detector, series):
    config = WatchConfig(chance=1e-3, interval=60.0, memory=RECENT, threshold=60.0)
    one, many = (new_watch(copy.deepcopy(detector), series.known, series.fit, config) for _ in range(2))
    values = wave(600, 4)[:, 0]
    values[100:] = 2 * values[100:] + 1  # a new normal: fitted again at step 512
    values[150:153] += 5000
    times = 60.0 * np.arange(600)
    times[400:] += 5 * 60.0  # a pause that is filled
    times[560:] += 10_000 * 60.0  # and one that is not
    times[450] = times[449]  # a clock that stands
    rows = [(float(time), (float(value),)) for time, value in zip(times, values, strict=True)]
    singly, alerts = [], []
    for row in rows:
        points, told = one.push(*row)
        singly += points
        alerts += told
    together, at_once = many.push_many(rows)
    assert one.refits == many.refits == 1 and [p.step for p in singly] == [p.step for p in together]
    np.testing.assert_allclose([p.score for p in together], [p.score for p in singly], rtol=1e-3, atol=1e-3)
    assert [(a.kind, a.step) for a in at_once] == [(a.kind, a.step) for a in alerts]
    assert {"opened", "closed", "refit"} <= {a.kind for a in alerts}
    assert all(math.isnan(p.values[0]) for p in together[400:405]) and not math.isnan(together[405].values[0])


def test_silence_is_told_while_it_lasts_and_once(watch):
    pushed(watch, wave(50))
    last = 49 * 60.0
    assert watch.tick(last + 60 * (SILENCE - 1)) == []
    assert [a.kind for a in watch.tick(last + 60 * (SILENCE + 1))] == ["silence"]
    assert watch.tick(last + 60 * (SILENCE + 5)) == []
    _, alerts = watch.push(last + 60 * (SILENCE + 6), [0.0])
    assert alerts[0].kind == "back"


def test_infinite_huge_and_flat_values_do_not_break_it(watch):
    points, _ = pushed(watch, [math.inf, -math.inf, 1e300, math.nan, 5.0, 5.0, 5.0] * 10)
    assert all(math.isfinite(point.score) for point in points)


def test_a_channel_that_goes_is_told_once():
    rows = wave(300, channels=2)
    from projects.ts_anomaly.models.detectors import PatchTransformer, new_model

    model = new_model(SMOKE)
    watch = warmed(PatchTransformer(model.eval()), rows, WatchConfig(interval=1.0))
    gone = wave(40, 1, channels=2)
    gone[5:, 1] = np.nan
    _, alerts = pushed(watch, gone, step=1.0)
    assert [(a.kind, a.detail) for a in alerts if a.kind == "channel"] == [("channel", "channel 1 has gone")]


# ---------------------------------------------------------------- state


def test_who_is_stopped_goes_on_exactly(watch, trained, tmp_path):
    values = wave(400, 9)
    values[250:260] += 20
    values[120:124] = np.nan
    whole = copy.deepcopy(watch)
    expected, alerts = pushed(whole, values)
    first, before = pushed(watch, values[:255])
    save_watch(watch, tmp_path / "state", place=[1, 2, 3])
    again, extra = load_watch(tmp_path / "state", copy.deepcopy(trained))
    rest, after = pushed(again, values[255:], start=255 * 60.0)
    assert extra == {"place": [1, 2, 3]}
    assert [p.score for p in first + rest] == [p.score for p in expected] or np.array_equal(
        [p.score for p in first + rest], [p.score for p in expected], equal_nan=True
    )
    assert before + after == alerts
    assert again.spot == whole.spot and again.events.current == whole.events.current


def test_a_state_of_other_weights_or_none_is_refused(watch, trained, tmp_path):
    save_watch(watch, tmp_path / "state")
    other = copy.deepcopy(trained)
    next(other.model.parameters()).data.add_(1.0)
    with pytest.raises(UserError, match="other weights"):
        load_watch(tmp_path / "state", other)
    (tmp_path / "state").write_bytes(b"\x00" * 50)
    with pytest.raises(UserError, match="no saved state"):
        load_watch(tmp_path / "state", other)


@pytest.mark.parametrize("broken", ["extra", "spot", "tails", "near", "values", "step and all"])
def test_a_damaged_state_is_one_line(watch, trained, tmp_path, broken):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "state"
    save_watch(watch, path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["watch"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told = ["no table"] if broken == "step and all" else {k: v for k, v in told.items() if k != broken}
    tensors.pop(broken, None)
    save_file(tensors, path, {"watch": json.dumps(told)})
    with pytest.raises(UserError, match="remove it to begin anew") as error:
        load_watch(path, copy.deepcopy(trained))
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- drift


def test_the_gate_opens_for_a_new_normal_and_not_for_an_incident():
    random = np.random.default_rng(0)
    gate = DriftGate(random.standard_normal(1000))
    assert not gate.opens(random.standard_normal(RECENT), 0.0)
    assert gate.opens(1 + random.standard_normal(RECENT), 0.0)
    assert not gate.opens(1 + random.standard_normal(RECENT), 0.5)
    assert distance(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0


def test_a_level_that_moves_is_fitted_again_and_no_longer_alarms(detector, series):
    config = WatchConfig(chance=1e-3, interval=60.0, memory=2 * RECENT)
    watch = new_watch(detector, series.known, series.fit, config)
    moved = wave(5 * RECENT, 5) * 2 + np.linspace(0, 4, 5 * RECENT)[:, None]
    _, alerts = pushed(watch, moved)
    assert any(alert.kind == "refit" for alert in alerts) and watch.refits >= 1
    last = [alert for alert in alerts if alert.kind == "opened" and alert.step > 4 * RECENT]
    still = new_watch(copy.deepcopy(detector), series.known, series.fit, replace(config, memory=0))
    still.detector.fit(series.prefix)
    points, _ = pushed(still, moved)
    assert len(last) <= 10 and still.refits == 0 and len(points) == len(moved)


def test_a_channel_that_has_gone_for_long_stops_new_fits_and_not_the_watch():
    from projects.ts_anomaly.models.detectors import PatchTransformer, new_model

    torch.manual_seed(0)
    watch = warmed(PatchTransformer(new_model(SMOKE).eval()), wave(300, channels=2), WatchConfig(memory=RECENT))
    moved = 5 * wave(3 * RECENT, 1, channels=2) + 8
    moved[:, 1] = np.nan
    before = watch.detector.scaler
    points, alerts = watch.push_many((float(n), tuple(row)) for n, row in enumerate(moved.tolist()))
    assert len(points) == len(moved) and all(math.isfinite(point.score) for point in points)
    assert watch.refits == 0 and watch.detector.scaler is before and not any(a.kind == "refit" for a in alerts)
    watch.values.clear()
    watch.values.extend((value if n % 16 == 0 else math.nan, value) for n, value in enumerate(wave(RECENT)[:, 0]))
    assert not watch.refit(keep=True) and watch.detector.scaler is before, "a value now and then is too little, too"


def test_steps_too_short_for_a_number_are_not_counted(detector, series):
    watch = new_watch(detector, series.known, series.fit, WatchConfig())
    watch.push(0.0, [0.0])
    watch.push(5e-324, [0.0])
    points, _ = watch.push(1e12, [0.0])
    assert len(points) == 1 and math.isfinite(points[0].time)


# ---------------------------------------------------------------- files


def rows_of(followed, most=1000):
    found = []
    for row in followed.rows(pause=lambda: None):
        if row is None or len(found) >= most:
            break
        found.append(row.values[0])
    return found


def test_a_file_is_followed_as_it_grows_is_cut_and_is_turned_over(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("t,v\n0,1\n1,2\n2,")
    followed = Followed(path, follow=True)
    rows = followed.rows(pause=lambda: None)

    def until_nothing():
        return [row.values[0] for row in iter(lambda: next(rows), None)]

    assert until_nothing() == [1.0, 2.0], "a line without its end waits"
    with path.open("a") as file:
        file.write("3\n3,4\n")
    assert until_nothing() == [3.0, 4.0]
    os.replace(path, tmp_path / "old")
    path.write_text("t,v\n4,5\n")
    assert until_nothing() == [5.0]
    path.write_text("t,v\n")
    assert until_nothing() == []


def test_a_file_goes_on_where_it_was_left(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("t,v\n" + "".join(f"{n},{n}\n" for n in range(10)))
    followed = Followed(path)
    first = [row.values[0] for _, row in zip(range(4), followed.rows(), strict=False)]
    again = Followed(path, Place(*vars(followed.place).values()))
    assert first + rows_of(again) == [float(n) for n in range(10)]


# ---------------------------------------------------------------- alerts


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


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from projects.ts_anomaly import train

    folder = tmp_path_factory.mktemp("run")
    path = folder / "wave.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in wave(1500)[:, 0]))
    train.main(replace(SMOKE, dataset=str(path), out=folder / "run"))
    return folder / "run"


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
    values = wave(600, 3)[:, 0]
    values[285:290] += 50
    values[500:505] += 50
    lines = ["t,v", *(f"{60 * n},{value}" for n, value in enumerate(values))]
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
    values = wave(400, 3)[:, 0]
    values[[100, 200, 300]] += 50
    lines = ["t,v", *(f"{60 * n},{value}" for n, value in enumerate(values))]
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
