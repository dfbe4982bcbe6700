"""A test that hangs is a failure that shows where, and the tests after it are run."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANGS = """
import threading

def test_that_waits_for_what_never_comes():
    threading.Event().wait()

def test_behind_it():
    pass
"""


def test_every_test_has_a_time_limit():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["timeout"] == 120


def test_a_hang_is_a_failure_with_a_stack_and_the_next_test_runs(tmp_path):
    (tmp_path / "test_hangs.py").write_text(HANGS)
    words = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-o", "timeout=1", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "threading.Event().wait()" in done.stdout and "Timeout (>1.0s)" in done.stdout
