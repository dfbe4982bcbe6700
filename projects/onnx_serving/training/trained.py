"""The trained model of a configuration: found where it is finished, resumed where it stopped, or trained now."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from projects.onnx_serving.config import Config
from projects.onnx_serving.export.folder import require_unchanged
from projects.onnx_serving.paths import QA, RUNS
from projects.onnx_serving.training.train_qa import digest_of, films_of
from projects.onnx_serving.training.train_qa import main as train
from shared.errors import UserError
from shared.files import read_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import LOG_NAME, read_source
from shared.run_directories import describe_config, differing, discard, latest_checkpoint


def trained_run(config: Config) -> Path:
    """Directory of a configuration's run, trained now unless it is done, or resumed where it stopped.

    Raises:
        UserError: If the directory holds a run of another configuration or other data, one that was changed since, or
            anything that is no run of this project. Nothing in it is touched then.
    """
    directory = config.out or run_directory(config)
    if (directory / "result.json").exists():
        require_same(config, directory)
    else:
        resume = latest_checkpoint(directory) is not None
        if not resume and (directory / LOG_NAME).exists():
            discard(directory, "onnx_serving")
        train(replace(config, out=directory, resume=resume))
    require_unchanged(directory / "model")
    return directory


def run_directory(config: Config) -> Path:
    """Directory of a run without --out: each configuration has one of its own."""
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
