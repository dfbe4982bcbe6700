"""Whether the graphs find what torch finds: spans and decisions on questions of validation."""

from pathlib import Path
from typing import Any

from projects.qa_api.config import Config
from projects.qa_api.export import FOLDER, agreement
from projects.qa_api.runtime import Precision, onnx_parts
from projects.qa_api.train import load_reader, questions
from shared.files import read_json


def rows(run: Path, most: int = 300) -> list[dict[str, Any]]:
    """A row a precision, on questions made as the reader's own were, but of validation titles and wordings."""
    told = read_json(run / "config.json")
    config = Config(**{name: told[name] for name in ("model", "facts", "cloze", "missing", "upper")})
    pairs, reader = questions(config, "validation", most).pairs, load_reader(run)
    precisions: tuple[Precision, ...] = ("float32", "int8")
    found = []
    for precision in precisions:
        counted = agreement(reader, onnx_parts(run / FOLDER, precision)[0], pairs)
        found.append({"precision": precision, **{name: round(value, 4) for name, value in counted.items()}})
    return found
