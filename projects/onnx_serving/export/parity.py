"""Do the graphs compute what torch does? Cases of many shapes, answered by a fresh process, compared here."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.export.onnx_export import count_products
from projects.onnx_serving.export.reload import FILES, STEPS, write_arrays
from projects.onnx_serving.inference.token_by_token import left_pad, position_ids_of
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from shared.errors import UserError
from shared.files import read_json, write_json
from shared.progress import table

TOLERANCE = 1e-4  # of the largest difference over the largest logit: float32 rounding through thirty blocks
ROWS, ENCODER_TOKENS, DECODER_TOKENS = (1, 2, 8), (1, 2, 64), (1, 2, 60)
LONGEST_PROMPT = 512


def check(encoder: Any, decoder: Any, pad_id: int, folder: Path) -> list[dict[str, Any]]:
    """Compare all graphs with torch and write parity.json beside them.

    Args:
        encoder: A model for question answering.
        decoder: A causal language model.
        pad_id: Fills the decoder's short rows.
        folder: Holds the graphs.

    Returns:
        One row a graph and case: shapes, largest difference, the same over the largest logit, share of equal argmax.

    Raises:
        UserError: If a float32 graph differs from torch by more than rounding, or cannot be loaded.
    """
    cases = dict(cases_of(encoder, decoder, pad_id))
    found = fresh_logits(folder, cases)
    expected = {name: torch_logits(encoder, decoder, name, case) for name, case in cases.items()}
    rows = [
        compare(file, name, found[f"{file}/{name}"], expected[name])
        for kind in FILES
        for file in FILES[kind]
        for name in cases
        if name.startswith(kind)
    ]
    write_json(folder / "parity.json", rows)
    for row in rows:
        if ".int8." not in row["graph"] and not row["relative"] <= TOLERANCE:
            raise UserError(f"{row['graph']} differs from torch by {row['largest']:.1e} at {row['case']}: not exported")
    return rows


def cases_of(encoder: Any, decoder: Any, pad_id: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Random tokens in every combination of rows and tokens, the longest among them; rows of mixed lengths.

    A decoder's case has tokens for the prefill and for the steps after it.
    """
    draw = np.random.default_rng(0)
    for rows in ROWS:
        for tokens in (*ENCODER_TOKENS, *((encoder.config.max_position_embeddings,) if rows == 1 else ())):
            lengths = draw.integers(1, tokens, size=rows, endpoint=True)
            lengths[0] = tokens
            mask = (np.arange(tokens)[None, :] < lengths[:, None]).astype(np.int64)
            ids = draw.integers(0, encoder.config.vocab_size, (rows, tokens)) * mask
            types = (np.arange(tokens)[None, :] >= lengths[:, None] // 3).astype(np.int64) * mask
            yield f"encoder/{rows}x{tokens}", {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        for tokens in (*DECODER_TOKENS, *((LONGEST_PROMPT,) if rows == 1 else ())):
            lengths = draw.integers(1, tokens, size=rows, endpoint=True)
            lengths[0] = tokens
            texts = [draw.integers(0, decoder.config.vocab_size, n + STEPS).tolist() for n in lengths]
            ids, mask = left_pad(texts, pad_id)
            inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": position_ids_of(mask)}
            yield f"decoder/{rows}x{tokens}", inputs


def fresh_logits(folder: Path, cases: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Logits of the graphs in a fresh process.

    Raises:
        UserError: With its last line, if it fails.
    """
    with tempfile.TemporaryDirectory() as place:
        given, taken = Path(place) / "cases.npz", Path(place) / "answers.npz"
        write_arrays(given, {f"{name}/{part}": array for name, case in cases.items() for part, array in case.items()})
        words = ["--folder", str(folder), "--cases", str(given), "--answers", str(taken)]
        done = subprocess.run(
            [sys.executable, "-m", "projects.onnx_serving.export.reload", *words], capture_output=True, text=True
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the exported graphs do not run in a fresh process: {last.removeprefix('error: ')}")
        with np.load(taken, allow_pickle=False) as file:
            return dict(file)


def torch_logits(encoder: Any, decoder: Any, name: str, case: dict[str, np.ndarray]) -> np.ndarray:
    """The same logits by torch. The decoder uses no cache: each step is a full forward pass over all tokens so far."""
    if name.startswith("encoder"):
        return np.stack(TorchEncoder(encoder)(case))
    run = TorchDecoder(decoder)
    ids, mask, positions = case["input_ids"], case["attention_mask"], case["position_ids"]
    ends = range(ids.shape[1] - STEPS, ids.shape[1] + 1)
    return np.stack([run(ids[:, :n], mask[:, :n], positions[:, :n], None)[0] for n in ends])


def compare(graph: str, case: str, found: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """How far two arrays of logits are apart."""
    largest = float(np.abs(found - expected).max())
    return {
        "graph": graph,
        "case": case.partition("/")[2],
        "largest": largest,
        "relative": largest / float(np.abs(expected).max()),
        "same_argmax": float((found.argmax(-1) == expected.argmax(-1)).mean()),
    }


def summary(rows: list[dict[str, Any]]) -> list[tuple[str, int, str, float]]:
    """For each graph: cases, largest difference over the largest logit, mean share of equal argmax."""
    found = []
    for graph in dict.fromkeys(row["graph"] for row in rows):
        mine = [row for row in rows if row["graph"] == graph]
        share = sum(row["same_argmax"] for row in mine) / len(mine)
        found.append((graph, len(mine), f"{max(row['relative'] for row in mine):.1e}", share))
    return found


def show(folder: Path) -> None:
    """Print how the graphs compare with torch, as a fresh process found it when they were exported."""
    products = {name: count_products(folder / name) for name in sorted(path.name for path in folder.glob("*.onnx"))}
    rows = [
        (graph, f"{(folder / graph).stat().st_size / 1e6:.0f} MB", products[graph]["int8"], cases, gap, f"{same:.1%}")
        for graph, cases, gap, same in summary(read_json(folder / "parity.json"))
    ]
    columns = ["graph", "size", "int8 products", "cases", "largest relative difference", "same argmax"]
    table("Graphs against torch, reloaded in a fresh process", columns, rows)
