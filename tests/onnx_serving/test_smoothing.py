"""Outliers moved into the weights: the graph computes the same, and in int8 it loses less."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from projects.onnx_serving.export.onnx_export import count_products, quantise, read_graph
from projects.onnx_serving.export.smoothing import (
    largest_activations,
    products_by_input,
    smooth_activations,
    smoothing_scale,
)
from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
from projects.onnx_serving.paths import ENCODER


def drawn(rows=4, tokens=20, seed=0):
    ids = np.random.default_rng(seed).integers(0, 30522, (rows, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def product(columns=3, channels=16, seed=0):
    """X @ W, and a batch in which one channel is a hundred times as large as the others."""
    draw = np.random.default_rng(seed)
    weight = numpy_helper.from_array(draw.normal(size=(channels, columns)).astype(np.float32), "w")
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c]) for n, c in (("x", 16), ("y", 3)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", [given], [made], [weight])
    x = draw.normal(size=(64, channels)).astype(np.float32)
    x[:, 5] *= 100
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), x


def ran(path, x):
    (y,) = InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    return y


def test_the_scale_by_hand():
    """256^¾/1^¼ = 64 and 1^¾/65536^¼ = 1/16, divided by their geometric mean, 2."""
    matrices = [np.array([[1.0, -0.5], [0.0, 0.25]]), np.array([[0.0], [-65536.0]])]
    assert smoothing_scale(np.array([256.0, 1.0]), matrices, 0.75) == pytest.approx([32.0, 1 / 32])


def test_a_channel_that_is_never_at_work_stays_finite():
    found = smoothing_scale(np.array([0.0, 1.0]), [np.array([[0.0], [1.0]])], 0.8)
    assert np.isfinite(found).all() and (found > 0).all()


def test_the_largest_size_is_over_all_batches():
    model, x = product()
    found = largest_activations(model, ["x"], [{"x": x[:10]}, {"x": x[10:]}])
    assert np.array_equal(found["x"], np.abs(x).max(0))


def test_the_graph_computes_the_same(graphs, tmp_path):
    whole = read_graph(graphs / ENCODER)
    path = tmp_path / "smoothed.onnx"
    onnx.save(smooth_activations(whole, [drawn(seed=1)], 0.8), path)
    onnx.checker.check_model(str(path))
    for one, other in zip(OnnxEncoder(graphs / ENCODER, 1)(drawn()), OnnxEncoder(path, 1)(drawn()), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


def test_products_that_read_the_same_share_a_division(graphs):
    whole = read_graph(graphs / ENCODER)
    readers = products_by_input(whole)
    assert sorted(map(len, readers.values())) == [1] * 7 + [3, 3]  # out, up and down of two blocks, head; and q, k, v
    added = len(smooth_activations(whole, [drawn()], 0.8).graph.node) - len(whole.graph.node)
    assert added == len(readers)


def test_the_given_graph_is_left_alone(graphs):
    whole = read_graph(graphs / ENCODER)
    before = whole.SerializeToString()
    smooth_activations(whole, [drawn()], 0.8)
    assert whole.SerializeToString() == before


def test_an_outlier_costs_less(tmp_path):
    """Its channel sets the scale of the tensor: the others were left a hundredth of the steps."""
    model, x = product()
    onnx.save(model, tmp_path / "product.onnx")
    exact = ran(tmp_path / "product.onnx", x)
    plain = quantise(tmp_path / "product.onnx", tmp_path / "plain.onnx")
    even = quantise(tmp_path / "product.onnx", tmp_path / "even.onnx", [{"x": x}])
    assert count_products(even)["int8"] == 1
    errors = [np.abs(ran(path, x) - exact).mean() for path in (plain, even)]
    assert errors[1] < errors[0] / 2
