"""Baselines that train no network: logistic regression on TF-IDF, and on the frozen encoder's vectors."""

from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerFast

from projects.hf_finetune.data.preprocess import PreparedData
from projects.hf_finetune.evaluation.eval import BATCH, evaluation_report
from projects.hf_finetune.evaluation.metrics import confusion, scores

STRENGTHS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
SPLITS = ("train", "validation", "test")


def tfidf_baseline(data: PreparedData) -> dict[str, Any]:
    """Logistic regression on TF-IDF of words and pairs, as `select_by_validation` reports it."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(data.splits["train"]["text"])
    return select_by_validation(data, {name: words.transform(data.splits[name]["text"]) for name in SPLITS})


def frozen_baseline(data: PreparedData, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Logistic regression on the vectors of the pretrained encoder, as `select_by_validation` reports it."""
    return select_by_validation(data, {name: vectors(encoder, tokenizer, data.splits[name]) for name in SPLITS})


@torch.inference_mode()
def vectors(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, split: Any) -> np.ndarray:
    """The mean over a sentence's tokens, of length 1: what this encoder was trained to give.

    Source: Reimers and Gurevych 2019, "Sentence-BERT", §3.
    """
    collate = DataCollatorWithPadding(tokenizer)
    columns = [name for name in tokenizer.model_input_names if name in split.column_names]
    found = []
    for start in range(0, len(split), BATCH):
        rows = range(start, min(start + BATCH, len(split)))
        batch = collate([{name: split[row][name] for name in columns} for row in rows])
        mask = batch["attention_mask"][..., None]
        means = (encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
        found.append(torch.nn.functional.normalize(means).numpy())
    return np.concatenate(found)


def select_by_validation(data: PreparedData, features: dict[str, Any]) -> dict[str, Any]:
    """Fit on the training split, choose C by validation macro-F1, and read the test split once.

    Args:
        features: A matrix for each split, with a row a text.

    Returns:
        The report of `evaluation_report`, with `C` and `validation_macro_f1`.
    """
    labels, held_out = (np.asarray(data.splits[name]["labels"]) for name in SPLITS[:2])
    best, selected = -1.0, (0.0, LogisticRegression())
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=5000).fit(features["train"], labels)
        score = scores(confusion(held_out, model.predict(features["validation"]), len(data.classes))).macro_f1
        if score > best:
            best, selected = score, (strength, model)
    strength, model = selected
    probabilities = np.zeros((len(data.splits["test"]), len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(features["test"])
    found = evaluation_report(probabilities, data.splits["test"], data.classes)
    return {**found, "C": strength, "validation_macro_f1": best}
