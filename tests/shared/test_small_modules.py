"""Figures, devices, seeds, progress and the way a command reports what a person got wrong."""

import logging
import random
import shlex
import struct
import subprocess
import sys
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from shared import devices, seeding
from shared.assets.quiet import silenced
from shared.errors import INTERRUPTED, UserError, command
from shared.plotting import figure, in_spanish, label_ends, panels, spread
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


WORDS = '[all]\n"step" = "paso"\n[a]\n"A title" = "Un título"\n"loss" = "pérdida"\n"one" = "uno"\n"two" = "dos"\n'


def test_a_figure_is_written_in_both_languages_by_one_call(tmp_path):
    (tmp_path / "words.toml").write_text(WORDS)

    def draw_two(words):
        with panels(tmp_path / "a.png", 2, title="A title", xlabel="step", ylabel="loss (nats)", words=words) as drawn:
            drawn[0].barh(["one", "two"], [1, 2], label="loss")
            drawn[1].set_xticks([0, 1], labels=["one", "2"])
            drawn[1].legend(*drawn[0].get_legend_handles_labels(), title="step")
            yield drawn

    (drawn,) = draw_two(tmp_path / "words.toml")
    texts = [
        [label.get_text() for label in labels] for labels in (drawn[0].get_yticklabels(), drawn[1].get_xticklabels())
    ]
    assert texts == [["uno", "dos"], ["uno", "2"]]
    assert [axes.get_xlabel() for axes in drawn] == ["paso", "paso"] and drawn[0].get_ylabel() == "pérdida (nats)"
    legend = drawn[1].get_legend()
    assert (legend.get_title().get_text(), legend.get_texts()[0].get_text()) == ("paso", "pérdida")
    english, spanish = (tmp_path / name for name in ("a.png", "a.es.png"))
    assert english.read_bytes() != spanish.read_bytes()
    before = english.read_bytes()
    assert list(draw_two(None)) and english.read_bytes() == before, "the English one does not know of the other"


def test_a_text_without_spanish_is_refused():
    phrases = {"loss": "pérdida", "loss, rate": "pérdida con tasa"}
    assert in_spanish("loss, rate 0.1", phrases) == "pérdida con tasa 0.1", "the longest phrase first"
    assert in_spanish("r = 4", phrases) == "r = 4" and in_spanish("glossy loss", phrases) == "glossy pérdida"
    with pytest.raises(ValueError, match="no Spanish for 'gloss'"):
        in_spanish("gloss", phrases)


def test_names_at_the_ends_of_lines_do_not_overlap(tmp_path):
    with figure(tmp_path / "a.png", title="", xlabel="", ylabel="") as axes:
        for name, end in (("a", 1.0), ("b", 1.01), ("c", 5.0)):
            axes.plot([0, 1], [0, end], label=name)
        axes.plot([], [], label="nothing")  # a run that was too short for a point
        label_ends(axes)
        heights = {text.get_text(): text.xy[1] for text in axes.texts}
    assert set(heights) == {"a", "b", "c"} and heights["b"] - heights["a"] >= 0.03 and heights["c"] > heights["b"]
    assert spread([0.1, 0.1, 0.1, 0.9], 0.2) == pytest.approx([-0.1, 0.1, 0.3, 0.9])


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


# ---------------------------------------------------------------- libraries that tell too much


def test_silenced_keeps_notices_off_the_screen_and_gives_the_level_back_after_a_failure(capfd):
    before = logging.root.manager.disable
    with pytest.raises(ValueError, match="no graph"), silenced():  # what comes before it is the point
        logging.getLogger("quantiser").warning("prepare the graph first")
        warnings.warn("traced", UserWarning, stacklevel=1)
        print("exported")
        raise ValueError("no graph")
    assert capfd.readouterr() == ("", "") and logging.root.manager.disable == before
