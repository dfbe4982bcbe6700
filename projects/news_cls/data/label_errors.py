"""Which labels may be wrong: confident learning, from probabilities that a model gives to articles it has not learned.

n articles · k topics. Source: Northcutt et al. 2021, "Confident learning", §3 (confident joint) and §3.2 (prune by
noise rate of each off-diagonal cell).
"""

import numpy as np
from jaxtyping import Bool, Float, Int


def thresholds(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """t_j: mean probability of topic j among the articles that are labelled so (eq. 2)."""
    topics = probabilities.shape[1]
    return np.array([probabilities[labels == topic, topic].mean() for topic in range(topics)])


def confident_joint(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"]) -> Int[np.ndarray, "k k"]:
    """C[i, j]: articles labelled i that are confidently j: the likeliest of the topics above their thresholds (eq. 1).

    Articles above no threshold are not counted. Rows are then brought to the number of articles of each label.
    """
    topics = probabilities.shape[1]
    above = probabilities >= thresholds(labels, probabilities) - 1e-6
    best = np.where(above, probabilities, -1).argmax(1)
    counted = above.any(1)
    joint = np.zeros((topics, topics), dtype=np.int64)
    np.add.at(joint, (labels[counted], best[counted]), 1)
    np.fill_diagonal(joint, np.maximum(np.diag(joint), 1))
    return calibrated(joint, labels)


def calibrated(joint: Int[np.ndarray, "k k"], labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, "k k"]:
    """The joint with rows that add up to the labels' counts, whole numbers, largest remainders first (eq. 3)."""
    counts = np.bincount(labels, minlength=len(joint))
    exact = joint / np.maximum(joint.sum(1, keepdims=True), 1) * counts[:, None]
    whole = np.floor(exact).astype(np.int64)
    for row, (have, want) in enumerate(zip(whole.sum(1), counts, strict=True)):
        for place in np.argsort(-(exact[row] - whole[row]), kind="stable")[: want - have]:
            whole[row, place] += 1
    return whole


def suspected(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """For each pair (i, j) as many articles as C[i, j] says, those of largest p_j − p_i; where j is likelier than i."""
    joint = confident_joint(labels, probabilities)
    found = np.zeros(len(labels), dtype=bool)
    for own in range(len(joint)):
        rows = np.flatnonzero(labels == own)
        for other in range(len(joint)):
            count = int(joint[own, other])
            if own == other or count == 0:
                continue
            margin = probabilities[rows, other] - probabilities[rows, own]
            found[rows[np.argsort(-margin, kind="stable")[:count]]] = True
    return found & (probabilities.argmax(1) != labels)


def self_confidence(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"]) -> list[int]:
    """Articles, those first whose own label is least likely."""
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable").tolist()
