"""A classifier small enough for tests, saved with the real tokenizer, and reviews whose words give the tone away."""

import csv
import gc
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from projects.hf_finetune.config import Config
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.regularised import RegularisedTrainer
from projects.hf_finetune.training.train import fit
from tests.hf_finetune.in_process import Killed, attempt

TONES = {"bad": "awful broken poor refund", "fair": "arrived box cable tuesday", "good": "great love superb happy"}


def tiny_classifier(seed=0, classes=3, dropout=0.1, vocab=60):
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    drop = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return BertForSequenceClassification(BertConfig(vocab_size=vocab, num_labels=classes, **size, **drop))


@pytest.fixture(scope="session", autouse=True)
def _imports_are_kept():
    """What the imports made is not looked through again whenever the library collects."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tiny():
    return tiny_classifier


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """model/: a tiny BERT; reviews.csv: 240 sentences of 60 reviews in three tones."""
    folder = tmp_path_factory.mktemp("hf_finetune")
    tokenizer = load_tokenizer("minilm", max_length=16)
    tiny_classifier(vocab=len(tokenizer)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    with (folder / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "tone", "group"])
        for number in range(240):
            tone, words = list(TONES.items())[number % 3]
            pick = words.split()
            text = f"{pick[number // 3 % 4]} {pick[number // 12 % 4]} thing{number} " + f"again{number} " * (number % 5)
            writer.writerow([text, tone, f"r{number // 4}"])
    return folder


def short_run(folder, out):
    """4 epochs of 3 steps: 40 training sentences in batches of 16, so that the last one is short."""
    return Config(
        model=str(folder / "model"),
        dataset=str(folder / "reviews.csv"),
        text_column="review",
        label_column="tone",
        limit=40,
        batch_size=16,
        epochs=4,
        patience=4,
        max_length=16,
        lr=5e-3,
        device="cpu",
        out=out,
    )


@pytest.fixture
def config(folder, tmp_path):
    return short_run(folder, tmp_path / "run")


@pytest.fixture(scope="session")
def straight(folder, tmp_path_factory):
    """What the run of `config` comes to that nothing interrupts; its directory is not to be changed."""
    return fit(attempt(short_run(folder, tmp_path_factory.mktemp("straight") / "run")))


@pytest.fixture(scope="session")
def killed_once(folder, tmp_path_factory):
    config = short_run(folder, tmp_path_factory.mktemp("killed") / "run")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("projects.hf_finetune.training.callbacks.os.kill", die)
        patch.setenv(FAULT, "kill@8@0")
        fit(attempt(config))
    return config.out


@pytest.fixture
def killed(killed_once, config):
    """In the place of the run of `config`: one that was killed before step 8."""
    shutil.copytree(killed_once, config.out)
    return config


@pytest.fixture
def changed():
    return replace


def die(pid, number):
    assert (pid, number) == (os.getpid(), signal.SIGKILL)
    raise Killed


@pytest.fixture
def kill_in_process(monkeypatch):
    monkeypatch.setattr("projects.hf_finetune.training.callbacks.os.kill", die)


@pytest.fixture
def seen(monkeypatch):
    """(global step, token ids) of every sentence that a training step gets, in order."""
    found = []
    original = RegularisedTrainer.training_step

    def recording(self, model, inputs, items=None):
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            found.append((self.state.global_step, tuple(ids[mask.bool()].tolist())))
        return original(self, model, inputs, items)

    monkeypatch.setattr(RegularisedTrainer, "training_step", recording)
    return found
