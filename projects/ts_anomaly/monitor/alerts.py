"""What is done with alerts: written as lines of JSON, and sent to a webhook, each once, again and again until it is
taken.

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
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from projects.ts_anomaly.monitor.watch import Alert
from shared.errors import UserError

MOST_WAITING = 1000
MOST_REMEMBERED = 10_000
SECONDS = 5.0  # for one try


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
        tries: Of one line, before it is given up and counted.
        first: Seconds before the second try; up to half as much is added by chance.
        post: Sends one body, for tests.
    """

    def __init__(
        self, url: str, *, tries: int = 8, first: float = 0.5, post: Callable[[str, bytes], int] | None = None
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise UserError(f"--webhook {url}: must look like https://example.org/path")
        self.url, self.tries, self.first = url, tries, first
        self._post = post or _post
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self.sent = self.lost = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """Queue a line; never waits."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self, seconds: float = 10.0) -> None:
        """Send what waits, for so long at most."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)
        self._ended.set()

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None and not self._ended.is_set():
            if self._delivered(line.encode()):
                self.sent += 1
            else:
                self.lost += 1

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
    """

    def __init__(self, file: Any = None, webhook: Webhook | None = None) -> None:
        self._file, self._webhook, self._once = file, webhook, Once()

    def tell(self, name: str, alerts: list[Alert]) -> list[dict[str, Any]]:
        """Send what was not sent before. Returns it."""
        new = [alert for alert in alerts if self._once.first(identity(name, alert))]
        lines = [as_line(name, alert) for alert in new]
        for line in lines:
            print(line, file=self._file or sys.stdout, flush=True)
            if self._webhook:
                self._webhook.send(line)
        return [json.loads(line) for line in lines]

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Send what waits when the block ends."""
        try:
            yield
        finally:
            if self._webhook:
                self._webhook.close()
