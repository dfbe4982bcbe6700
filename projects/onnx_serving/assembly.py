"""The embedded models, made where they are missing: the question-answering model is trained, both are exported."""

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from projects.onnx_serving.config import Config
from projects.onnx_serving.export.onnx_export import ExportConfig
from projects.onnx_serving.export.onnx_export import main as export
from projects.onnx_serving.places import QA, RUNS
from projects.onnx_serving.training.train_qa import digest_of, films_of
from projects.onnx_serving.training.train_qa import main as train
from shared.errors import UserError
from shared.files import remove_directory
from shared.fingerprint import team_key, verify
from shared.fingerprint.citations import LOG_NAME, read_source
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import file_digest
from shared.runs import describe_config, differing, discard, latest_checkpoint, read_json


def trained(config: Config) -> Path:
    """The run of the question-answering model; trains it unless it is done, or goes on where it stopped.

    Raises:
        UserError: If the directory holds a run of another configuration or other data, one that was changed since, or
            anything that is no run of this project. Nothing in it is touched then.
    """
    directory = config.out or place_of(config)
    if (directory / "result.json").exists():
        require_same(config, directory)
    else:
        resume = latest_checkpoint(directory) is not None
        if not resume and (directory / LOG_NAME).exists():
            discard(directory, "onnx_serving")
        train(replace(config, out=directory, resume=resume))
    unchanged(directory / "model")
    return directory


def place_of(config: Config) -> Path:
    """Where a run goes that has no --out: each configuration has one of its own."""
    described = describe_config(config)
    if not differing(described, describe_config(Config())):
        return QA
    text = json.dumps(described, sort_keys=True)
    return RUNS / f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def require_same(config: Config, directory: Path) -> None:
    """Check that a finished run was trained on what is asked for now.

    Raises:
        UserError: If a setting or the data were others.
    """
    different = differing(describe_config(config), read_json(directory / "config.json"))
    if read_source(directory, team_key()).log.opening["data"] != digest_of(films_of(config)):
        different.append("data")
    if different:
        raise UserError(
            f"{directory} was trained with another {', '.join(different)}: give another --out, or remove it"
        )


def claim_export(out: Path) -> None:
    """Refuse, before any work, a folder in which there is anything that the export did not write.

    Raises:
        UserError: If there is, or if a file of an export was changed.
    """
    if (out / MANIFEST).exists():
        unchanged(out)
    elif os.path.lexists(out):  # a link to nothing, too
        raise UserError(f"{out} is no export of this project and is not overwritten: move it")


def exported(qa: Path, out: Path) -> Path:
    """The folder of graphs made from this very model; exports it unless it is there.

    Args:
        qa: Folder of the trained model, sealed.
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


def unchanged(folder: Path) -> None:
    """Check a sealed folder.

    Raises:
        UserError: If a file in it is missing or changed, or is not of it.
    """
    for finding in verify(folder):
        if not finding.verdict.unchanged:
            raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}; remove {folder} and run again")
