"""Verify whatever a path is: a log, a checkpoint, a run, or a tree of runs."""

from pathlib import Path

from shared.errors import UserError
from shared.fingerprint import log, manifest
from shared.fingerprint.keys import TeamKey, team_key
from shared.fingerprint.verdicts import Finding

LOG_NAME = "metrics.jsonl"


def verify(path: Path, key: TeamKey | None = None) -> list[Finding]:
    """One finding for each intact log and checkpoint below `path`, and one for each thing that is wrong.

    Args:
        path: A metrics file, a checkpoint folder, a run folder, or a folder of those.
        key: By default the key of the environment.

    Raises:
        UserError: If there is nothing at the path, or nothing that carries a fingerprint.
    """
    key = key or team_key()
    if path.is_file():
        return [log.verify_log(path, key)]
    if not path.is_dir():
        raise UserError(f"nothing to verify: {path} is not there")
    if (path / manifest.NAME).exists() or path.parent.name == "checkpoints":
        return manifest.verify_directory(path, key)
    findings = [log.verify_log(found, key) for found in sorted(path.rglob(LOG_NAME))]
    for checkpoint in sorted({p for p in path.rglob("checkpoints/*") if p.is_dir()}):
        findings += manifest.verify_directory(checkpoint, key)
    for sealed in sorted(p.parent for p in path.rglob(manifest.NAME) if p.parent.parent.name != "checkpoints"):
        findings += manifest.verify_directory(sealed, key)
    if not findings:
        raise UserError(f"nothing to verify: {path} holds no log and no manifest")
    return findings
