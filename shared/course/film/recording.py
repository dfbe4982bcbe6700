"""Types a screenplay's commands into a real shell on a pseudo-terminal and records what comes back.

It never sleeps to wait: every step ends at the shell's prompt or at a pattern, and fails at its time limit. Time in the
recording is the real one, but for the typing, whose keys are spread as a person's would be.
"""

import contextlib
import os
import random
import re
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.course.film.cast import Cast, Event
from shared.course.film.screenplay import Screenplay, Step
from shared.course.project import Project
from shared.errors import UserError

WIDTH, HEIGHT = 120, 27  # cells: as wide as our code; at the size that rendering.py draws them they fill 1080p
PROMPT = "\x1b[1;32m$\x1b[0m "
CLEAR = "\x1b[H\x1b[2J"
GRACE_SECONDS = 1.0  # between the words waited for and the prompt, before Ctrl-C is pressed
ECHO_SECONDS = 5.0  # a key whose echo takes longer means that the shell is not reading
LAST_WORDS = 300  # characters of output that an error quotes
KEPT = (
    "LANG",
    "LC_ALL",
    "CC0C2_CACHE",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "TOKENIZERS_PARALLELISM",
    "LD_LIBRARY_PATH",
)
INDEX = re.compile(r"Looking in indexes|index-url|/simple/", re.IGNORECASE)
SECRET = re.compile(r"KEY|TOKEN(?!IZERS)|SECRET|PASSWORD", re.IGNORECASE)


class Shell:
    """A shell on a pseudo-terminal, with the clock of the recording; use it as a context manager.

    Args:
        folder: Where it starts.
        width: Columns of the terminal.
        height: Lines of the terminal.
        seed: Fixes the typing's rhythm.
    """

    def __init__(self, folder: Path, *, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> None:
        self.events: list[Event] = []
        self.nonce = secrets.token_hex(8)  # output cannot pass for the shell's mark without knowing it
        self.mark = re.compile(rb"\x1b\]133;D;" + self.nonce.encode() + rb";(\d+)\x07")
        self._rhythm = random.Random(seed)
        self._started, self._added = time.monotonic(), 0.0
        self._unshown, self._seen, self._codes = b"", "", list[int]()
        self._scratch = tempfile.TemporaryDirectory(prefix="demo-home-")
        self._spawn(folder, width, height)

    def _spawn(self, folder: Path, width: int, height: int) -> None:
        import fcntl
        import pty
        import termios

        home = Path(self._scratch.name)
        (home / "rc").write_text(
            f"PS1='\\[\\e[1;32m\\]$\\[\\e[0m\\] '\n"
            f"PROMPT_COMMAND='printf \"\\033]133;D;{self.nonce};%d\\007\" $?'\nunset HISTFILE\n"
        )
        self._terminal, far_end = pty.openpty()
        fcntl.ioctl(far_end, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--noediting", "--rcfile", str(home / "rc"), "-i"],
            stdin=far_end,
            stdout=far_end,
            stderr=far_end,
            cwd=folder,
            env=clean_environment(home),
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(far_end)

    @property
    def now(self) -> float:
        """Seconds of the recording."""
        return time.monotonic() - self._started + self._added

    def note(self, label: str) -> None:
        """Write a marker."""
        self.events.append(Event(self.now, "m", label))

    def show(self, data: str) -> None:
        """Write output of our own: a cleared screen with its prompt."""
        self.events.append(Event(self.now, "o", data))

    def press(self, text: str) -> None:
        """Send a command key by key, each after the echo of the one before.

        Raises:
            UserError: If the shell does not echo.
        """
        self._seen = ""
        for key in text:
            self._added += self._rhythm.uniform(0.03, 0.09) + (0.06 if key == " " else 0.0)
            os.write(self._terminal, key.encode())
            self._wait(partial(self._shows, key), ECHO_SECONDS, f"no echo of {key!r}")
            self._seen = self._seen.partition(key)[2]

    def _shows(self, text: str) -> bool:
        return text in self._seen

    def enter(self) -> None:
        """Press Enter; what was printed before counts no longer."""
        self._added += 0.4
        self._seen, self._codes = "", []
        os.write(self._terminal, b"\n")

    def interrupt(self, limit: float) -> None:
        """Press Ctrl-C until the command has ended: a shell that is just starting a program may miss the first.

        Raises:
            UserError: If it goes on all the same.
        """
        deadline = time.monotonic() + limit
        while self.busy:
            if time.monotonic() > deadline:
                raise UserError(f"goes on after Ctrl-C for {limit:g} s; last: {self.last_words()!r}")
            os.write(self._terminal, b"\x03")
            with contextlib.suppress(UserError):
                self._wait(lambda: self._codes, 1.0, "not yet")

    @property
    def busy(self) -> bool:
        """Whether the command still runs in the foreground."""
        return not self._codes

    @property
    def output(self) -> str:
        """What was printed since Enter; the first line is the command's own echo and left out."""
        return self._seen.partition("\n")[2]

    def wait_for_prompt(self, limit: float) -> int:
        """Read until the command has ended and the prompt is back. Returns its exit code.

        Raises:
            UserError: At the time limit, or if the shell is gone.
        """
        self._wait(lambda: self._codes and PROMPT in self._seen, limit, f"not done after {limit:g} s")
        return self._codes[0]

    def ends_within(self, seconds: float) -> bool:
        """Whether the command ends by itself; one whose last words were waited for does, a moment later."""
        try:
            self.wait_for_prompt(seconds)
        except UserError:  # still running, or the shell is gone, which the next wait reports
            return False
        return True

    def wait_for(self, pattern: str, limit: float) -> None:
        """Read until the pattern was printed since Enter (by a job in the background too).

        Raises:
            UserError: As `wait_for_prompt`.
        """
        compiled = re.compile(pattern)
        self._wait(
            lambda: compiled.search(self.output),
            limit,
            f"{pattern!r} not printed after {limit:g} s",
        )

    def _wait(self, satisfied: Callable[[], object], limit: float, complaint: str) -> None:
        deadline = time.monotonic() + limit
        while not satisfied():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._terminal], [], [], left)[0]:
                raise UserError(f"{complaint}; last: {self.last_words()!r}")
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # Linux's way to say that the other end was closed
                data = b""
            if not data:
                raise UserError(f"the shell ended; last: {self.last_words()!r}")
            self._record(data)

    def _record(self, data: bytes) -> None:
        """Keep what the terminal shows: whole characters, without the shell's marks, which may arrive in pieces."""
        text = self._unshown + data
        self._codes += [int(code) for code in self.mark.findall(text)]
        text = self.mark.sub(b"", text)
        cut = text.rfind(b"\x1b]133;")
        unended = cut >= 0 and b"\x07" not in text[cut:]  # one that has ended is another program's: output
        self._unshown = text[cut:] if unended else _incomplete(text)
        shown = text[: len(text) - len(self._unshown)].decode("utf-8", errors="replace")
        if shown:
            self._seen += shown
            self.events.append(Event(self.now, "o", shown))

    def last_words(self) -> str:
        """The end of what was printed, without colours, for an error's line."""
        text = "".join(event.data for event in self.events if event.kind == "o")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)[-LAST_WORDS:].strip()

    def __enter__(self) -> Self:
        self.wait_for_prompt(ECHO_SECONDS)
        self.events.clear()
        self._started, self._added = time.monotonic(), 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGHUP)
            os.close(self._terminal)
            self._process.wait(timeout=ECHO_SECONDS)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._scratch.cleanup()


