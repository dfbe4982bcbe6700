"""Arms of a benchmark, each in a process of its own, that take their steps in turn.

One process an arm, so that its peak memory is its own; one arm at a time, round by round, so that a drift of the
machine's speed touches all of them alike. Ratios are therefore taken round by round.

    with spawned(work, {"ours": config, "theirs": other}) as arms:
        measured = in_turn(arms, rounds=20, steps=4)
    ratio(measured, "ours", "theirs").median
"""

import json
import multiprocessing as mp
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from shared.errors import UserError, deaf_children
from shared.progress import track

Setting = TypeVar("Setting")
Ask = Callable[[Any], Any]
"""Steps to take → mean milliseconds of one; 0 ends it → [peak, growth since the first step] of the memory, in MB."""


@dataclass(frozen=True)
class Measured:
    """One arm.

    Attributes:
        ms: Milliseconds a step, one number a round, warm-up left out.
        peak_mb: Peak memory of its process.
        growth_mb: The part of it that came after the process was ready.
    """

    ms: list[float]
    peak_mb: float
    growth_mb: float


@dataclass(frozen=True)
class Ratio:
    """Quotient of two arms' step times, taken round by round."""

    median: float
    q1: float
    q3: float


def in_turn(arms: Mapping[str, Ask], *, rounds: int, steps: int, description: str = "rounds") -> dict[str, Measured]:
    """Let each arm take `steps` steps a round; every other round in the reverse order. The first is warm-up.

    Raises:
        UserError: If an arm's process ends early, or there is no round behind the warm-up.
    """
    if rounds < 2 or steps < 1:
        raise UserError("--rounds must be at least 2 (the first is warm-up) and --steps at least 1")
    ms: dict[str, list[float]] = {arm: [] for arm in arms}
    for turn in track(range(rounds), description=description, total=rounds):
        for arm in arms if turn % 2 else reversed(list(arms)):
            ms[arm].append(arms[arm](steps))
    memory = {arm: ask(0) for arm, ask in arms.items()}
    return {arm: Measured(times[1:], *memory[arm]) for arm, times in ms.items()}


def ratio(measured: Mapping[str, Measured], mine: str, theirs: str) -> Ratio:
    """Median and quartiles of mine / theirs over the rounds."""
    ratios = [a / b for a, b in zip(measured[mine].ms, measured[theirs].ms, strict=True)]
    q1, median, q3 = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Ratio(median, q1, q3)


def step_ms(measured: Measured) -> float:
    """Median milliseconds of a step."""
    return statistics.median(measured.ms)


def bench_rows(measured: Mapping[str, Measured], mine: str) -> list[dict[str, Any]]:
    """A row an arm: the median of its step times and our time over its, round by round, with memory."""
    rows = []
    for arm, found in measured.items():
        over = ratio(measured, mine, arm)
        row = {"arm": arm, "step_ms": round(step_ms(found), 2), f"{mine}_over_arm": round(over.median, 4)}
        row |= {"ratio_q1": round(over.q1, 4), "ratio_q3": round(over.q3, 4)}
        rows.append({**row, "peak_mb": round(found.peak_mb, 1), "growth_mb": round(found.growth_mb, 1)})
    return rows


# ---------------------------------------------------------------- the process of an arm


def serve(receive: Callable[[], int], send: Callable[[Any], None], step: Callable[[], object]) -> None:
    """An arm's side: say that it is ready, then take as many steps as asked until 0 asks for the memory.

    Where the one who asks is gone, it ends without a word.
    """
    from shared.devices import peak_memory_mb

    def tell(value: Any) -> None:
        with suppress(BrokenPipeError):
            send(value)

    def asked() -> int:
        try:
            return receive()
        except EOFError:
            return 0

    before = peak_memory_mb()
    tell("ready")
    while count := asked():
        started = time.perf_counter()
        for _ in range(count):
            step()
        tell(1000 * (time.perf_counter() - started) / count)
    peak = peak_memory_mb()
    tell([peak, peak - before])


def serve_lines(step: Callable[[], object]) -> None:
    """`serve` for a command: a number a line on standard input, JSON a line on standard output."""

    def send(value: Any) -> None:
        sys.stdout.write(f"{json.dumps(value)}\n")
        sys.stdout.flush()

    serve(lambda: int(sys.stdin.readline()), send, step)


@contextmanager
def spawned(work: Callable[[Connection, Setting], None], settings: Mapping[str, Setting]) -> Iterator[dict[str, Ask]]:
    """A Python process an arm, ended with the block; `work(pipe, …)` calls `serve(pipe.recv, pipe.send, step)`."""
    context = mp.get_context("spawn")  # a fork would inherit the parent's memory and count it
    resource_tracker.ensure_running()  # started by the first process, it would take the mask of `deaf_children` away
    asks: dict[str, Ask] = {}
    pipes, workers = [], []
    try:
        for arm, setting in settings.items():
            pipe, far_end = context.Pipe()
            worker = context.Process(target=work, args=(far_end, setting), daemon=True)
            with deaf_children():
                worker.start()
            far_end.close()  # only the worker holds it now: its death is seen at this end
            asks[arm] = partial(_ask_pipe, pipe)
            pipes.append(pipe)
            workers.append(worker)
        for pipe in pipes:
            _heard(pipe)  # ready: nothing else runs while the first arm is timed
        yield asks
    finally:
        for worker in workers:
            worker.terminate()


@contextmanager
def commands(words: Mapping[str, list[str]]) -> Iterator[dict[str, Ask]]:
    """A command an arm, ended with the block, for arms that need another environment. Each speaks `serve_lines`."""
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    # Idle arms must sleep: OpenMP threads that spin between two turns take the cores from the arm whose turn it is.
    waiting = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with deaf_children():
        workers = {arm: subprocess.Popen(line, text=True, env=waiting, **streams) for arm, line in words.items()}
    try:
        for worker in workers.values():
            _line(worker)
        yield {arm: partial(_ask_command, worker) for arm, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()


def _ask_pipe(pipe: Connection, count: Any) -> Any:
    try:
        pipe.send(count)
    except BrokenPipeError:
        raise UserError("an arm's process ended early; its message is above") from None
    return _heard(pipe)


def _heard(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        raise UserError("an arm's process ended early; its message is above") from None


def _ask_command(worker: "subprocess.Popen[str]", count: int) -> Any:
    assert worker.stdin is not None
    try:
        worker.stdin.write(f"{count}\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass  # `_line` says so
    return _line(worker)


def _line(worker: "subprocess.Popen[str]") -> Any:
    assert worker.stdout is not None
    line = worker.stdout.readline().strip()
    if not line:
        raise UserError(f"the process of an arm ended early: {' '.join(map(str, worker.args))}")  # type: ignore[arg-type]
    return json.loads(line)
