"""Attacks on logs and TensorBoard's event files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from shared.fingerprint.log import SEAL, Chain, ChainedLog
from shared.fingerprint.verdicts import Verdict
from shared.lab.fingerprint.attacks import edits
from shared.lab.fingerprint.attacks.scene import KEY, OTHER, Attack, Scene, frame

LOG = "runs/lora/main/metrics.jsonl"
EVENTS = "runs/lora/main/events.out.tfevents.1"
RUN = "0f" * 8


def _lines(change: Callable[[list[bytes]], object]) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        lines = scene.lines()
        change(lines)
        scene.write_lines(lines)

    return apply


def _edit(line: int, old: bytes, new: bytes) -> Callable[[Scene], None]:
    def change(lines: list[bytes]) -> None:
        assert old in lines[line - 1]
        lines[line - 1] = lines[line - 1].replace(old, new)

    return _lines(change)


def _swap(lines: list[bytes]) -> None:
    lines[1], lines[2] = lines[2], lines[1]


def _capitals(lines: list[bytes]) -> None:
    body, _, tail = lines[2].rpartition(SEAL)
    lines[2] = body + SEAL + tail.upper()


def _continued(scene: Scene) -> None:
    """Cut, and go on with lines chained under the attacker's own key."""
    scene.write_lines(scene.lines()[:3])
    chain = Chain(OTHER, RUN)
    with scene.log.open("ab") as file:
        for seq in (3, 4):
            file.write(_sealed(chain, {"seq": seq, "step": seq, "loss": 0.01}))


def _sealed(chain: Chain, record: dict[str, object]) -> bytes:
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return body + SEAL + chain.next(body) + b'"}\n'


def _run_again(scene: Scene) -> None:
    """A key holder goes back to line 2, writes better numbers, and keeps the later checkpoints."""
    with ChainedLog(scene.log, KEY, {}, position=2) as log:
        for step in range(2, 5):
            log.append({"step": step, "loss": 0.01})
        log.append({"step": 4, "test_accuracy": 0.99})


def _resealed(scene: Scene) -> None:
    """Seize the logger's state after line 4, and rewrite line 3 with the key that is left."""
    chain, lines = Chain(KEY, RUN), scene.lines()
    for line in lines[:4]:
        chain.next(line.rpartition(SEAL)[0])
    record = {**json.loads(lines[2]), "loss": 0.01}
    del record["mac"]
    lines[2] = _sealed(chain, record)
    scene.write_lines(lines)


def _holder(member: bytes) -> Callable[[Scene], None]:
    """A key holder writes what no reader may accept, and chains all of it rightly."""

    def apply(scene: Scene) -> None:
        chain, lines = Chain(KEY, RUN), []
        for number, line in enumerate(scene.lines(), start=1):
            body = line.rpartition(SEAL)[0] + (member if number == 3 else b"")
            lines.append(body + SEAL + chain.next(body) + b'"}\n')
        scene.write_lines(lines)

    return apply


