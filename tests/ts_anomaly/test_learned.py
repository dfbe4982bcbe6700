"""What a run learned from: a file that grows is read as it was, one that has changed is refused; stops are gone on
with.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from projects.ts_anomaly import learned as kept
from projects.ts_anomaly import train
from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.detect import fresh, patch_detector
from projects.ts_anomaly.learned import learned
from projects.ts_anomaly.monitor.watch import WatchConfig
from shared.errors import UserError
from shared.fingerprint import Verdict, verify
from tests.ts_anomaly.conftest import wave


@pytest.fixture
def own(tmp_path):
    """A file, its last line half written, and a run that was trained on it."""
    path = tmp_path / "wave.csv"
    path.write_text("t,v\n" + "".join(f"{60 * n},{value}\n" for n, value in enumerate(wave(800)[:, 0])) + "48000,0.1")
    train.main(replace(SMOKE, dataset=str(path), out=tmp_path / "run"))
    return path, tmp_path / "run"


def threshold(run):
    return fresh(*patch_detector(run), WatchConfig(chance=1e-3)).level


def test_a_file_that_has_grown_gives_the_threshold_that_it_gave_before(own):
    path, run = own
    before, series = threshold(run), load_series(str(path))
    with path.open("a") as file:  # the half line is made whole, and what follows would be validated on
        file.write("5e5\n" + "".join(f"{60 * n},{9 * (n % 7)}\n" for n in range(801, 1300)))
    assert len(load_series(str(path)).values) == 1300 and threshold(run) == before
    again = learned(run).series()
    np.testing.assert_array_equal(again.values, series.values)
    assert (again.fit, again.validation) == (series.fit, series.validation)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("60,", "60,9", 1), "is not what it was when this run was trained"),
        (lambda text: text[:-20], "is not what it was when this run was trained"),
        (None, "no such file"),
    ],
    ids=["changed", "cut", "gone"],
)
def test_a_file_that_is_not_what_it_was_is_one_line(own, change, says):
    path, run = own
    path.write_text(change(path.read_text())) if change else path.unlink()
    with pytest.raises(UserError, match=says) as error:
        threshold(run)
    assert str(error.value).startswith("the first threshold comes from") and "\n" not in str(error.value)


def test_an_embedded_series_that_is_another_now_is_refused(tmp_path, monkeypatch):
    train.main(replace(SMOKE, dataset="mitdb", out=tmp_path / "run"))
    assert np.isfinite(threshold(tmp_path / "run"))
    other = replace(load_series("mitdb"), fit=2000)
    monkeypatch.setattr(kept, "load_series", lambda *_: other)
    with pytest.raises(UserError, match="--dataset mitdb is not what it was"):
        threshold(tmp_path / "run")


# ---------------------------------------------------------------- stopped


def lines_of(run):
    told = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    bodies = [
        {key: value for key, value in each.items() if key in ("step", "loss", "validation_auc_pr")} for each in told
    ]
    return [each for each in bodies if each]


@pytest.mark.parametrize("arm", ["contrast", "masked", "association"])
@pytest.mark.parametrize("stop", [6, 11, "validation"])
def test_a_training_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, arm, stop):
    path = tmp_path / "wave.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in wave(900)[:, 0]))
    monkeypatch.setattr(train, "EVERY", 4)
    config = replace(SMOKE, dataset=str(path), arm=arm)
    straight = train.main(replace(config, out=tmp_path / "straight"))
    run, backward, count = tmp_path / "run", train._backward, []

    def stopped(*told):
        count.append(1)
        if len(count) == stop:
            raise KeyboardInterrupt
        return backward(*told)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as interrupt:
        patch.setattr(train, "_backward", stopped)
        if stop == "validation":
            patch.setattr(train, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        train.main(replace(config, out=run))
    if stop != "validation":
        assert "--resume goes on" in interrupt.value.__notes__[0]
        with pytest.raises(UserError, match=r"its training was stopped; go on with it"):
            train.load_detector(run)
    with path.open("a") as file:
        file.write("7\n" * 200)  # it has grown meanwhile
    assert train.main(replace(config, out=run, resume=True)) == straight
    assert {finding.verdict for finding in verify(run)} == {Verdict.UNTRUSTED_DEMO}
    (one,), (other,) = (list((each / "checkpoints").iterdir()) for each in (run, tmp_path / "straight"))
    assert one.name == other.name == "step-000012"
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert lines_of(run) == lines_of(tmp_path / "straight")
    assert (run / "detector.json").read_text() == (tmp_path / "straight" / "detector.json").read_text()
