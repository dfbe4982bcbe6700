"""Attacks on published results: tables, their seals, and the logs they cite."""

import shutil
from collections.abc import Callable
from pathlib import Path

from shared.fingerprint import envelope
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.results import KIND, seal_table
from shared.fingerprint.verdicts import Verdict
from shared.lab.fingerprint.attacks import edits
from shared.lab.fingerprint.attacks.scene import KEY, Attack, Scene, make_run

FOLDER = "projects/lora/results"
TABLE, SEAL = f"{FOLDER}/runs.csv", f"{FOLDER}/runs.csv.seal.json"
KEPT, OLDER = f"{FOLDER}/logs/{'0f' * 8}.jsonl.xz", f"{FOLDER}/logs/{'1e' * 8}.jsonl.xz"


def _table(old: bytes, new: bytes) -> Callable[[Scene], None]:
    return lambda scene: edits.replace(scene.results / "runs.csv", old, new)


def _rows(change: Callable[[list[bytes]], object]) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        lines = (scene.results / "runs.csv").read_bytes().splitlines(keepends=True)
        change(lines)
        (scene.results / "runs.csv").write_bytes(b"".join(lines))

    return apply


def _kept_of(run: str) -> Callable[[Scene], Path]:
    return lambda scene: scene.results / "logs" / f"{run}.jsonl.xz"


def _lie(scene: Scene) -> None:
    """A key holder edits a cell and seals the table again, with the old citations."""
    table, seal = scene.results / "runs.csv", scene.results / "runs.csv.seal.json"
    saved = envelope.read(seal, KIND, KEY).body
    edits.replace(table, b"0.85", b"0.95")
    seal_table(table, project="lora", key=KEY)
    lied = envelope.read(seal, KIND, KEY).body
    rows = [{**old, "marks": new["marks"]} for new, old in zip(lied["rows"], saved["rows"], strict=True)]
    envelope.write(seal, KIND, {**lied, "rows": rows, "runs": saved["runs"], "kept": saved["kept"]}, KEY)


def _without_logs(scene: Scene) -> None:
    """The kept log is gone (its digest with it), and the runs too: there is nothing to recompute from."""
    seal = scene.results / "runs.csv.seal.json"
    envelope.write(seal, KIND, {**envelope.read(seal, KIND, KEY).body, "kept": {}}, KEY)
    shutil.rmtree(scene.results / "logs")
    shutil.rmtree(scene.root / "runs")


def _cited_run_again(scene: Scene) -> None:
    """The kept logs are gone, and the run was made again from line 4 with the same numbers."""
    _without_logs(scene)
    for name, run, worse in (("main", "0f" * 8, 0.0), ("older", "1e" * 8, 0.5)):
        make_run(scene.root / "runs" / "lora" / name, run, KEY, worse=worse)
    with ChainedLog(scene.log, KEY, {}, position=4) as log:
        for step in (4, 4):
            log.append({"step": step, "loss": 0.25, "zero": 0.0, "test_accuracy": 0.9})


def _of_old(scene: Scene) -> None:
    """runs.csv is replaced by another sealed one; summary.csv, made from the first, stays."""
    (scene.results / "runs.csv").write_text("accuracy\n0.99\n")
    seal_table(scene.results / "runs.csv", project="lora", key=KEY)


def _without_citation(scene: Scene) -> None:
    """A key holder seals a table of numbers that come from nowhere: as it may be with timings, and it is said."""
    (scene.results / "best.csv").write_text("accuracy\n0.99\n")
    seal_table(scene.results / "best.csv", project="lora", key=KEY)


TAMPERED = Verdict.TAMPERED

ATTACKS = (
    Attack("table: cell edited", _table(b"0.85", b"0.95"), TAMPERED, TABLE, "row 2, column accuracy"),
    Attack("table: 0 becomes −0", _table(b",0.0,", b",-0.0,"), TAMPERED, TABLE, "row 1, column zero"),
    Attack("table: other spelling of the same number", _table(b"0.85", b"0.850"), TAMPERED, TABLE, "row 2"),
    Attack("table: other line ends", _table(b"\n", b"\r\n"), TAMPERED, TABLE, "other bytes"),
    Attack("table: column renamed", _table(b"accuracy", b"accurate"), TAMPERED, TABLE, "columns"),
    Attack("table: row removed", _rows(lambda rows: rows.pop()), Verdict.MISSING, TABLE, "1 rows, and 2"),
    Attack("table: row added", _rows(lambda rows: rows.append(rows[-1])), Verdict.EXTRA, TABLE, "3 rows, and 2"),
    Attack("table: rows swapped", _rows(lambda rows: rows.append(rows.pop(1))), TAMPERED, TABLE, "row 1"),
    Attack("table: removed", lambda s: (s.results / "runs.csv").unlink(), Verdict.MISSING, TABLE),
    Attack("seal: removed", lambda s: (s.results / "runs.csv.seal.json").unlink(), Verdict.MISSING, SEAL),
    Attack("seal: one bit flipped", lambda s: edits.flip(s.results / "runs.csv.seal.json"), TAMPERED, SEAL),
    Attack(
        "seal: of another table",
        lambda s: shutil.copy(s.results / "summary.csv.seal.json", s.results / "runs.csv.seal.json"),
        Verdict.WRONG_RUN,
        SEAL,
        "summary.csv",
    ),
    Attack(
        "seal: citation edited",
        lambda s: edits.edit_payload(s.results / "runs.csv.seal.json", lambda b: b["rows"][0].update(runs=[])),
        TAMPERED,
        SEAL,
        "MAC",
    ),
    Attack(
        "number that the log does not give, sealed",
        _lie,
        TAMPERED,
        TABLE,
        "row 2: accuracy is 0.95, and the log gives 0.85",
    ),
    Attack("kept log: one bit flipped", lambda s: edits.flip(_kept_of("0f" * 8)(s)), TAMPERED, KEPT),
    Attack(
        "kept log: another run's in its place",
        lambda s: shutil.copy(_kept_of("1e" * 8)(s), _kept_of("0f" * 8)(s)),
        TAMPERED,
        KEPT,
    ),
    Attack("kept log: removed", lambda s: _kept_of("1e" * 8)(s).unlink(), Verdict.MISSING, OLDER),
    Attack(
        "kept log: one that no table cites",
        lambda s: (s.results / "logs/x.jsonl.xz").write_bytes(b""),
        Verdict.EXTRA,
        f"{FOLDER}/logs/x.jsonl.xz",
    ),
    Attack("cited logs nowhere to be found", _without_logs, Verdict.MISSING, KEPT, "is not here"),
    Attack("cited run was run again", _cited_run_again, Verdict.REPLAYED, TABLE, "not the one that was cited"),
    Attack("table without a citation", _without_citation, Verdict.SEALED_ONLY, f"{FOLDER}/best.csv", "none of its n"),
    Attack("summary of an older table", _of_old, Verdict.REPLAYED, f"{FOLDER}/summary.csv", "another runs.csv"),
    Attack(
        "cited checkpoints removed",
        lambda s: shutil.rmtree(s.older / "checkpoints"),
        Verdict.MISSING,
        "runs/lora/older/checkpoints",
    ),
)
