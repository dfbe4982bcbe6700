"""What is a person's own stays: folders named by mistake, files beside ours. And Ctrl-C ends a run in one line."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from projects.hf_finetune import study
from projects.hf_finetune.training import train as training
from projects.hf_finetune.training.supervisor import OUT_OF_MEMORY, supervise
from shared.errors import UserError
from shared.run_directories import latest_checkpoint


def letter_in(folder):
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("mine")
    return folder / "letter.txt"


def test_a_folder_in_use_is_refused_before_a_process_is_started(config, monkeypatch):
    letter = letter_in(config.out)
    monkeypatch.setattr(training, "supervise", lambda *_: pytest.fail("a process was started"))
    with pytest.raises(UserError, match="in use"):
        training.main(config)
    with pytest.raises(UserError, match=r"config\.json is not there"):
        training.main(replace(config, resume=True))
    assert letter.read_text() == "mine"


def test_a_process_that_starves_before_its_run_began_takes_no_folder_along(config):
    letter = letter_in(config.out)
    with pytest.raises(UserError, match="out of memory with one sentence"):
        supervise(config, lambda _: OUT_OF_MEMORY)
    assert letter.read_text() == "mine"


def test_a_file_among_the_links_of_logs_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOGS", tmp_path)
    (tmp_path / "mine").write_text("mine")
    training.link_from_logs(tmp_path.with_name("mine"))
    assert (tmp_path / "mine").read_text() == "mine"
    for _ in range(2):
        training.link_from_logs(tmp_path.with_name("other"))
    assert (tmp_path / "other").is_symlink()


def test_publishing_removes_only_what_an_earlier_publication_wrote(tmp_path):
    letter = letter_in(tmp_path / "logs")
    (tmp_path / "logs" / "0123456789abcdef.jsonl.xz").write_bytes(b"")
    study.remove_logs(tmp_path / "logs")
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [letter.name]


@pytest.mark.parametrize("moment", ["the child is importing", "the child is training"])
def test_ctrl_c_is_one_line_and_130(config, moment, tmp_path):
    config = replace(config, epochs=40, patience=40)
    told = ("model", "dataset", "text_column", "label_column", "limit", "epochs", "patience", "max_length", "out")
    words = [part for name in told for part in (f"--{name}", str(getattr(config, name)))]
    command = [sys.executable, "-m", "projects.hf_finetune.training.train", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    def orders():
        return list(tmp_path.glob("hf_finetune-*/attempt.json"))

    begun = orders if "importing" in moment else lambda: latest_checkpoint(config.out)
    while not begun():  # the test's own time limit ends a wait for ever
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and to its child
    _, said = process.communicate()
    assert process.returncode == 130
    lines = [line for line in said.splitlines() if line.strip()]
    resumable = f"; --out {config.out} --resume goes on from the last checkpoint" if "training" in moment else ""
    assert lines[-1] == f"interrupted{resumable}"
    assert not any("Traceback" in line or "interrupted" in line for line in lines[:-1])
    assert not list(tmp_path.glob("hf_finetune-*"))
