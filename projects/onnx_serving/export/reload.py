"""The other side of the parity check: a process that never saw torch loads the graphs and answers recorded cases.

python -m projects.onnx_serving.export.reload --folder FOLDER --cases cases.npz --answers answers.npz
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from projects.onnx_serving.inference.backends import DECODER_INPUTS, ENCODER_INPUTS
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.paths import DECODER, DECODER_INT8, ENCODER, ENCODER_INT8
from shared.errors import UserError, command
from shared.files import atomic_path

FILES = {"encoder": (ENCODER, ENCODER_INT8), "decoder": (DECODER, DECODER_INT8)}
STEPS = 4  # single tokens after the prefill, each from the cache


@dataclass(frozen=True, kw_only=True)
class ReloadConfig:
    """Answer recorded cases with exported graphs."""

    folder: Path
    """Holds the graphs."""
    cases: Path
    """Arrays by the name case/input, as `export.parity` writes them."""
    answers: Path
    """Where the outputs go, by the name file/case/output."""
    threads: int = 1
    """Threads of the runtime."""


def main(config: ReloadConfig) -> None:
    """Answer recorded cases with exported graphs, in a process without torch."""
    with np.load(config.cases, allow_pickle=False) as file:
        cases = dict(file)
    answers: dict[str, np.ndarray] = {}
    for name in FILES["encoder"]:
        encoder = OnnxEncoder(config.folder / name, config.threads)
        for case in names_of(cases, "encoder"):
            start, end = encoder({part: cases[f"{case}/{part}"] for part in ENCODER_INPUTS})
            answers[f"{name}/{case}"] = np.stack([start, end])
    for name in FILES["decoder"]:
        decoder = OnnxDecoder(config.folder / name, config.threads)
        for case in names_of(cases, "decoder"):
            answers[f"{name}/{case}"] = prefill_and_steps(
                decoder, {part: cases[f"{case}/{part}"] for part in DECODER_INPUTS}
            )
    if "torch" in sys.modules:
        raise UserError(
            "the exported graphs were loaded beside torch: the check would not show that they run without it"
        )
    write_arrays(config.answers, answers)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        np.savez(out, allow_pickle=False, **arrays)


def names_of(cases: Mapping[str, np.ndarray], kind: str) -> list[str]:
    """Names of the cases for one kind of model."""
    return sorted({name.rpartition("/")[0] for name in cases if name.startswith(kind)})


def prefill_and_steps(decoder: OnnxDecoder, case: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logits of the prefill of all but the last tokens, then of each last token from the cache: (steps + 1) × b × v."""
    ids, mask, positions = (case[name] for name in DECODER_INPUTS)
    first = ids.shape[1] - STEPS
    logits, cache = decoder(ids[:, :first], mask[:, :first], positions[:, :first], None)
    found = [logits]
    for place in range(first, ids.shape[1]):
        one = slice(place, place + 1)
        logits, cache = decoder(ids[:, one], mask[:, : place + 1], positions[:, one], cache)
        found.append(logits)
    return np.stack(found)


if __name__ == "__main__":
    command(main, ReloadConfig)
