"""Baselines that train no network: logistic regression on TF-IDF, and on the frozen encoder's vectors."""

from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerFast

from projects.hf_finetune.data.preprocess import Prepared
from projects.hf_finetune.evaluation.eval import BATCH, described
from projects.hf_finetune.evaluation.metrics import confusion, scores

STRENGTHS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
SPLITS = ("train", "validation", "test")


def tfidf_baseline(data: Prepared) -> dict[str, Any]:
    """Logistic regression on TF-IDF of words and pairs, as `chosen_by_validation` reports it."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(data.splits["train"]["text"])
    return chosen_by_validation(data, {name: words.transform(data.splits[name]["text"]) for name in SPLITS})


def frozen_baseline(data: Prepared, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Logistic regression on the vectors of the pretrained encoder, as `chosen_by_validation` reports it."""
    return chosen_by_validation(data, {name: vectors(encoder, tokenizer, data.splits[name]) for name in SPLITS})


@torch.inference_mode()
def vectors(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, split: Any) -> np.ndarray:
    """A sentence's mean over its tokens, of length 1: what this encoder was trained to give.

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


def chosen_by_validation(data: Prepared, features: dict[str, Any]) -> dict[str, Any]:
    """Fit on the training split, choose C by validation macro-F1, and read the test split once.

    Args:
        data: Labels and texts.
        features: Of each split, a row a text.

    Returns:
        The report of `eval.described`, with `C` and `validation_macro_f1`.
    """
    labels, held_out = (np.asarray(data.splits[name]["labels"]) for name in SPLITS[:2])
    best, kept = -1.0, (0.0, LogisticRegression())
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=5000).fit(features["train"], labels)
        score = scores(confusion(held_out, model.predict(features["validation"]), len(data.classes))).macro_f1
        if score > best:
            best, kept = score, (strength, model)
    strength, model = kept
    probabilities = np.zeros((len(data.splits["test"]), len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(features["test"])
    found = described(probabilities, data.splits["test"], data.classes)
    return {**found, "C": strength, "validation_macro_f1": best}
