"""What is added to the model for one row of a batch: updates of its linear layers, vectors to its hidden states.

Two rows of one batch can so answer as two fine-tuned models, or one as itself and one pushed towards a direction.

r rows · d input width of a layer · k its output width · q rank · h hidden size
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from shared.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto

LINEARS = ("attn.qkv_proj", "attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
PACKED = ("q_proj", "k_proj", "v_proj")
"""The graph computes these three in one product, so that their updates are put together to one of thrice the rank."""


@dataclass(frozen=True, eq=False)
class Steering:
    """What a row gets; two rows have the same only if they share the object.

    Attributes:
        updates: (layer, name in LINEARS) → (down (d, q), up (q, k)) of the update x ↦ (x down) up, its scale included
            (Hu et al. 2021, §4.1).
        vectors: Layer → vector (h) that is added to the hidden states behind it.
    """

    updates: Mapping[tuple[int, str], tuple[Float[np.ndarray, "d q"], Float[np.ndarray, "q k"]]] = field(
        default_factory=dict
    )
    vectors: Mapping[int, Float[np.ndarray, " h"]] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Graph input → its part for one row, without the row's axis."""
        found: dict[str, np.ndarray] = {}
        for (layer, name), (down, up) in self.updates.items():
            found |= {f"{layer}.{name}.down": down, f"{layer}.{name}.up": up}
        return found | {f"{layer}.vector": vector[None] for layer, vector in self.vectors.items()}


class RowSteering:
    """What is added in each row of a cache, as the arrays that the graph is given: first all updates of rank 0.

    Args:
        shapes: Graph input → its shape; names stand for the rows and for the rank.
        rows: r.
    """

    def __init__(self, shapes: Mapping[str, list[int | str]], rows: int) -> None:
        sizes = {name: [n if isinstance(n, int) else 0 for n in shape[1:]] for name, shape in shapes.items()}
        self.arrays = {name: np.zeros((rows, *size), np.float32) for name, size in sizes.items()}
        self.of: list[Steering | None] = [None] * rows

    def set(self, row: int, steering: Steering | None) -> None:
        """Let a row get this and nothing else.

        Raises:
            UserError: If the model has no such layer, or an array does not fit it.
        """
        if steering is self.of[row]:
            return
        parts = steering.arrays() if steering else {}
        for name, part in parts.items():
            self._check(name, part)
        for name in self.arrays:
            self._put(name, row, parts.get(name))
        self.of[row] = steering

    def _check(self, name: str, part: np.ndarray) -> None:
        if name not in self.arrays:
            raise UserError(f"there is no {name.rpartition('.')[0]} in the model, or it was not loaded as steerable")
        axis = {"down": 1, "up": 0}.get(name.rpartition(".")[2])  # the rank's, which is free
        wanted = self.arrays[name].shape[1:]
        if part.ndim != 2 or any(a != b for i, (a, b) in enumerate(zip(part.shape, wanted, strict=True)) if i != axis):
            raise UserError(f"{name} has the shape {part.shape}, and the model's layer {wanted}")

    def _put(self, name: str, row: int, part: np.ndarray | None) -> None:
        have = self.arrays[name]
        if part is not None and any(a > b for a, b in zip(part.shape, have.shape[1:], strict=True)):
            self.arrays[name] = np.zeros((len(have), *part.shape), np.float32)  # a larger rank: the others get zeros
            self.arrays[name][:, : have.shape[1], : have.shape[2]] = have
        self.arrays[name][row] = 0
        if part is not None:
            self.arrays[name][row, : part.shape[0], : part.shape[1]] = part


# ---------------------------------------------------------------- from a trained adapter


