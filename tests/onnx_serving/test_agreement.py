"""What the studies of make results- write of one model and its graphs, on a few films."""

import pytest
from transformers import PreTrainedTokenizerFast

from projects.onnx_serving.agreement import answer_rows
from projects.onnx_serving.smoothing_study import STRENGTHS, smoothing_rows
from tests.onnx_serving.conftest import tiny_encoder


@pytest.fixture(scope="module")
def qa(tmp_path_factory, qa_tokenizer):
    """The encoder of `graphs` as a saved model, with a threshold among its margins."""
    folder = tmp_path_factory.mktemp("qa")
    encoder = tiny_encoder()
    encoder.config.question_answering = {"window": 96, "overlap": 28, "threshold": 0.0}
    encoder.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(qa_tokenizer, encoding="utf-8")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special).save_pretrained(folder)
    return folder


def test_float32_gives_the_answers_of_torch_and_int8_is_counted(qa, graphs):
    torch, bfloat16, float32, int8 = answer_rows(qa, graphs, limit=3)
    assert torch["same"] == float32["same"] == 1 and torch["int8_products"] == float32["int8_products"] == 0
    assert float32["answered_f1"] == torch["answered_f1"] and float32["no_answer_f1"] == torch["no_answer_f1"]
    assert int8["int8_products"] == 13 and 0 <= int8["same"] <= 1
    assert bfloat16["backend"] == "torch bfloat16" and 0 < bfloat16["same"] <= 1
    assert torch["questions"] == float32["questions"] == int8["questions"] > 6


def test_a_row_a_strength_and_one_without(qa, graphs):
    rows = smoothing_rows(qa, graphs, limit=3)
    assert [row["strength"] for row in rows] == ["none", *map(str, STRENGTHS)]
    distances = [row["margin_distance"] for row in rows]
    assert min(distances) > 0 and len(set(distances)) > 1  # int8 is not float32, and the strength changes something
    assert all(0 <= row["same"] <= 1 for row in rows)
