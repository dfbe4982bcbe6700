"""What no MAC can show: that the logged numbers came from training. Replay a short stretch of it and compare.

A key holder can sign a lie. A lie about training is dear to keep up, though, if anybody may restore one of the sealed
checkpoints (or the seed), take the next few steps, and look whether the losses are those in the log. Which stretch is
drawn only when the audit begins, so all of the run has to be true.
"""

import math
import random
import secrets
from collections.abc import Callable, Sized
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.fingerprint import log, manifest
from shared.fingerprint.citations import LOG_NAME, checkpoints
from shared.fingerprint.keys import Keys, team_key
from shared.fingerprint.log import CheckedLog
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

# Takes the checkpoint to start from (None: from the seed) and a number of steps; answers step → metric → value.
Replay = Callable[[Path | None, int], dict[int, dict[str, float]]]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        finding: The log's own verdict if every number agrees, else TAMPERED with the line and the metric.
        start: Checkpoint that was restored, or None for the seed.
        steps: Steps that were replayed and found in the log.
        compared: Numbers compared.
        largest: Largest difference found, as a share of max(|logged|, 1e-8).
    """

    finding: Finding
    start: Path | None
    steps: list[int]
    compared: int
    largest: float


def audit(
    run: Path,
    replay: Replay,
    *,
    steps: int = 5,
    tolerance: float = 1e-3,
    seed: int | None = None,
    keys: Keys | None = None,
) -> Audit:
    """Replay a random short stretch of a run and compare it with the log.

    Args:
        run: Its directory.
        replay: Restores the checkpoint (None: starts from the seed) and takes so many steps.
        steps: Length of the stretch, in optimizer steps.
        tolerance: Largest relative difference; other processors add floats in another order, and that grows.
        seed: Draws the stretch; by default nobody knows it before.
        keys: Whose seals are accepted; by default the environment's key.

    Raises:
        UserError: If the log does not hold, or no stretch can be replayed.
    """
    keys = keys or team_key()
    path = run / LOG_NAME
    try:
        checked = log.check_log(path, keys)
        start = _draw(run, checked, keys, random.Random(secrets.randbits(64) if seed is None else seed))
        expected = _stretch(checked, _step_of(start), steps)
        replayed = replay(start, len(expected))
    except BrokenError as broken:
        found = broken.at(path)
        raise UserError(f"{found.path}: {found.verdict.value}, {found.detail}; not audited") from None
    compared, largest = 0, 0.0
    for step, (line, record) in expected.items():
        for name in sorted(record.keys() & replayed.get(step, {}).keys()):
            gap = _gap(record[name], replayed[step][name])
            compared, largest = compared + 1, max(largest, gap)
            if gap > tolerance:
                detail = f"line {line} says {name} {record[name]:g}; replayed it is {replayed[step][name]:g}"
                finding = Finding(path, Verdict.TAMPERED, detail)
                return Audit(finding, start, sorted(expected), compared, largest)
    if not compared:
        raise UserError(f"{run}: the replay gave no number that the log has")
    return Audit(_agreed(path, checked, start, expected), start, sorted(expected), compared, largest)


def _agreed(path: Path, checked: CheckedLog, start: Path | None, expected: Sized) -> Finding:
    """A log that is still open may be audited: what there is of it agrees."""
    verdict = Verdict.UNTRUSTED_DEMO if checked.signer.is_demo else Verdict.OK
    origin = start.name if start else "the seed"
    return Finding(path, verdict, f"{len(expected)} steps from {origin} replayed: every number agrees")


def _gap(logged: float, replayed: float) -> float:
    if not math.isfinite(logged) or not math.isfinite(replayed):
        return 0.0 if logged == replayed else math.inf
    return abs(logged - replayed) / max(abs(logged), 1e-8)


def _step_of(start: Path | None) -> int:
    return int(start.name.removeprefix("step-")) if start else 0


def _draw(run: Path, checked: CheckedLog, keys: Keys, source: random.Random) -> Path | None:
    """A starting point after which the log has steps: the seed or a sound checkpoint, each as likely."""
    starts: list[Path | None] = [s for s in (None, *checkpoints(run)) if _stretch(checked, _step_of(s), 1)]
    if not starts:
        raise UserError(f"{run}: the log holds no training step to replay")
    start = source.choice(starts)
    if start is not None:
        manifest.open_verified(start, keys, run=checked.opening.get("run"))
    return start


def _stretch(checked: CheckedLog, after: int, steps: int) -> dict[int, tuple[int, dict[str, float]]]:
    """Step → (line, numbers) of the first `steps` steps after one. Several lines of one step are taken together."""
    found: dict[int, tuple[int, dict[str, float]]] = {}
    for line, record in enumerate(checked.records, start=1):
        step = record.get("step")
        if not isinstance(step, int) or step <= after or (step not in found and len(found) == steps):
            continue
        numbers = {k: float(v) for k, v in record.items() if k not in ("seq", "step") and isinstance(v, int | float)}
        first, known = found.get(step, (line, {}))
        found[step] = (first, {**numbers, **known})
    return found
