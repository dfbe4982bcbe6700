"""A progress bar on a terminal, a plain line now and then elsewhere."""

import re
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Item = TypeVar("Item")

NUMBER = re.compile(r"[-+]?\d[\d.,]*( ?(%|s|ms|MB)| \(.*\))?$")  # with its unit, or with a share in brackets
QUIET_SECONDS = 20.0  # between two plain lines, so that a log of an hour stays readable
WIDTH = 30  # characters of a drawn bar


def track(items: Iterable[Item], *, description: str, total: int, done: int = 0) -> Iterator[Item]:
    """Yield the items while showing how far along they are, on stderr.

    Args:
        items: What is left to do.
        description: A few words, shown before the bar.
        total: How many there are in all.
        done: How many were done before (a resumed run).
    """
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(description, total=total, completed=done)
            for item in items:
                yield item
                bar.advance(task)
        return
    said = time.monotonic()
    for count, item in enumerate(items, start=done + 1):
        yield item
        if time.monotonic() - said > QUIET_SECONDS:
            said = time.monotonic()
            sys.stderr.write(f"{description}: {count}/{total}\n")


def ahead(what: str, done: int, expected: int, seconds: Sequence[float]) -> None:
    """Say how far along a work of hours is, in a line that stays above the bars of its parts.

    Args:
        what: One part of the work.
        done: Parts that are done.
        expected: How many there are in all, about; 0, or less than are done, if nobody knows.
        seconds: What each part took that was worked on here; the rest is taken to last as long on average.
    """
    if expected <= done:
        say(f"{what} {done + 1}")
        return
    bar = "━" * round(WIDTH * done / expected)
    time_left = ""
    if seconds:
        left = (expected - done) * statistics.fmean(seconds)
        time_left = f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"
    say(f"{bar:─<{WIDTH}} {what} {done + 1} of about {expected}{time_left}")


def say(what: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def table(title: str, columns: list[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table on stdout: columns of numbers to the right, of words to the left."""
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        numbers = all(NUMBER.match(row[index]) for row in cells)
        drawn.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*row)
    # Off a terminal rich assumes 80 columns and folds; a log should keep its rows whole.
    Console(width=None if sys.stdout.isatty() else 120).print(drawn)
