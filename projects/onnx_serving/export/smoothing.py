"""Outliers of activations, moved into the weights before an encoder is quantised (SmoothQuant, Xiao et al. 2023).

One scale for a whole tensor of activations is as coarse as its largest channel demands. Each channel j is divided by
s_j, and the row of the weights that it meets is multiplied by it: the product stays what it was, and the channels
come closer to each other. What makes weights uneven costs little, for they have a scale a column.
"""

# n rows of activations · c channels

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float
from onnx import NodeProto, helper, numpy_helper

STRENGTH = 0.8  # α, chosen where the margins of validation questions stayed nearest to float32's (smoothing_study.py)
SMALLEST = 1e-5  # a channel that calibration never saw at work is treated as this large


def smooth_activations(model: Any, calibration: Sequence[Mapping[str, np.ndarray]], strength: float) -> Any:
    """Build a graph that computes the same, with activations that are more even where they meet weights.

    Products that read the same activations (queries, keys and values) share one division.

    Args:
        model: A float32 graph; it is not changed.
        calibration: Typical inputs: the largest size of each channel is taken from them.
        strength: α in [0, 1], how much of the unevenness the weights take over.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {each.name: each for each in graph.initializer}
    readers = products_by_input(model)
    largest = largest_activations(model, list(readers), calibration)
    divisions: dict[str, NodeProto] = {}
    for name, numbers in readers.items():
        matrices = [graph.node[number].input[1] for number in numbers]
        scale = smoothing_scale(largest[name], [numpy_helper.to_array(weights[each]) for each in matrices], strength)
        graph.initializer.append(numpy_helper.from_array(1 / scale, f"{name}_evened_by"))
        divisions[name] = helper.make_node("Mul", [name, f"{name}_evened_by"], [f"{name}_even"], name=f"{name}_evening")
        for number, each in zip(numbers, matrices, strict=True):
            matrix = numpy_helper.to_array(weights[each]) * scale[:, None]
            weights[each].CopyFrom(numpy_helper.from_array(matrix, each))
            graph.node[number].input[0] = f"{name}_even"
    before = {min(numbers): divisions[name] for name, numbers in readers.items()}
    nodes = [node for number, each in enumerate(graph.node) for node in (before.get(number), each) if node is not None]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def smoothing_scale(
    activations: Float[np.ndarray, " c"], matrices: Sequence[Float[np.ndarray, "c _"]], strength: float
) -> Float[np.ndarray, " c"]:
    """s_j = max|x_j|^α / max|W_j|^(1−α), their geometric mean brought to 1.

    Source: Xiao et al. 2023, eq. 4.

    Args:
        activations: Largest size of each channel.
        matrices: Weights whose rows the channels meet.
        strength: α.
    """
    rows = np.max([np.abs(matrix).max(1) for matrix in matrices], axis=0)
    scale = np.maximum(activations, SMALLEST) ** strength / np.maximum(rows, SMALLEST) ** (1 - strength)
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)


def products_by_input(model: Any) -> Mapping[str, list[int]]:
    """Numbers of the products with weights, by the name of the activations that they read."""
    weights = {each.name for each in model.graph.initializer}
    found: dict[str, list[int]] = {}
    for number, node in enumerate(model.graph.node):
        if node.op_type == "MatMul" and node.input[1] in weights:
            found.setdefault(node.input[0], []).append(number)
    return found


def largest_activations(
    model: Any, names: Sequence[str], calibration: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, Float[np.ndarray, " c"]]:
    """Largest size of each channel of the named tensors over all inputs, padding included."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, Float[np.ndarray, " c"]] = {}
    for inputs in calibration:
        for name, values in zip(names, session.run(list(names), dict(inputs)), strict=True):
            size = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
            found[name] = np.maximum(found.get(name, 0), size)
    return found
