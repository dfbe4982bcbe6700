"""The task that the library dropped is there again, and answers with characters of the context."""

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, pipeline

from projects.onnx_serving.inference.pipelines import TASK, question_answering, register, settings_of
from shared.errors import UserError

ODD = "Vertigo 🎬 is a 1958 film\r\ndirected by Hitchcock – «Alfred». " * 6


@pytest.fixture(scope="module")
def tokenizer(qa_tokenizer):
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(qa_tokenizer), **special)


@pytest.fixture(scope="module")
def answering(encoder, tokenizer):
    return pipeline("question-answering", model=encoder, tokenizer=tokenizer, device="cpu")


def test_offsets_are_the_answers(answering):
    for found in answering(question="Who?", context=ODD, top_k=8, threshold=-100.0):
        assert ODD[found["start"] : found["end"]] == found["answer"] != ""
        assert 0 <= found["score"] <= 1 and 0 <= found["no_answer"] <= 1


def test_one_answer_is_a_dictionary_and_a_list_gives_a_list(answering):
    one = answering(question="Who?", context="A b c.")
    both = answering([{"question": "Who?", "context": "A b c."}, {"question": "When?", "context": ODD}])
    assert both[0] == one and len(both) == 2


def test_a_high_threshold_leaves_no_answer(answering):
    found = answering(question="Who?", context=ODD, threshold=100.0)
    assert (found["answer"], found["start"], found["end"]) == ("", 0, 0) and found["no_answer"] > 0.5


def test_windows_of_any_length_give_spans(answering):
    long = answering(question="Who?", context=ODD, threshold=-100.0, max_seq_len=120, doc_stride=30)
    assert long["answer"] in ODD


def test_registering_twice_changes_nothing():
    from transformers.pipelines import PIPELINE_REGISTRY

    before = PIPELINE_REGISTRY.supported_tasks[TASK]
    register()
    assert PIPELINE_REGISTRY.supported_tasks[TASK] is before


@pytest.mark.parametrize(
    "given", [{"question": "Who?"}, {"question": " ", "context": "x"}, {"question": "x", "context": ""}]
)
def test_refused(answering, given):
    with pytest.raises(UserError):
        answering(**given)


def test_top_k_must_be_positive(answering):
    with pytest.raises(UserError, match="at least 1"):
        answering(question="Who?", context="x", top_k=0)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match="train it first"):
        question_answering(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"cannot|can be"):
        question_answering(tmp_path)


def test_settings_without_any_in_the_model(encoder):
    assert settings_of(encoder)["threshold"] == 0.0
