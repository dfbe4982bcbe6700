"""Figures, devices, seeds, progress and the way a command reports what a person got wrong."""

import random
import shlex
import struct
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from shared import devices, seeding
from shared.errors import INTERRUPTED, UserError, command
from shared.plotting import figure, panels
from shared.progress import table, track


def draw(path, values):
    with figure(path, title="A title", xlabel="step", ylabel="loss (nats)") as axes:
        axes.plot(values)


def test_the_same_data_give_the_same_bytes_at_150_dpi(tmp_path):
    draw(tmp_path / "a.png", [1, 2, 3])
    draw(tmp_path / "deeper" / "b.png", [1, 2, 3])
    draw(tmp_path / "c.png", [1, 2, 4])
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "deeper/b.png", "c.png"))
    assert a == b != c
    place = a.index(b"pHYs") + 4
    assert struct.unpack(">II", a[place : place + 8]) == (5906, 5906)  # pixels a metre: 150 an inch


def test_a_figure_whose_block_fails_is_not_written(tmp_path):
    with pytest.raises(ZeroDivisionError), panels(tmp_path / "a.png", 2, title="", xlabel="", ylabel="") as drawn:
        assert len(drawn) == 2
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_devices():
    assert devices.pick("cpu").type == "cpu"
    assert devices.pick("auto").type in ("cpu", "cuda")
    with pytest.raises(UserError, match=r"--device toaster: .*; use auto or cpu"):
        devices.pick("toaster")
    assert devices.use_all_cores() == torch.get_num_threads() == devices.cores()
    assert set(devices.cpu_flags()) <= set(devices.TELLING_FLAGS)


@pytest.mark.parametrize(("flags", "expected"), [(["avx2"], False), (["avx2", "avx512_bf16"], True), ([], False)])
def test_bfloat16_is_used_where_the_processor_multiplies_it(monkeypatch, flags, expected):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    cpu = torch.device("cpu")
    assert devices.use_bfloat16("auto", cpu) is expected
    assert devices.use_bfloat16("bfloat16", cpu) and not devices.use_bfloat16("float32", cpu)


def test_generators_depend_on_all_their_numbers():
    def first(*numbers):
        return torch.rand(1, generator=seeding.generator(*numbers)).item()

    assert first(1, 2) == first(1, 2)
    assert len({first(*n) for n in ((1, 2), (2, 1), (1,), (12,))}) == 4


def test_the_random_state_brings_every_generator_back():
    seeding.seed_everything(3)
    tensors, rest = seeding.random_state()

    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    expected = draws()
    draws()
    seeding.restore_random_state(tensors, rest)
    assert draws() == expected


@dataclass(frozen=True)
class Config:
    number: int = 1


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("what, where, how"), 2, "error: what, where, how\n"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
    ],
)
def test_a_command_reports_in_one_line(raised, code, said, capsys):
    def main(config):
        raise raised

    with pytest.raises(SystemExit) as ended:
        command(main, Config, [])
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(said)


def test_a_reader_that_goes_away_is_no_traceback():
    code = "from shared.errors import reported\nwith reported():\n while True: print('x' * 1000)"
    piped = f"{sys.executable} -c {shlex.quote(code)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_returns_what_main_returns():
    assert command(lambda config: config.number + 1, Config, ["--number", "4"]) == 5


def test_progress_yields_everything_and_says_little_off_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert list(track("abc", description="letters", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_table_prints_every_cell(capsys):
    table("Title", ["name", "value"], [("a", 0.123456), ("b", 7)])
    said = capsys.readouterr().out
    assert all(word in said for word in ("Title", "name", "value", "0.1235", "7"))
