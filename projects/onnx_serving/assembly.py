"""The embedded models, made where they are missing: the question-answering model is trained, both are exported."""

import shutil
from dataclasses import replace
from pathlib import Path

from projects.onnx_serving.config import Config
from projects.onnx_serving.export.onnx_export import ExportConfig
from projects.onnx_serving.export.onnx_export import main as export
from projects.onnx_serving.places import QA
from projects.onnx_serving.training.train_qa import main as train
from shared.errors import UserError
from shared.fingerprint import verify
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import file_digest
from shared.runs import latest_checkpoint, read_json


def trained(config: Config) -> Path:
    """The run of the question-answering model; trains it unless it is done, or goes on where it stopped.

    Raises:
        UserError: If a finished run was changed since.
    """
    directory = config.out or QA
    if not (directory / "result.json").exists():
        resume = latest_checkpoint(directory) is not None
        if not resume:
            shutil.rmtree(directory, ignore_errors=True)
        train(replace(config, out=directory, resume=resume))
    unchanged(directory / "model")
    return directory


def exported(qa: Path, out: Path) -> Path:
    """The folder of graphs made from this very model; exports it unless it is there.

    Args:
        qa: Folder of the trained model, sealed.
        out: Folder of the graphs; one that was made from another model is replaced.
    """
    serving = out / "serving.json"
    if serving.exists() and read_json(serving).get("made_from") == file_digest(qa / MANIFEST):
        unchanged(out)
        return out
    shutil.rmtree(out, ignore_errors=True)
    return export(ExportConfig(qa=qa, out=out))


def unchanged(folder: Path) -> None:
    """Check a sealed folder.

    Raises:
        UserError: If a file in it is missing or changed.
    """
    for finding in verify(folder):
        if not finding.verdict.unchanged:
            raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}; remove {folder} and run again")
