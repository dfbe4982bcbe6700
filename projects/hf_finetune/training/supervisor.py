"""A process that watches another one train: when memory runs out, it is started again with half the micro-batch.

On a CPU running out of memory arrives as torch's RuntimeError, as MemoryError, or as SIGKILL from the kernel, after
which nobody is left to handle anything: so training has a process of its own. It resumes from the last whole checkpoint
with twice as many micro-batches of half the size; the effective batch, the schedule and the steps stay what they were.
"""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import Config
from shared.errors import INTERRUPTED, UserError, deaf_children
from shared.files import read_json, write_json
from shared.fingerprint.citations import LOG_NAME
from shared.run_directories import discard, latest_checkpoint

OUT_OF_MEMORY = 86  # how our own process says that it caught the error and has no memory to go on
PARENT_GONE = 87
STALL = 120.0  # seconds asleep after which a process is taken for out of memory; waiting for a hub ends sooner
# SIGKILL (the kernel's, or as a shell reports it), and SIGABRT: native code ends so when an allocation fails.
OUT_OF_MEMORY_CODES = {OUT_OF_MEMORY, -signal.SIGKILL, 128 + signal.SIGKILL, -signal.SIGABRT, 128 + signal.SIGABRT}
SAYS_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|out of memory|bad_alloc|enforce fail at alloc",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Attempt:
    """One start of the training process.

    Attributes:
        config: Its `out` is the run's directory.
        accumulation: Micro-batches of a step.
        resume: Whether a checkpoint is there to go on from.
        own_process: Whether it has a process of its own, which then may end without tidying up.
    """

    config: Config
    accumulation: int
    resume: bool
    own_process: bool = False


def supervise(config: Config, launch: Callable[[Attempt], int]) -> int:
    """Train in processes of their own until one is done. Returns the number of micro-batches it ended with.

    Args:
        config: With `out` set.
        launch: Runs an attempt and returns its exit code.

    Raises:
        UserError: If memory runs out with a single sentence at a time.
        SystemExit: With the process's own code, if it ended for another reason, which it has told.
    """
    assert config.out is not None, "the directory is chosen before"
    accumulation, resume = _accumulation(config), config.resume
    while code := launch(Attempt(config, accumulation, resume)):
        if code not in OUT_OF_MEMORY_CODES:
            raise SystemExit(code)
        micro = config.batch_size // accumulation
        checkpoint = latest_checkpoint(config.out)
        name = checkpoint.name if checkpoint else "none"
        if micro == 1:
            raise UserError(
                f"out of memory with one sentence at a time: lower --max_length ({config.max_length}) or take a "
                f"smaller --model; last checkpoint in {config.out}: {name}"
            )
        accumulation = next_divisor(config.batch_size, 2 * accumulation)
        sys.stderr.write(
            f"out of memory with {micro} sentences at a time: going on from checkpoint {name} "
            f"with {config.batch_size // accumulation} × {accumulation}\n"
        )
        if checkpoint is None and (config.out / LOG_NAME).exists():
            discard(config.out, "hf_finetune")
        resume = checkpoint is not None
    return accumulation


def next_divisor(batch: int, least: int) -> int:
    """The smallest divisor of the batch that is at least `least`, so that micro-batches stay equal.

    >>> [next_divisor(12, least) for least in (2, 4, 8)]
    [2, 4, 12]
    """
    return next(n for n in range(least, batch + 1) if batch % n == 0) if least < batch else batch


def _accumulation(config: Config) -> int:
    """Micro-batches to begin with: a run that shrank them and is resumed goes on with the small ones."""
    checkpoint = latest_checkpoint(config.out) if config.resume and config.out else None
    if checkpoint is None:
        return config.accumulation
    return int(read_json(checkpoint / "state.json").get("accumulation", config.accumulation))


