"""The baseline without a network: logistic regression on TF-IDF of words and pairs, its C chosen on validation."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from projects.hf_finetune.data.preprocess import Prepared
from projects.hf_finetune.evaluation.eval import described
from projects.hf_finetune.evaluation.metrics import confusion, scores

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def tfidf_baseline(data: Prepared) -> dict[str, Any]:
    """Fit on the training split, choose C by validation macro-F1, and read the test split once.

    Returns:
        The report of `eval.described`, with `C` and `validation_macro_f1`.
    """
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    train = words.fit_transform(data.splits["train"]["text"])
    validation = words.transform(data.splits["validation"]["text"])
    labels, held_out = (np.asarray(data.splits[name]["labels"]) for name in ("train", "validation"))
    best, kept = -1.0, (0.0, LogisticRegression())
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=5000).fit(train, labels)
        score = scores(confusion(held_out, model.predict(validation), len(data.classes))).macro_f1
        if score > best:
            best, kept = score, (strength, model)
    strength, model = kept
    probabilities = np.zeros((len(data.splits["test"]), len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(words.transform(data.splits["test"]["text"]))
    found = described(probabilities, data.splits["test"], data.classes)
    return {**found, "C": strength, "validation_macro_f1": best}
