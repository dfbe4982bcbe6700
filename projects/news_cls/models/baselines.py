"""The honest cheap ones: the largest topic, TF-IDF with a linear SVM, a frozen encoder with logistic regression."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC
from torch import Tensor

from projects.news_cls.balance.losses import Balance


def class_weight(balance: Balance) -> str | None:
    """scikit-learn's word for it."""
    return "balanced" if balance == "weights" else None


def majority_logits(labels: Sequence[int], topics: int, count: int) -> Float[np.ndarray, "n k"]:
    """Logits of the topics' shares in training, the same for every article."""
    counts = np.bincount(np.asarray(labels), minlength=topics) + 1e-9
    return np.tile(np.log(counts / counts.sum()), (count, 1))


def fit_svm(texts: Sequence[str], labels: Sequence[int], c: float, balance: Balance = "none") -> Pipeline:
    """Words and pairs of words with sublinear counts, L2-normed, and one linear SVM a topic.

    Source: Joachims 1998, "Text categorization with support vector machines".
    """
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=1, max_features=200_000)
    svm = LinearSVC(C=c, class_weight=class_weight(balance), random_state=0)
    return make_pipeline(words, svm).fit(list(texts), list(labels))


def svm_logits(fitted: Pipeline, texts: Sequence[str], topics: int) -> Float[np.ndarray, "n k"]:
    """Signed distances, a column a topic; one that training lacked is never said."""
    return _columns(fitted.decision_function(list(texts)), fitted.classes_, topics)


def fit_linear(
    embeddings: Float[np.ndarray, "n d"], labels: Sequence[int], c: float, balance: Balance = "none"
) -> LogisticRegression:
    """Multinomial logistic regression on unit vectors (`unit`)."""
    model = LogisticRegression(C=c, class_weight=class_weight(balance), max_iter=2000)
    return model.fit(unit(embeddings), list(labels))


def linear_logits(
    fitted: LogisticRegression, embeddings: Float[np.ndarray, "n d"], topics: int
) -> Float[np.ndarray, "n k"]:
    """Log-odds, a column a topic."""
    return _columns(fitted.decision_function(unit(embeddings)), fitted.classes_, topics)


def head_of(fitted: LogisticRegression, topics: int) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Its weights and biases as a head of all topics; one that training lacks is never said."""
    two = len(fitted.classes_) == 2
    coefficients = np.concatenate([-fitted.coef_, fitted.coef_]) / 2 if two else fitted.coef_
    intercepts = np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2 if two else fitted.intercept_
    weight = torch.zeros(topics, coefficients.shape[1])
    bias = torch.full((topics,), -30.0)
    weight[fitted.classes_] = torch.from_numpy(coefficients).float()
    bias[fitted.classes_] = torch.from_numpy(intercepts).float()
    return weight, bias


def unit(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Embeddings scaled to length √d: the penalty then means the same in every encoder, and a coordinate has size 1."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12) * np.sqrt(embeddings.shape[1]).astype(embeddings.dtype)


def _columns(found: Float[np.ndarray, "..."], classes: Int[np.ndarray, " c"], topics: int) -> Float[np.ndarray, "n k"]:
    """A column a topic, whatever topics training had; of two classes scikit-learn gives one column."""
    if found.ndim == 1:
        found = np.stack([-found, found], axis=1)
    full = np.full((len(found), topics), -1e4)
    full[:, classes] = found
    return full
