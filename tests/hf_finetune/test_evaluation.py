"""Scores against scikit-learn, calibration against its definition, the report, the pipeline and the pipe."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report as sklearns_report
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from transformers import pipeline

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.evaluation import eval as evaluation
from projects.hf_finetune.evaluation.baseline import STRENGTHS, frozen_baseline, tfidf_baseline, vectors
from projects.hf_finetune.evaluation.eval import (
    EvalConfig,
    classification_report,
    evaluation_report,
    logits_of,
    main,
    worst_errors,
)
from projects.hf_finetune.evaluation.metrics import calibration, confusion, per_class, scores, softmax
from projects.hf_finetune.predict import PredictConfig, classify, lines_of, load_pipeline
from projects.hf_finetune.predict import main as predict_lines
from projects.hf_finetune.training.models import load_tokenizer, load_trained
from projects.hf_finetune.training.supervisor import Attempt
from projects.hf_finetune.training.train import fit
from shared.assets import load_encoder
from shared.errors import UserError, command

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_scores_are_scikit_learns(pairs):
    """A class that is never predicted, or not there at all, included."""
    labels, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = confusion(labels, predicted, 4)
    assert (matrix == confusion_matrix(labels, predicted, labels=range(4))).all()
    theirs = precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=0)
    mine = per_class(matrix)
    for name, values in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
        assert np.allclose(mine[name], values)
    macro = precision_recall_fscore_support(labels, predicted, labels=range(4), average="macro", zero_division=0)
    found = scores(matrix)
    assert np.allclose([found.precision, found.recall, found.macro_f1], macro[:3])
    assert found.accuracy == pytest.approx((labels == predicted).mean())


def example(n=200, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 3)) * 2
    return softmax(logits), generator.integers(0, 3, n)


def test_calibration_is_its_definition():
    probabilities, labels = example()
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    total = 0.0
    for k in range(10):
        inside = (sure > k / 10) & (sure <= (k + 1) / 10)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    found = calibration(probabilities, labels)
    assert found.ece == pytest.approx(total) and sum(found.counts) == 200


def test_perfect_and_boastful_forecasts():
    certain = np.eye(3)[[0, 1, 2, 0]]
    assert calibration(certain, np.array([0, 1, 2, 0])).ece == 0
    assert calibration(certain, np.array([1, 2, 0, 1])).ece == 1


def test_the_report_reads_as_scikit_learns():
    probabilities, labels = example()
    classes = ["negative", "neutral", "positive"]
    split = {"labels": labels.tolist(), "text": [f"t{i}" for i in range(200)]}
    mine = classification_report(evaluation_report(probabilities, split, classes)).split()
    theirs = sklearns_report(labels, probabilities.argmax(1), target_names=classes, digits=4)
    assert mine == theirs[: theirs.index("weighted")].split()


def test_the_worst_errors_are_the_most_confident_ones():
    probabilities, labels = example()
    found = worst_errors(probabilities, labels, [f"t{i}" for i in range(200)], ["a", "b", "c"])
    confidence = [each["confidence"] for each in found]
    assert confidence == sorted(confidence, reverse=True) and all(each["true"] != each["predicted"] for each in found)
    wrong = probabilities.argmax(1) != labels
    assert confidence[0] == pytest.approx(probabilities.max(1)[wrong].max(), abs=1e-4)


def test_the_baselines_beat_the_majority_class(config):
    """The frozen encoder has random weights here: it tells the classes by what words it mixes, and no more."""
    data = prepare(replace(config, limit=None), load_tokenizer(config.model, max_length=16))
    labels = data.splits["test"]["labels"]
    majority = max(labels.count(each) for each in set(labels)) / len(labels)
    counted, frozen = tfidf_baseline(data), frozen_baseline(data, *load_encoder(config.model, max_length=16))
    assert counted["accuracy"] > 0.8 > frozen["accuracy"] > majority
    assert counted["C"] in STRENGTHS and frozen["C"] in STRENGTHS


def test_a_vector_is_the_mean_of_a_sentences_tokens_whatever_is_padded_beside_it(config):
    encoder, tokenizer = load_encoder(config.model, max_length=16)
    split = prepare(config, tokenizer).splits["validation"].select(range(8))
    for found, row in zip(vectors(encoder, tokenizer, split), split, strict=True):
        with torch.inference_mode():
            alone = encoder(input_ids=torch.tensor([row["input_ids"]])).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(found, (alone / alone.norm()).numpy(), atol=1e-5)


# ---------------------------------------------------------------- a finished run


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    config = Config(
        model=str(folder / "model"),
        dataset=str(folder / "reviews.csv"),
        text_column="review",
        label_column="tone",
        epochs=6,
        max_length=16,
        lr=5e-3,
        device="cpu",
        out=tmp_path_factory.mktemp("run") / "run",
    )
    return fit(Attempt(config, 1, resume=False)).directory


def test_the_test_split_is_read_once(run, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "prepare", lambda *_: pytest.fail("the data were read again"))
    found = main(EvalConfig(run=run))
    said = capsys.readouterr().out
    assert "Confusion matrix" in said and f"{found['accuracy']:.4f}" in said
    assert all((run / "evaluation" / name).exists() for name in ("confusion_matrix.png", "report.txt"))


def test_again_gives_the_same_scores_and_notices_another_model(run, capsys):
    main(EvalConfig(run=run, again=True))
    assert "the same scores" in capsys.readouterr().out
    report = run / "evaluation" / "report.json"
    kept = report.read_text()
    report.write_text(json.dumps({**json.loads(kept), "accuracy": 0.123}))
    with pytest.raises(UserError, match=r"accuracy was 0\.123000 after training"):
        main(EvalConfig(run=run, again=True))
    report.write_text(kept)


def test_padding_changes_no_score(run):
    model, tokenizer = load_trained(run / "model", max_length=16)
    data = prepare(evaluation.run_config(run), tokenizer)
    together = logits_of(model, tokenizer, data.splits["test"])
    for place in (0, 17, 30):
        alone = logits_of(model, tokenizer, data.splits["test"].select([place]))
        assert np.allclose(alone[0], together[place], rtol=1e-4, atol=1e-5)


def test_the_pipeline_answers_as_the_report_says(run):
    model, tokenizer = load_trained(run / "model", max_length=16)
    data = prepare(evaluation.run_config(run), tokenizer)
    texts = list(data.splits["test"]["text"])
    expected = softmax(logits_of(model, tokenizer, data.splits["test"]))
    answers = list(classify(load_pipeline(run), texts))
    assert [a.label for a in answers] == [data.classes[i] for i in expected.argmax(1)]
    assert np.allclose([a.probability for a in answers], expected.max(1), atol=1e-4)
    plain = pipeline("text-classification", model=str(run / "model"))(texts[0])[0]  # as a person would write it
    assert (plain["label"], round(plain["score"], 4)) == (answers[0].label, round(answers[0].probability, 4))


def test_a_changed_model_is_refused(run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "copy")
    path = tmp_path / "copy" / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match=r"model\.safetensors: TAMPERED"):
        load_pipeline(tmp_path / "copy")
    with pytest.raises(UserError, match="is not there"):
        load_pipeline(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not there"):
        main(EvalConfig(run=tmp_path / "nothing"))


def test_lines_from_a_pipe():
    assert list(lines_of(io.BytesIO(b"one\n\n  \ntwo\tthree\nlast"))) == ["one", "two three", "last"]
    with pytest.raises(UserError, match="standard input, line 2: not UTF-8"):
        list(lines_of(io.BytesIO("ok\ncaf\u00e9\n".encode("latin-1"))))
    with pytest.raises(UserError, match="standard input, line 1: longer than 1 MB"):
        list(lines_of(io.BytesIO(b"x" * 2_000_000)))


def predict(run, given, *after):
    command = [sys.executable, "-m", "projects.hf_finetune.predict", "--run", str(run)]
    return subprocess.run(command, input=given, capture_output=True, check=False, env=os.environ)


def test_the_command_answers_line_by_line(run):
    done = predict(run, b"great superb love\nawful broken refund\n\n")
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert done.returncode == 0 and done.stderr == b""
    assert [line[0] for line in lines] == ["good", "bad"] and lines[0][2] == "great superb love"


def test_the_command_refuses_nothing_at_all(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n \n")))
    with pytest.raises(SystemExit) as ended:
        command(predict_lines, PredictConfig, ["--run", str(run)])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: standard input holds no text") and said.err.count("\n") == 1
