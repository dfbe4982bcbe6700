"""Training: its loss by definition, its targets, and the real command on six films, saved, verified, reloaded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel

from projects.onnx_serving.config import SMOKE, Config
from projects.onnx_serving.data import Question
from projects.onnx_serving.inference.pipelines import question_answering, settings_of
from projects.onnx_serving.training.train_qa import main, qa_loss
from projects.onnx_serving.training.windows import collate, examples_of, shuffled
from shared.errors import UserError
from shared.files import read_json
from shared.fingerprint import verify
from shared.seeding import generator

TEXT = "Vertigo is a 1958 film. " * 6 + "It was directed by Alfred Hitchcock. " + "It was much praised. " * 6


def question(answer="Alfred Hitchcock", origin="own"):
    start = TEXT.index(answer) if answer else 0
    return Question("Who directed Vertigo?", TEXT, answer, start, "director", "Vertigo", origin)


def test_targets_are_the_answer(splitter):
    for seed in range(10):
        for example in examples_of([question()], splitter, seed=seed):
            if example.first:
                offsets = example.window.offsets
                assert TEXT[offsets[example.first][0] : offsets[example.last][1]] == "Alfred Hitchcock"
    assert any(not e.first for seed in range(20) for e in examples_of([question()], splitter, seed=seed))


def test_an_unanswerable_question_points_at_cls(splitter):
    for seed in range(5):
        (example,) = examples_of([question("", "other")], splitter, seed=seed)
        assert (example.first, example.last) == (0, 0)


def test_loss_by_definition(splitter):
    examples = examples_of([question(), question("", "other")], splitter, seed=1)
    batch = collate(examples, 0)
    torch.manual_seed(0)
    start, end = torch.randn(2, *batch.inputs["input_ids"].shape)
    expected = []
    for row, example in enumerate(examples):
        kept = [0, *np.flatnonzero(example.window.allowed).tolist()]
        for logits, target in ((start[row], example.first), (end[row], example.last)):
            expected.append(torch.logsumexp(logits[kept], 0) - logits[target])
    assert qa_loss(start, end, batch).item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_the_question_takes_no_part_in_the_loss(splitter):
    batch = collate(examples_of([question()], splitter, seed=0), 0)
    start, end = torch.zeros(2, *batch.inputs["input_ids"].shape)
    changed = start.clone()
    changed[:, 1:4] = 50.0  # tokens of the question
    assert qa_loss(start, end, batch) == qa_loss(changed, end, batch)


def test_every_example_once_a_pass(splitter):
    examples = examples_of([question()] * 9, splitter, seed=0)
    batches = list(shuffled(examples, 4, pad_id=0, source=generator(0)))
    assert sum(len(batch.first) for batch in batches) == len(examples)
    again = list(shuffled(examples, 4, pad_id=0, source=generator(0)))
    assert all(torch.equal(a.first, b.first) for a, b in zip(batches, again, strict=True))


def test_words_stay_and_the_rest_learns(run, smoke):
    before = AutoModel.from_pretrained(smoke.model).state_dict()
    after = question_answering(run.directory / "model").model.state_dict()
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(before[words], after[f"bert.{words}"])
    moved = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[moved], after[f"bert.{moved}"])


def test_the_real_command(run):
    assert all(finding.verdict.unchanged for finding in verify(run.directory))
    assert read_json(run.directory / "result.json")["steps"] == run.steps > 0
    answering = question_answering(run.directory / "model")
    assert settings_of(answering.model) == {"window": 64, "overlap": 16, "threshold": run.threshold}
    found = answering(question="Who directed Vertigo?", context=TEXT, threshold=-1e6)
    assert TEXT[found["start"] : found["end"]] == found["answer"]


def test_an_existing_run_is_not_overwritten(run, smoke):
    with pytest.raises(UserError, match="in use"):
        main(replace(smoke, out=run.directory))


def test_a_resumed_run_equals_an_uninterrupted_one(run, smoke, tmp_path, monkeypatch):
    from projects.onnx_serving.training import train_qa

    class StopError(Exception):
        pass

    whole, done = train_qa.shuffled, []

    def once(*args, **options):
        if done:
            raise StopError
        done.append(1)
        return whole(*args, **options)

    config = replace(smoke, out=tmp_path / "qa")
    monkeypatch.setattr(train_qa, "shuffled", once)
    with pytest.raises(StopError):
        main(config)
    monkeypatch.setattr(train_qa, "shuffled", whole)
    again = main(replace(config, resume=True))
    one, other = (question_answering(each.directory / "model").model.state_dict() for each in (run, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"weight_decay": -1.0},
        {"warmup": 2.0},
        {"overlap": 0},
        {"window": 40},
        {"limit": 1},
        {"resume": True},
    ],
)
def test_a_configuration_that_cannot_work(wrong):
    with pytest.raises(UserError):
        Config(**wrong)


def test_a_model_that_is_not_there():
    with pytest.raises(UserError):
        main(replace(SMOKE, model="no-such-model"))
