"""The folder of exported graphs: used again for its model, made anew for another, and never put over anything else."""

import os
import sys
from pathlib import Path

from projects.onnx_serving.export.onnx_export import ExportConfig
from projects.onnx_serving.export.onnx_export import main as export
from shared.errors import UserError
from shared.files import read_json, remove_directory
from shared.fingerprint import verify
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import file_digest


def claim_export(out: Path) -> None:
    """Refuse, before any work, a folder in which there is anything that the export did not write.

    Raises:
        UserError: If there is, or if a file of an export was changed.
    """
    if (out / MANIFEST).exists():
        require_unchanged(out)
    elif os.path.lexists(out):  # a link to nothing, too
        raise UserError(f"{out} is no export of this project and is not overwritten: move it")


def export_if_needed(qa: Path, out: Path) -> Path:
    """Export a model unless the folder holds the graphs of this very model. Returns the folder.

    Args:
        qa: Sealed folder of the trained model.
        out: Folder of the graphs; one that was made from another model is replaced.

    Raises:
        UserError: If there is anything in `out` that the export did not write. Nothing is removed then.
    """
    claim_export(out)
    if out.exists():
        if read_json(out / "serving.json").get("made_from") == file_digest(qa / MANIFEST):
            return out
        sys.stdout.write(f"{out} was made from another model: it is made anew\n")
        remove_directory(out)
    return export(ExportConfig(qa=qa, out=out))


def require_unchanged(folder: Path) -> None:
    """Check a sealed folder.

    Raises:
        UserError: If a file in it is missing or changed, or is not of it.
    """
    for finding in verify(folder):
        if not finding.verdict.unchanged:
            raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}; remove {folder} and run again")
