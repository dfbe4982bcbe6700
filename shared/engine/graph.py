"""The decoder as an ONNX graph with a cache, built once from a model's safetensors.

onnxruntime-genai's builder writes the graph (fused attention that takes past keys and values, weights in float32 or in
blocks of 32 8-bit integers); only its builder is used, for its own generator holds the interpreter's lock and reserves
the whole cache. One thing is changed in the graph: it gives the logits of the positions that are asked for, since
those of a prompt of 1,000 tokens are 200 MB of which generation reads the last row. A second graph on the same weights
has inputs for what is added row by row (steering.py).
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.assets import resolve_model
from shared.assets.conversion import cache_folder, made_once
from shared.engine.steering import make_steerable
from shared.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto

Precision = Literal["float32", "int8"]
BUILDER_NAMES: dict[str, str] = {"float32": "fp32", "int8": "int8"}
PLAIN, STEERABLE = "model.onnx", "steerable.onnx"
FORMAT = 2
"""Raise it when `build_graph` writes something else than before: old graphs are then not found any more."""


def graph_folder(model: str = "smollm2", precision: Precision = "int8") -> Path:
    """Folder with both graphs, their weights and the tokenizer, built the first time (about 20 s, 260 or 540 MB).

    Its name holds the digest of configuration, weights and tokenizer, and FORMAT.

    Args:
        model: Embedded name, hub id, or a folder with safetensors of a Llama-shaped decoder.
        precision: The weights'; activations, cache and logits are float32 in both.

    Raises:
        UserError: If the model is not on this machine or cannot be built, or the cache cannot be written.
    """
    if precision not in BUILDER_NAMES:
        raise UserError(f"precision {precision!r}: choose from {', '.join(BUILDER_NAMES)}")
    source = Path(resolve_model(model))
    if not (source / "config.json").is_file() or not list(source.glob("*.safetensors")):
        raise UserError(f"{model}: the engine needs a local folder with config.json and safetensors")
    target = cache_folder() / "models" / f"engine-{precision}-{_digest(source)[:16]}-v{FORMAT}"
    notice = f"building the {precision} graph once, about 20 s"
    return made_once(target, partial(build_graph, source, precision), notice=notice)


def build_graph(source: Path, precision: Precision, folder: Path) -> None:
    """Write graph, weights and tokenizer of a model into a folder.

    In a process of its own: the builder prints, changes the import path, and leaves 2 GB of memory behind.

    Raises:
        UserError: If the builder refuses the model; its last line is the reason.
    """
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        words = ["-m", "onnxruntime_genai.models.builder", "-i", source, "-o", folder, "-c", scratch]
        words += ["-p", BUILDER_NAMES[precision], "-e", "cpu"]
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            check=False,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"{source}: no graph could be built of this model ({lines[-1]})")
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    choose_positions(graph)
    onnx.save(graph, folder / PLAIN)  # the weights stay where they are, in model.onnx.data
    make_steerable(graph)
    onnx.save(graph, folder / STEERABLE)  # has the same weights


def choose_positions(model: "ModelProto") -> None:
    """Add an input `positions` (batch, chosen, 1): the language-model head runs on these positions alone."""
    from onnx import TensorProto, helper

    graph = model.graph
    head = next(node for node in graph.node if "logits" in node.output)
    gather = helper.make_node("GatherND", [head.input[0], "positions"], ["chosen_states"], batch_dims=1)
    graph.node.insert(list(graph.node).index(head), gather)
    head.input[0] = "chosen_states"
    graph.input.append(helper.make_tensor_value_info("positions", TensorProto.INT64, ["batch_size", "chosen", 1]))
    _output(graph, "logits").type.tensor_type.shape.dim[1].dim_param = "chosen"


def _output(graph: Any, name: str) -> Any:
    return next(output for output in graph.output if output.name == name)


def _digest(source: Path) -> str:
    """Digest of what the graph is made of; 540 MB are read in half a second."""
    digest = hashlib.sha256()
    for path in sorted([*source.glob("*.json"), *source.glob("*.safetensors")]):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
