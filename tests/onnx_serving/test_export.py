"""Graphs compute what torch does, at other shapes than they were traced with, in a process without torch."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from projects.onnx_serving.export.graphs import MASKED_SCORE, causal_attention_bias
from projects.onnx_serving.export.onnx_export import count_products, read_graph, to_onnx
from projects.onnx_serving.export.parity import TOLERANCE, check, summary
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.inference.token_by_token import Prompt, generate
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from shared.errors import UserError
from tests.onnx_serving.conftest import tiny_encoder

ROWS = [[5, 6, 7], [9], [2, 11, 2, 12, 13, 14, 15, 16], [3, 4]]


def test_parity_in_a_fresh_process(graphs, encoder, decoder):
    rows = check(encoder, decoder, 2, graphs)
    exact = [row for row in rows if ".int8." not in row["graph"]]
    assert max(row["relative"] for row in exact) < TOLERANCE
    assert {row["case"] for row in exact if row["graph"].startswith("encoder")} >= {
        "1x1",
        "8x1",
        "1x2",
        "8x64",
        "1x128",
    }
    assert json.loads((graphs / "parity.json").read_text()) == rows
    assert [name for name, *_ in summary(rows)] == [
        "encoder.onnx",
        "encoder.int8.onnx",
        "decoder.onnx",
        "decoder.int8.onnx",
    ]


def test_parity_refuses_the_graph_of_other_weights(graphs, decoder):
    with pytest.raises(UserError, match=r"encoder\.onnx differs from torch"):
        check(tiny_encoder(seed=1), decoder, 2, graphs)


def test_batched_greedy_equals_one_at_a_time_and_torch(graphs, decoder):
    run = OnnxDecoder(graphs / "decoder.onnx", 1)
    prompts = [Prompt(token_ids=row, max_new_tokens=10) for row in ROWS]
    together = generate(run, prompts, pad_id=2, eos_ids={2})
    assert together == [generate(run, [prompt], pad_id=2, eos_ids={2})[0] for prompt in prompts]
    assert together == generate(TorchDecoder(decoder), prompts, pad_id=2, eos_ids={2})


def test_every_product_with_weights_is_quantised(graphs):
    for name, linear in (("encoder", 2 * 6 + 1), ("decoder", 2 * 7 + 1)):
        whole, small = count_products(graphs / f"{name}.onnx"), count_products(graphs / f"{name}.int8.onnx")
        assert whole["int8"] == 0 and whole["float_weights"] == linear
        assert small["int8"] == linear and small["float_weights"] == 0
        assert small["activations"] == whole["activations"]


def test_int8_stays_near(graphs, encoder):
    """One scale a column: a product is off by about half a step of each factor, a few per cent of the largest logit."""
    ids = np.random.default_rng(0).integers(0, 30522, (4, 20))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (exact, _), (near, _) = TorchEncoder(encoder)(inputs), OnnxEncoder(graphs / "encoder.int8.onnx", 1)(inputs)
    assert 0 < np.abs(exact - near).max() < 0.2 * np.abs(exact).max()


def test_visible_by_definition():
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    found = causal_attention_bias(mask, torch.zeros(2, 2, dtype=torch.long))
    for row in range(2):
        for new in range(2):
            for place in range(4):
                seen = bool(mask[row, place]) and place <= 2 + new
                assert found[row, 0, new, place].item() == (0.0 if seen else MASKED_SCORE)


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(UserError, match="Linear is neither"):
        to_onnx(nn.Linear(2, 2), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_file_cut_short_is_one_line(graphs, tmp_path, kept):
    raw = (graphs / "encoder.onnx").read_bytes()
    cut = tmp_path / "encoder.onnx"
    cut.write_bytes(raw[: kept if isinstance(kept, int) else int(len(raw) * kept)])
    with pytest.raises(UserError, match="cut or edited") as caught:
        OnnxEncoder(cut, 1)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_another_models(graphs, tmp_path):
    with pytest.raises(UserError, match="is not there"):
        OnnxEncoder(tmp_path / "none.onnx", 1)
    with pytest.raises(UserError, match="is not there"):
        read_graph(tmp_path / "none.onnx")
    with pytest.raises(UserError, match="another model"):
        OnnxEncoder(graphs / "decoder.onnx", 1)


def test_a_text_is_no_graph(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_text("no graph at all")
    with pytest.raises(UserError, match="graph"):
        read_graph(path)


def test_the_graph_is_valid(graphs):
    onnx.checker.check_model(str(graphs / "encoder.onnx"))