def spawn(attempt: Attempt) -> int:
    """Run an attempt in a process of its own that does not outlive this one. Returns its exit code.

    The child's standard input is a pipe whose other end only this process holds: however we end, SIGKILL included, the
    pipe closes and the child ends itself (`die_with_parent`).
    """
    assert attempt.config.out is not None
    # A folder of its own: two commands with one --out do not mix, and no file of a person's is overwritten.
    folder = Path(tempfile.mkdtemp(prefix="hf_finetune-"))
    request = folder / "attempt.json"
    values = {**vars(attempt.config), "out": str(attempt.config.out), "resume": attempt.resume}
    words = [sys.executable, "-m", "projects.hf_finetune.training.train", "--child", str(request)]
    child: subprocess.Popen[bytes] | None = None
    try:
        write_json(request, {"config": values, "accumulation": attempt.accumulation})
        with deaf_children():  # until `run_child` listens: before, Ctrl-C would be a traceback of its imports
            child = subprocess.Popen(words, stdin=subprocess.PIPE)
        return wait_or_kill(child)
    except KeyboardInterrupt as interrupt:  # the terminal sent it to the child too
        if child is not None:
            child.wait()
        if latest_checkpoint(attempt.config.out):
            interrupt.add_note(f"--out {attempt.config.out} --resume goes on from the last checkpoint")
        raise
    finally:
        if child is not None:
            end(child)
        shutil.rmtree(folder)


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a process, unless it has ended, and close the pipe to it."""
    child.kill()
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def wait_or_kill(child: subprocess.Popen[bytes], *, patience: float = STALL) -> int:
    """Wait for a process. Returns its exit code; one that sleeps without using the processor is killed.

    A thread that gets its stack and then has no memory to say that it runs leaves Python waiting for it for ever. Only
    sleeping counts: who waits for a core, for a disk, or is stopped by a signal is left alone.
    """
    used, since = -1, time.monotonic()
    while True:
        try:
            return child.wait(timeout=min(1.0, patience / 4))
        except subprocess.TimeoutExpired:
            now, asleep = _processor_time(child.pid)
        if now != used or not asleep:
            used, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            child.kill()
            return child.wait()


def _processor_time(pid: int) -> tuple[int, bool]:
    """Ticks that a process has used, and whether it sleeps; (0, False) where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, False
    return int(fields[11]) + int(fields[12]), fields[0] == "S"


def read_attempt(request: Path) -> Attempt:
    """The attempt that `spawn` wrote down for its child."""
    saved: dict[str, Any] = read_json(request)
    config = Config(**{**saved["config"], "out": Path(saved["config"]["out"])})
    return Attempt(config, saved["accumulation"], config.resume, own_process=True)


def run_child(attempt: Attempt, work: Callable[[Attempt], object]) -> int:
    """In the child: do the work. Returns the exit code, OUT_OF_MEMORY if there was too little of it."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by `spawn` so far
        with ending_at_once(attempt.own_process):
            limit_memory(attempt.config.memory_gb)
            work(attempt)
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        return OUT_OF_MEMORY
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


@contextmanager
def ending_at_once(own_process: bool) -> Iterator[None]:
    """Inside the block a process of its own that runs out of memory ends there and then.

    Tidying up needs memory too: a thread that writes TensorBoard's file and cannot allocate never answers, and whoever
    waits for it hangs. Nothing is lost, since the log is written line by line and checkpoints have their names once
    they are whole; what is left over is what SIGKILL would leave.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if own_process and is_out_of_memory(error):
            os._exit(OUT_OF_MEMORY)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, means that an allocation failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno == errno.ENOMEM):
            return True
        if isinstance(seen, RuntimeError) and SAYS_MEMORY.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def limit_memory(gigabytes: float | None) -> None:
    """Refuse this process more address space than so many 10⁹ bytes."""
    if gigabytes is not None:
        size = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def die_with_parent() -> None:
    """End this process at once when the one that started it is gone, so that no two write to one run."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns when the pipe closes
        os._exit(PARENT_GONE)

    threading.Thread(target=watch, daemon=True).start()
