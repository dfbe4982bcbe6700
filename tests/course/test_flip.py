"""The bit that a film flips: one bit of the file that is named, and only of a run that is intact."""

import pytest

from shared.course.film.flip import flip, main
from shared.errors import UserError
from shared.files import write_text
from shared.fingerprint.keys import team_key
from shared.fingerprint.manifest import seal_directory
from shared.fingerprint.verify import verify


@pytest.fixture
def run(tmp_path):
    """Two sealed folders, of which the newer one is flipped."""
    for step in ("step-1", "step-2"):
        write_text(tmp_path / "run" / step / "w.txt", "weights")
        seal_directory(tmp_path / "run" / step, {"run": step, "step": int(step[-1])}, team_key())
    return tmp_path / "run"


def test_one_bit_is_flipped_and_found(run):
    assert all(finding.verdict.unchanged for finding in verify(run))
    assert flip(run, "*/w.txt") == run / "step-2" / "w.txt"
    assert (run / "step-2" / "w.txt").read_bytes() == b"weightr" and (
        run / "step-1" / "w.txt"
    ).read_bytes() == b"weights"
    assert {finding.verdict.value for finding in verify(run)} == {"UNTRUSTED-DEMO", "TAMPERED"}


def test_what_is_tampered_with_already_is_left_alone(run):
    flip(run, "*/w.txt")
    with pytest.raises(UserError, match="TAMPERED already"):
        flip(run, "step-1/w.txt")
    assert (run / "step-1" / "w.txt").read_bytes() == b"weights"


def test_nothing_to_flip_ends_in_one_line(run, capsys):
    with pytest.raises(UserError, match=r"no file with bytes in it matches \*/v"):
        flip(run, "*/v")
    for words in ([], [str(run)], [str(run / "nowhere"), "*"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert capsys.readouterr().err.count("\n") == 1
