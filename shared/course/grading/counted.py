"""`PYTHONPATH=<folder> python -P counted.py <descriptor> <folder> <target> [options]`: run tests, and count them.

What is graded runs in a worker (pytest-xdist's); this process imports nothing of it, not even its conftest files, hears
from the worker how each test ended, and writes the counts to a pipe that the worker does not inherit. Printing "999
passed" and leaving, or writing a report file, gains nothing. What remains: code that speaks the workers' protocol.

Standard library, pytest and pytest-xdist only: it is started by path, and the graded copy of shared/ is never imported.
"""

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import xdist.dsession  # before the graded folder can be found by anybody
import xdist.plugin  # noqa: F401

MOST_NAMED = 5  # of the tests that failed
# Whoever makes errors of warnings would make one of this: that xdist, which is none of theirs, was imported above.
QUIET = "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"
PR_SET_DUMPABLE = 4  # 0: other processes of the same user can open no descriptor of this one through /proc


class Counter:
    """Counts what the worker says, test by test."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.ended: dict[str, str] = {}
        self.broken: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Give the worker its tests now: as an argument, their conftest files would have been imported here."""
        given = config.invocation_params
        words = [self.target, *given.args[1:]]
        config.invocation_params = pytest.Config.InvocationParams(args=words, plugins=None, dir=given.dir)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test fails with any of its parts; one that was only skipped does not count."""
        if report.failed:
            self.ended[report.nodeid] = "failed"
        elif report.when == "call" and report.passed:
            self.ended.setdefault(report.nodeid, "passed")

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be collected is a failure."""
        if report.failed:
            self.broken.append(report.nodeid)


def main(descriptor: int, folder: Path, target: str, options: list[str]) -> int:
    """Run and count. Returns pytest's exit code."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
    os.set_inheritable(descriptor, False)
    counter = Counter(target)
    with tempfile.TemporaryDirectory() as empty:
        words = [empty, "-n", "1", "--max-worker-restart=0", f"--rootdir={folder}", f"--confcutdir={folder}"]
        words += [*_configuration(folder), "-W", QUIET, "-q", "--no-header", *options]
        code = pytest.main(words, plugins=[counter])
    failed = [*(test for test, how in counter.ended.items() if how == "failed"), *dict.fromkeys(counter.broken)]
    passed = list(counter.ended.values()).count("passed")
    said = {"code": int(code), "passed": passed, "failed": len(failed), "names": failed[:MOST_NAMED]}
    os.write(descriptor, json.dumps(said).encode())
    return int(code)


def _configuration(folder: Path) -> list[str]:
    path = folder / "pyproject.toml"
    return ["-c", str(path)] if path.is_file() else ["-c", os.devnull]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
