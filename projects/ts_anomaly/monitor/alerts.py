"""What is done with alerts: written as lines of JSON, and sent to a webhook again and again until they are taken.

An alert is never lost to a kill. One that was being sent just then is sent once more, with the same id.
A webhook that is slow or down holds nothing up: a thread sends, the queue is bounded, and what does not fit is counted.
"""

import json
import math
import queue
import random
import sys
import threading
import urllib.error
import urllib.request
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from projects.ts_anomaly.monitor.watch import Alert
from shared.errors import UserError
from shared.files import write_text

MOST_WAITING = 1000
MOST_REMEMBERED = 10_000
SECONDS = 5.0  # for one try
DONE = "done"  # in an outbox: the oldest line left it


def as_line(name: str, alert: Alert) -> str:
    """One JSON object; the id is the same whenever the same thing is told."""
    told = {key: value for key, value in asdict(alert).items() if not (isinstance(value, float) and math.isnan(value))}
    return json.dumps({"id": identity(name, alert), "series": name, **told}, ensure_ascii=False)


def identity(name: str, alert: Alert) -> str:
    """What makes two alerts the same: the series, the step and what is said of it."""
    return f"{name}/{alert.kind}/{alert.step}/{alert.detail if alert.kind == 'channel' else ''}"


class Once:
    """Lets the same alert through once, also when a stream is read again after a restart."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def first(self, key: str) -> bool:
        """Whether this is the first time."""
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True


class Webhook:
    """Posts lines to a URL in a thread of its own; 5xx, 429 and no answer are tried again, each time after twice as
    long.

    Args:
        url: http or https.
        tries: How often a line is sent before it is given up and counted.
        first: Seconds before the second try; up to half as much is added by chance.
        post: Sends one body, for tests.
        outbox: Keeps what waits, so that a killed process sends it when it begins again; None keeps nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        tries: int = 8,
        first: float = 0.5,
        post: Callable[[str, bytes], int] | None = None,
        outbox: Path | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise UserError(f"--webhook {url}: must look like https://example.org/path")
        self.url, self.tries, self.first = url, tries, first
        self._post = post or _post
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self.sent = self.lost = 0
        self._outbox = Outbox(outbox) if outbox else None
        for line in self._outbox.left() if self._outbox else ():
            self._waiting.put_nowait(line)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """Queue a line; never waits."""
        if self._waiting.full():  # only this side adds
            self.lost += 1
            return
        if self._outbox:
            self._outbox.add(line)
        self._waiting.put_nowait(line)

    def close(self, seconds: float = 10.0) -> None:
        """Send what waits, for so long at most."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)
        self._ended.set()

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None and not self._ended.is_set():
            delivered = self._delivered(line.encode())
            if self._ended.is_set() and not delivered:
                return  # there was no time: it stays in the outbox
            self.sent, self.lost = self.sent + delivered, self.lost + (not delivered)
            if self._outbox:
                self._outbox.done()

    def _delivered(self, body: bytes) -> bool:
        for attempt in range(self.tries):
            status = self._post(self.url, body)
            if 0 < status < 400:
                return True
            if status not in (0, 408, 425, 429) and status < 500:
                return False  # it will never be taken
            wait = self.first * 2**attempt
            if self._ended.wait(wait + random.uniform(0, wait / 2)):
                return False
        return False


class Outbox:
    """Lines that wait, in a file: one is added when it is queued, and a mark when the oldest is done with.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        written = text[: text.rfind("\n") + 1].splitlines()
        lines = [line for line in written if line != DONE]
        self._left = deque(lines[len(written) - len(lines) :][-MOST_WAITING:])
        self._shorten()

    def left(self) -> list[str]:
        """What waits, the oldest first."""
        return list(self._left)

    def add(self, line: str) -> None:
        """Another one."""
        with self._lock:
            self._left.append(line)
            self._write(line)

    def done(self) -> None:
        """The oldest was sent, or given up."""
        with self._lock:
            self._left.popleft()
            self._write(DONE)
            if not self._left or self._written > 4 * MOST_WAITING:
                self._shorten()

    def _write(self, line: str) -> None:
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:  # a full disk holds no alert up
            file.write(f"{line}\n")
        self._written += 1

    def _shorten(self) -> None:
        with suppress(OSError, UserError):
            write_text(self._path, "".join(f"{line}\n" for line in self._left))
        self._written = len(self._left)


def _post(url: str, body: bytes) -> int:
    """Status of the answer; 0 where there is none."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - http(s), as checked
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Told:
    """Where alerts go: lines on a stream, and a webhook if there is one.

    Args:
        file: Open for text; standard output by default.
        webhook: Or None.
        log: What was told since the last state: who was killed judges some points again, and is silent of those.
    """

    def __init__(self, file: Any = None, webhook: Webhook | None = None, log: Path | None = None) -> None:
        self._file, self._webhook, self._log, self._once = file, webhook, log, Once()
        for key in log.read_text(encoding="utf-8", errors="replace").splitlines() if log and log.exists() else ():
            with suppress(ValueError):  # the last one may be half a line
                self._once.first(str(json.loads(key)))

    def tell(self, name: str, alerts: list[Alert]) -> list[dict[str, Any]]:
        """Send what was not sent before. Returns it."""
        lines = []
        for alert in alerts:
            key = identity(name, alert)
            if self._once.first(key):
                lines.append(as_line(name, alert))
                print(lines[-1], file=self._file or sys.stdout, flush=True)
                if self._webhook:
                    self._webhook.send(lines[-1])
                self._note(key)
        return [json.loads(line) for line in lines]

    def _note(self, key: str) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(key)}\n")

    def kept(self) -> None:
        """A state was saved: no point before it is judged again."""
        if self._log:
            self._log.write_text("", encoding="utf-8")

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Send what waits when the block ends."""
        try:
            yield
        finally:
            if self._webhook:
                self._webhook.close()
