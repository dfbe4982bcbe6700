"""Debian's PostgreSQL for tests: a server of our own in a temporary folder, which only this machine's sockets reach."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg

ABSENT = "Debian's postgresql is not installed"
SOMEBODY = "postgres"  # Debian's own user; PostgreSQL refuses to be served by root


def binaries():
    """Where PostgreSQL's programs are; Debian puts them on nobody's path. None if they are nowhere."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)]
    if (there := shutil.which("initdb")) is not None:
        found.append(Path(there).resolve().parent)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def usable():
    """Whether a server can be started: its programs are there, and somebody who is not root."""
    return binaries() is not None and (os.geteuid() != 0 or any(each.pw_name == SOMEBODY for each in pwd.getpwall()))


@contextmanager
def server():
    """Yields a function that makes an empty database and gives its URL."""
    folder = Path(tempfile.mkdtemp(prefix="ws_chat-", dir="/tmp"))
    other = {}
    if os.geteuid() == 0:
        shutil.chown(folder, SOMEBODY)
        other = {"user": SOMEBODY, "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **other}
    data = folder / "data"
    made = ["--auth=trust", "--username=chat", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([binaries() / "initdb", "-D", data, *made], check=True, **quiet)
    words = [
        binaries() / "postgres",
        "-D",
        data,
        "-k",
        folder,
        "-c",
        "listen_addresses=",
        "-c",
        "log_min_messages=fatal",
    ]
    try:
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, **quiet) as process:
            admin = waited(f"postgresql://chat@/postgres?host={folder}", process)
            try:
                yield lambda: created(admin, folder)
            finally:
                admin.close()
                process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
                process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def waited(url, process):
    while True:
        try:
            return psycopg.connect(url, autocommit=True)
        except psycopg.OperationalError:
            assert process.poll() is None, "PostgreSQL did not start"
            time.sleep(0.02)


def created(admin, folder):
    number = admin.execute("SELECT count(*) FROM pg_database").fetchone()[0]
    admin.execute(f"CREATE DATABASE test_{number} TEMPLATE template0")
    return f"postgresql://chat@/test_{number}?host={folder}"