def read_lora(folder: Path | str, heads: tuple[int, int, int]) -> Steering:
    """A LoRA adapter as PEFT saves it: adapter_config.json and adapter_model.safetensors.

    Args:
        folder: Where PEFT saved the adapter.
        heads: (width of q, of k, of v) of the model, see `Engine.heads`.

    Raises:
        UserError: If there is none, or it changes something else than linear layers of the decoder.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        state = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no LoRA adapter of PEFT's ({error})") from None
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("rank_pattern"):
        raise UserError(f"{folder}: only plain LoRA with one rank can be served")
    rank = config["r"]
    return from_lora(state, config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank), heads)


def from_lora(state: Mapping[str, np.ndarray], scale: float, heads: tuple[int, int, int]) -> Steering:
    """Steering from PEFT's names `….layers.3.self_attn.q_proj.lora_A.weight` (q, d) and `….lora_B.weight` (k, q).

    Raises:
        UserError: If another name is among them.
    """
    pairs: dict[tuple[int, str], dict[str, np.ndarray]] = {}
    for name, array in state.items():
        parts = name.split(".")
        if len(parts) < 6 or parts[-1] != "weight" or parts[-2] not in ("lora_A", "lora_B") or parts[-6] != "layers":
            raise UserError(f"{name}: only lora_A and lora_B of the decoder's linear layers can be served")
        pairs.setdefault((int(parts[-5]), parts[-3]), {})[parts[-2]] = array.astype(np.float32)
    found = {key: (pair["lora_A"].T, scale * pair["lora_B"].T) for key, pair in pairs.items()}
    updates = {(layer, _named(name)): pair for (layer, name), pair in found.items() if name not in PACKED}
    for layer in sorted({layer for layer, name in found if name in PACKED}):
        updates[layer, "attn.qkv_proj"] = _pack([found.get((layer, name)) for name in PACKED], heads)
    return Steering(updates)


def _named(name: str) -> str:
    return f"attn.{name}" if name == "o_proj" else f"mlp.{name}"


def _pack(pairs: list[Any], widths: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The updates of q, k and v as one: their downs side by side, their ups on a diagonal of blocks."""
    downs, ups, start = [], [], 0
    for pair, width in zip(pairs, widths, strict=True):
        if pair is not None:
            up = np.zeros((pair[1].shape[0], sum(widths)), np.float32)
            up[:, start : start + width] = pair[1]
            downs.append(pair[0])
            ups.append(up)
        start += width
    return np.concatenate(downs, 1), np.concatenate(ups)


# ---------------------------------------------------------------- in the graph


def make_steerable(model: "ModelProto") -> None:
    """Give a decoder's graph inputs: `<layer>.<linear>.down` (r, d, q), `….up` (r, q, k), `<layer>.vector` (r, 1, h).

    A vector is added where the layer's last product is, whose result is then added to the hidden states.
    """
    from onnx import helper

    graph = model.graph
    weights = {weight.name: list(weight.dims) for weight in graph.initializer}
    for node in [node for node in graph.node if _linear(node.name)]:
        name, output = _linear(node.name), node.output[0]
        wide, out = _widths(node, weights)
        added = f"{name}.update"
        nodes = [
            helper.make_node("MatMul", [node.input[0], f"{name}.down"], [f"{name}.low"]),
            helper.make_node("MatMul", [f"{name}.low", f"{name}.up"], [added]),
        ]
        _add_input(graph, f"{name}.down", ["batch_size", wide, "rank"])
        _add_input(graph, f"{name}.up", ["batch_size", "rank", out])
        if name.endswith("mlp.down_proj"):
            vector = f"{name.partition('.')[0]}.vector"
            nodes.append(helper.make_node("Add", [added, vector], [added := f"{name}.both"]))
            _add_input(graph, vector, ["batch_size", 1, out])
        node.output[0] = f"{name}.plain"
        nodes.append(helper.make_node("Add", [node.output[0], added], [output]))
        place = list(graph.node).index(node) + 1
        for offset, new in enumerate(nodes):
            graph.node.insert(place + offset, new)


def _widths(node: Any, weights: Mapping[str, list[int]]) -> tuple[int, int]:
    """Input and output width of a product: of float weights from their shape, of 8-bit blocks from its attributes."""
    if node.op_type == "MatMul":
        wide, out = weights[node.input[1]]
        return wide, out
    sizes = {attribute.name: attribute.i for attribute in node.attribute}
    return sizes["K"], sizes["N"]


def _add_input(graph: Any, name: str, shape: list[int | str]) -> None:
    from onnx import TensorProto, helper

    graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _linear(node: str) -> str:
    """`3.attn.o_proj` of the builder's `/model/layers.3/attn/o_proj/MatMul`, "" for any other node."""
    parts = node.split("/")
    if len(parts) != 6 or not parts[2].startswith("layers.") or not parts[5].startswith("MatMul"):
        return ""
    name = f"{parts[3]}.{parts[4]}"
    return f"{parts[2].removeprefix('layers.')}.{name}" if name in LINEARS else ""
