"""Published tables under the team's MAC, each row with the runs that it comes from.

    seal_table(results / "runs.csv", project="lora", key=key, rows=[Row([source], {"accuracy": source.last(…)}), …])

writes runs.csv.seal.json beside the table: its digest, a short digest of every cell (it names the one that was edited),
and for each row the run ids, the last line and MAC of each log, the digest of the checkpoint's manifest, and the lines
that each number comes from. `verify_folder(…, recompute=True)` regenerates the numbers from the logs.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.fingerprint import envelope, log, manifest, strict
from shared.fingerprint.citations import KEPT, LOG_NAME, Cited, Library, Source, keep_log
from shared.fingerprint.envelope import Sealed
from shared.fingerprint.keys import Keys, TeamKey
from shared.fingerprint.log import CheckedLog
from shared.fingerprint.origin import file_digest
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

KIND = "results"
SUFFIX = ".seal.json"
LOGS = "logs"  # folder of kept logs beside the tables
LARGEST = 2**22  # bytes of a table
MOST = 10_000_000  # lines of logs that the cells of a table may cite, all in all
CELL = strict.values_of(lambda cell: isinstance(cell, list) and len(cell) == 4)
SHAPE = {
    "project": strict.is_label,
    "table": strict.is_file_name,
    "sha256": str,
    "columns": [str],
    "runs": [
        {
            "run": strict.is_label,
            "lines": lambda n: type(n) is int and n > 0,
            "mac": str,
            "manifest": strict.optional(str),
        }
    ],
    "rows": [{"runs": [int], "cells": CELL, "marks": str}],
    "kept": lambda kept: isinstance(kept, dict) and all(map(strict.is_label, kept)),
    "made_from": lambda names: isinstance(names, dict) and all(map(strict.is_file_name, names)),
}


@dataclass(frozen=True)
class Row:
    """Where one row of a table comes from.

    Attributes:
        sources: The runs behind it.
        cells: Column → how its number comes from their logs. Other columns are sealed and not recomputed.
    """

    sources: list[Source]
    cells: dict[str, Cited] = field(default_factory=dict)


def seal_table(
    path: Path,
    *,
    project: str,
    key: TeamKey,
    rows: list[Row] | None = None,
    made_from: tuple[str, ...] = (),
    keep_logs: bool = False,
) -> None:
    """Seal a CSV that has been written.

    Args:
        project: Whose result it is.
        key: The team's.
        rows: One citation a row; None for a table that comes from no run (a benchmark's timings).
        made_from: Names of tables in the same folder that this one was computed from.
        keep_logs: Put compressed copies of the cited logs into logs/, so that the repository alone can be checked.

    Raises:
        UserError: If a citation does not give the number in the table, or the table is larger than what is verified.
    """
    raw = path.read_bytes()
    if len(raw) > LARGEST:
        raise UserError(f"{path} has {len(raw):,} bytes, {LARGEST:,} are allowed")
    header, lines = _parse(raw, path)
    rows = rows if rows is not None else [Row([]) for _ in lines]
    if len(rows) != len(lines):
        raise UserError(f"{path} has {len(lines)} rows, and {len(rows)} citations were given")
    runs = {source.run: source for row in rows for source in row.sources}
    logs = {run: source.log for run, source in runs.items()}
    for number, (row, line) in enumerate(zip(rows, lines, strict=True), start=1):
        named = {source.run: logs[source.run] for source in row.sources}
        try:
            _recompute(row.cells, dict(zip(header, line, strict=True)), named)
        except BrokenError as broken:
            raise UserError(f"{path}, row {number}: {broken.detail}") from None
    body = {
        "project": project,
        "table": path.name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "columns": header,
        "runs": [source.as_json() for source in runs.values()],
        "rows": [_row(row, line, list(runs)) for row, line in zip(rows, lines, strict=True)],
        "kept": {run: file_digest(keep_log(s, path.parent / LOGS)) for run, s in runs.items()} if keep_logs else {},
        "made_from": {name: file_digest(path.parent / name) for name in made_from},
    }
    envelope.write(_seal_of(path), KIND, body, key)


def _row(row: Row, line: list[str], runs: list[str]) -> dict[str, Any]:
    cells = {column: cell.as_json(runs) for column, cell in row.cells.items()}
    return {"runs": [runs.index(source.run) for source in row.sources], "cells": cells, "marks": _marks(line)}


def _marks(line: list[str]) -> str:
    """Four bytes a cell: they name a cell that differs; the table's whole digest decides."""
    return "".join(hashlib.sha256(cell.encode()).hexdigest()[:8] for cell in line)


def _seal_of(table: Path) -> Path:
    return table.with_name(table.name + SUFFIX)


def _parse(raw: bytes, path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        header, *lines = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    except (ValueError, csv.Error):
        raise BrokenError(Verdict.TAMPERED, f"{path.name} is no table") from None
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise BrokenError(Verdict.TAMPERED, f"row {number} has {len(line)} cells, not {len(header)}")
    return header, lines


def _recompute(cells: dict[str, Cited], row: dict[str, str], logs: dict[str, CheckedLog]) -> None:
    """Refuse a row whose numbers are not those of the logs that it names.

    Raises:
        BrokenError: WRONG-RUN for a citation of, or a `run` column with, another run than the row's; else TAMPERED.
    """
    said = row.get("run", "")
    if logs and re.fullmatch("[0-9a-f]{16}", said) and said not in logs:
        raise BrokenError(Verdict.WRONG_RUN, f"its run is {said}, and {', '.join(logs)} is cited")
    for column, cell in cells.items():
        value = cell.text(logs)
        if row.get(column) != value:
            raise BrokenError(Verdict.TAMPERED, f"{column} is {row.get(column)}, and the log gives {value}")


def verify_folder(folder: Path, keys: Keys, library: Library, *, recompute: bool = False) -> list[Finding]:
    """Findings for every table of a results folder, one if all is well with it.

    Args:
        folder: Holds the tables, their seals, and perhaps logs/.
        keys: Whose seals are accepted.
        library: Finds logs that are not kept in the folder.
        recompute: Regenerate the cited numbers; without it the seals alone are checked.
    """
    names = {path.name.removesuffix(SUFFIX) for path in folder.iterdir() if is_table(path.name.removesuffix(SUFFIX))}
    findings: list[Finding] = []
    cited: dict[str, dict[str, Any]] = {}
    for table in sorted(folder / name for name in names):
        try:
            sealed = _open(table, keys)
            cited |= {saved["run"]: saved for saved in sealed.body["runs"]}
            findings.append(_check(table, sealed, keys, library, recompute=recompute))
        except BrokenError as broken:
            findings.append(broken.at(table))
    findings += _written_again(cited.values(), keys, library)
    for path in sorted((folder / LOGS).glob("*")):
        if path.name.removesuffix(KEPT) not in cited:
            findings.append(Finding(path, Verdict.EXTRA, "no table here cites this log"))
    return findings


def cited_cells(folder: Path, keys: Keys, library: Library) -> dict[str, list[dict[str, Cited]]]:
    """Citations of each row, by column, of every table that is as it was sealed; none where a log is missing.

    The cited numbers are computed again: a table that they do not give is left out.
    """
    found: dict[str, list[dict[str, Cited]]] = {}
    for table in sorted(path for path in folder.iterdir() if is_table(path.name)):
        try:
            sealed = _open(table, keys)
            found[table.name] = [{} for _ in sealed.body["rows"]]
            _check(table, sealed, keys, library, recompute=True)
            runs = [saved["run"] for saved in sealed.body["runs"]]
            rows = [row["cells"].items() for row in sealed.body["rows"]]
            found[table.name] = [{column: Cited.from_json(value, runs) for column, value in row} for row in rows]
        except BrokenError as broken:
            if broken.verdict is not Verdict.MISSING:
                found.pop(table.name, None)
    return found


def is_table(name: str) -> bool:
    """Whether a file of this name holds a table, and so needs a seal."""
    return name.lower().endswith(".csv")


def _written_again(cited: Iterable[dict[str, Any]], keys: Keys, library: Library) -> Iterator[Finding]:
    """Runs of this machine whose logs no longer say what a table here was made from."""
    for saved in cited:
        directory = library.directory(saved["run"])
        if directory is None:
            continue
        try:
            macs = log.check_log(directory / LOG_NAME, keys).macs
        except BrokenError:
            continue  # the run's own verification names it
        if macs[saved["lines"] - 1 : saved["lines"]] != [saved["mac"]]:
            detail = f"line {saved['lines']} is not the one that was published: written again since"
            yield Finding(directory / LOG_NAME, Verdict.REPLAYED, detail)


def remove_uncited_logs(folder: Path, keys: Keys) -> None:
    """Remove logs that an earlier publication kept, of runs that no table cites any more; other files stay.

    Where a seal does not hold (another team's, for one), what its table cites is not known, and nothing is removed.
    """
    try:
        seals = [envelope.read(path, KIND, keys).body for path in folder.glob(f"*.csv{SUFFIX}")]
    except BrokenError:
        return  # verify names the seal
    cited = {saved["run"] for body in seals for saved in body["runs"]}
    for path in (folder / LOGS).glob(f"*{KEPT}"):
        run = path.name.removesuffix(KEPT)
        if re.fullmatch("[0-9a-f]{16}", run) and run not in cited:
            path.unlink()


def _open(table: Path, keys: Keys) -> Sealed:
    """The table's seal, once the table is the one that it seals."""
    try:
        sealed = envelope.read(_seal_of(table), KIND, keys, SHAPE)
    except BrokenError as broken:
        detail = "the table has no seal" if broken.verdict is Verdict.MISSING else broken.detail
        raise BrokenError(broken.verdict, detail, _seal_of(table)) from None
    body = sealed.body
    project = _project_of(table) or body["project"]
    if (body["table"], body["project"]) != (table.name, project):
        raise BrokenError(Verdict.WRONG_RUN, f"the seal is of {body['project']}'s {body['table']}", _seal_of(table))
    raw = strict.read_regular(table, LARGEST)
    if hashlib.sha256(raw).hexdigest() != body["sha256"]:
        raise BrokenError(*_difference(raw, table, body))
    for name, digest in body["made_from"].items():
        if _digest(table.with_name(name)) != digest:
            raise BrokenError(Verdict.REPLAYED, f"was made from another {name} than the one beside it")
    for run, digest in body["kept"].items():
        kept = table.parent / LOGS / f"{run}{KEPT}"
        if _digest(kept) != digest:
            raise BrokenError(Verdict.TAMPERED, "is not the log that was kept with the table", kept)
    return sealed


def _project_of(table: Path) -> str | None:
    """Whose results a table is among by its place, wherever one looks from."""
    above = strict.place_of(table).parent
    while above.name not in ("results", ""):
        above = above.parent
    return above.parent.name or None


def _digest(path: Path) -> str:
    return hashlib.sha256(strict.read_regular(path, LARGEST)).hexdigest()


def _difference(raw: bytes, table: Path, body: dict[str, Any]) -> tuple[Verdict, str]:
    """Which cell, row or header of a table is not the sealed one."""
    header, lines = _parse(raw, table)
    if header != body["columns"]:
        return Verdict.TAMPERED, "the columns differ from the sealed ones"
    for number, (line, saved) in enumerate(zip(lines, body["rows"], strict=False), start=1):
        now, then = _marks(line), saved["marks"]
        for index, column in enumerate(header):
            if now[8 * index : 8 * index + 8] != then[8 * index : 8 * index + 8]:
                return Verdict.TAMPERED, f"row {number}, column {column} differs from the sealed cell"
    if len(lines) != len(body["rows"]):
        verdict = Verdict.MISSING if len(lines) < len(body["rows"]) else Verdict.EXTRA
        return verdict, f"{len(lines)} rows, and {len(body['rows'])} were sealed"
    return Verdict.TAMPERED, "every cell is the sealed one, written in other bytes"


def _check(table: Path, sealed: Sealed, keys: Keys, library: Library, *, recompute: bool) -> Finding:
    """The finding for a table whose seal holds.

    Raises:
        BrokenError: For the first cited log or manifest that does not hold, or number that the logs do not give.
    """
    body = sealed.body
    bare = not any(row["cells"] for row in body["rows"])
    verdict = Verdict.SEALED_ONLY if bare and sealed.verdict is Verdict.OK else sealed.verdict
    if bare or not recompute:
        without = ", none of its numbers comes from a log" if bare else ""
        return Finding(table, verdict, f"{len(body['rows'])} rows as sealed{without}, team {body.get('team', '?')}")
    runs = [saved["run"] for saved in body["runs"]]
    logs = {saved["run"]: _cited_log(table.parent, saved, library) for saved in body["runs"]}
    manifests = [_cited_manifest(saved["run"], saved.get("manifest"), keys, library) for saved in body["runs"]]
    header, lines = _parse(strict.read_regular(table, LARGEST), table)
    if len(lines) != len(body["rows"]):
        raise BrokenError(Verdict.TAMPERED, f"{len(lines)} rows, and {len(body['rows'])} were sealed")
    count = read = 0
    for number, (row, line) in enumerate(zip(body["rows"], lines, strict=True), start=1):
        try:
            cells = {column: Cited.from_json(value, runs) for column, value in row["cells"].items()}
            read += sum(part.last - part.first + 1 for cell in cells.values() for part in cell.parts)
            if read > MOST:
                raise BrokenError(Verdict.TAMPERED, f"more than {MOST:,} lines of logs are cited")
            named = {runs[index]: logs[runs[index]] for index in row["runs"] if index < len(runs)}
            _recompute(cells, dict(zip(header, line, strict=True)), named)
        except BrokenError as broken:
            raise BrokenError(broken.verdict, f"row {number}: {broken.detail}") from None
        count += len(cells)
    detail = f"{count} of {len(header) * len(lines)} cells recomputed from {len(logs)} logs"
    return Finding(table, sealed.verdict, f"{detail}; {sum(manifests)} of {len(manifests)} manifests are here")


def _cited_log(folder: Path, saved: dict[str, Any], library: Library) -> CheckedLog:
    run = saved["run"]
    checked = library.log(run, folder / LOGS)
    kept = folder / LOGS / f"{run}{KEPT}"
    if len(checked.records) < saved["lines"]:
        reason = f"the log of run {run} ends at line {len(checked.records)}; line {saved['lines']} is cited"
        raise BrokenError(Verdict.TRUNCATED, reason, kept if kept.exists() else None)
    if checked.macs[saved["lines"] - 1] != saved["mac"]:
        raise BrokenError(Verdict.REPLAYED, f"the log of run {run} is not the one that was cited: run again since")
    return checked


def _cited_manifest(run: str, digest: str | None, keys: Keys, library: Library) -> bool:
    """Whether the cited manifest is on this machine; a run that is here must have it."""
    directory = library.directory(run)
    if digest is None or directory is None:
        return False
    for path in directory.rglob(manifest.NAME):
        if _digest(path) == digest:
            envelope.read(path, manifest.KIND, keys)
            return True
    raise BrokenError(Verdict.MISSING, f"no manifest with the cited digest {digest[:16]}…", directory / "checkpoints")