def _spliced(first_of_other: int) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        other = (scene.older / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        scene.write_lines(scene.lines()[:3] + other[first_of_other:])

    return apply


def _closed_early(scene: Scene) -> None:
    lines = scene.lines()
    scene.write_lines([*lines[:5], lines[-1].replace(b'"seq":6', b'"seq":5').replace(b'"lines":7', b'"lines":6')])


def _records(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        raw = scene.events.read_bytes()
        size = len(frame(b"record 0"))
        frames = [raw[i : i + size] for i in range(0, len(raw), size)]
        scene.events.write_bytes(b"".join(change(frames)))

    return apply


def _copy(source: str) -> Callable[[Scene], Path]:
    return lambda scene: Path(shutil.copy(scene.older / source, scene.run / source))


TAMPERED = Verdict.TAMPERED

ATTACKS = (
    Attack("log: one bit flipped", lambda s: edits.flip(s.log), TAMPERED, LOG),
    Attack("log: number edited", _edit(3, b'"loss":0.5', b'"loss":0.4'), TAMPERED, LOG, "line 3 "),
    Attack("log: 0 becomes −0", _edit(3, b'"zero":0.0', b'"zero":-0.0'), TAMPERED, LOG, "line 3 "),
    Attack("log: NaN in the place of a number", _edit(3, b'"loss":0.5', b'"loss":NaN'), TAMPERED, LOG, "line 3 "),
    Attack("log: MAC in capitals", _lines(_capitals), TAMPERED, LOG, "line 3 "),
    Attack("log: line inserted", _lines(lambda ls: ls.insert(2, ls[1])), TAMPERED, LOG, "line 3 "),
    Attack("log: line deleted", _lines(lambda ls: ls.pop(2)), TAMPERED, LOG, "line 3 "),
    Attack("log: lines reordered", _lines(_swap), TAMPERED, LOG, "line 2 "),
    Attack(
        "log: cut within a line",
        lambda s: s.log.write_bytes(s.log.read_bytes()[:-9]),
        Verdict.INCOMPLETE,  # as a process leaves it that is killed while it writes
        LOG,
        "6 intact lines, and the beginning of one more",
    ),
    Attack("log: last line cut off", _lines(lambda ls: ls.pop()), Verdict.INCOMPLETE, LOG, "6 intact lines"),
    Attack(
        "log: cut before what a checkpoint saw",
        _lines(lambda ls: ls.__delitem__(slice(4, None))),
        Verdict.TRUNCATED,
        LOG,
        "line 4; step-000004 was saved at line 5",
    ),
    Attack("log: cut and continued with another key", _continued, TAMPERED, LOG, "line 4 "),
    Attack(
        "log: cut and continued by a key holder",
        _run_again,
        Verdict.REPLAYED,
        "runs/lora/main/checkpoints/step-000002",
        "line 3",
    ),
    Attack("log: closed early with the old closing line", _closed_early, TAMPERED, LOG, "line 6 "),
    Attack("log: resealed with a later key", _resealed, TAMPERED, LOG, "line 3 "),
    Attack("log: spliced with another run's", _spliced(3), TAMPERED, LOG, "line 4 "),
    Attack("log: another run's log appended", _spliced(0), Verdict.WRONG_RUN, LOG, "line 4 opens"),
    Attack(
        "log: another run's in its place",
        _copy("metrics.jsonl"),
        Verdict.WRONG_RUN,
        "runs/lora/main/checkpoints/step-000004",
    ),
    Attack(
        "log: another team's in its place",
        lambda s: shutil.copy(s.aside / "ayni/metrics.jsonl", s.log),
        Verdict.WRONG_TEAM,
        LOG,
        "ayni/1/",
    ),
    Attack("log: duplicate keys by a key holder", _holder(b',"loss":0.1'), TAMPERED, LOG, "'loss' stands twice"),
    Attack("log: NaN by a key holder", _holder(b',"grad":NaN'), TAMPERED, LOG, "NaN"),
    Attack("log: 1e400 by a key holder", _holder(b',"grad":1e400'), TAMPERED, LOG, "1e400"),
    Attack("log: emptied", lambda s: s.log.write_bytes(b""), Verdict.TRUNCATED, LOG, "its first line"),
    Attack("log: removed", lambda s: s.log.unlink(), Verdict.MISSING, LOG),
    Attack("events: one bit flipped", lambda s: edits.flip(s.events), TAMPERED, EVENTS, "record 4 "),
    Attack("events: record deleted", _records(lambda fs: fs[:2] + fs[3:]), TAMPERED, EVENTS, "record 3 "),
    Attack("events: records reordered", _records(lambda fs: [fs[1], fs[0], *fs[2:]]), TAMPERED, EVENTS, "record 1 "),
    Attack("events: cut", _records(lambda fs: fs[:4]), Verdict.TRUNCATED, EVENTS, "after record 4 of 6"),
    Attack(
        "events: file added",
        lambda s: shutil.copy(s.events, s.run / "events.out.tfevents.2"),
        Verdict.EXTRA,
        "runs/lora/main/events.out.tfevents.2",
    ),
    Attack("events: file removed", lambda s: s.events.unlink(), Verdict.MISSING, EVENTS),
    Attack(
        "events: seal removed",
        lambda s: (s.run / "events.seal.json").unlink(),
        Verdict.MISSING,
        "runs/lora/main/events.seal.json",
    ),
    Attack(
        "events: another run's seal", _copy("events.seal.json"), Verdict.WRONG_RUN, "runs/lora/main/events.seal.json"
    ),
)