def _take_terminal() -> None:
    """In the child: make the pseudo-terminal the one that Ctrl-C and job control mean."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job of a script would inherit "ignored"


def _incomplete(data: bytes) -> bytes:
    """The bytes at the end that begin a character, or an escape sequence, whose rest has not come yet."""
    for length in range(1, min(3, len(data)) + 1):
        lead = data[-length]
        if lead & 0xC0 == 0xC0:
            size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return data[-length:] if size > length else b""
        if lead & 0xC0 != 0x80:
            break
    return b"\x1b" if data.endswith(b"\x1b") else b""


def clean_environment(home: Path) -> dict[str, str]:
    """What a recorded shell knows: this interpreter first on the path, no secrets, no home and no host."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ and not SECRET.search(name)}
    return {
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "BASH_SILENCE_DEPRECATION_WARNING": "1",
    }


def stage(project: Project) -> Path:
    """A fresh folder in which the commands run: links to the repository's files, but runs/ of its own."""
    folder = project.build / "stage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted(project.root.iterdir()):
        if path.name not in ("runs", "build", ".git"):
            (folder / path.name).symlink_to(path)
    return folder


def record(screenplay: Screenplay, folder: Path) -> Cast:
    """Perform every command of the screenplay in `folder`.

    Raises:
        UserError: If a command fails, or its wait does.
    """
    with Shell(folder) as shell:
        for step in screenplay.steps:
            if step.command:
                perform(step, shell)
    return Cast(WIDTH, HEIGHT, tuple(shell.events))


def perform(step: Step, shell: Shell) -> None:
    """One command: a clear screen, the typing, the wait, the verdict on its exit code."""
    try:
        shell.show(CLEAR + PROMPT)
        shell.note(f"{step.id} type")
        shell.press(step.command)
        shell.note(f"{step.id} run")
        shell.enter()
        if step.until:
            shell.wait_for(step.until, step.limit)
            if not shell.ends_within(GRACE_SECONDS):
                shell.interrupt(step.limit)
        code = shell.wait_for_prompt(step.limit)
        shell.note(f"{step.id} done")
    except UserError as error:
        raise UserError(f"step {step.id}: {step.command}: {error}") from None
    if code != step.exit:
        raise UserError(
            f"step {step.id}: {step.command}: exit code {code}, expected {step.exit}; last: {shell.last_words()!r}"
        )
    if step.shows and not re.search(step.shows, shell.output):
        raise UserError(f"step {step.id}: {step.command}: {step.shows!r} was not printed; last: {shell.last_words()!r}")


def refuse_private(text: str, root: Path) -> None:
    """Refuse what shows a folder of this machine, its name, a package index, or a secret.

    Args:
        text: All that a recording's terminal received, or a command that would be typed in it.
        root: The repository's folder.

    Raises:
        UserError: It names what was seen by its kind, never by its value.
    """
    private = {"the home folder": str(Path.home()), "the host's name": socket.gethostname()}
    private |= {"the repository's folder": str(root), "the folder of temporary files": tempfile.gettempdir()}
    private |= {f"the value of {name}": value for name, value in os.environ.items() if SECRET.search(name)}
    for kind, value in private.items():
        if len(value) > 3 and re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", text):
            raise UserError(f"the recording shows {kind}: change the command that prints it")
    if index := INDEX.search(text):
        raise UserError(f"the recording speaks of a package index ({index[0]}): install before it is recorded")
