"""What opinions say of films, out of an array (few films) or of what neighbours keep (many).

Only the entries that are asked are looked at: a list costs what its person's opinions hold, whatever the catalogue.

o opinions (2 · row liked, 2 · row + 1 disliked) · c candidates · j opinions, n films that the model knows
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

Weights: TypeAlias = csr_matrix | Float[np.ndarray, "j n"]


def weights_of(
    weights: Weights, opinions: Int[np.ndarray, " o"], rows: Int[np.ndarray, " c"]
) -> Float[np.ndarray, "o c"]:
    """What each opinion says of each film; 0 where the model does not know one of the two yet.

    Args:
        weights: Where it is sparse, an entry is stored once.
        rows: Those of the films, rising.
    """
    told = np.zeros((len(opinions), len(rows)))
    old = np.flatnonzero(opinions < weights.shape[0])
    if isinstance(weights, np.ndarray):
        new = np.flatnonzero(rows < weights.shape[1])
        told[np.ix_(old, new)] = weights[np.ix_(opinions[old], rows[new])]
        return told
    stored, counts = _stored(weights, opinions[old])
    columns = weights.indices[stored]
    place = np.minimum(np.searchsorted(rows, columns), len(rows) - 1)
    asked = rows[place] == columns
    told[np.repeat(old, counts)[asked], place[asked]] = weights.data[stored[asked]]
    return told


def neighbours_of(weights: Weights, opinions: Int[np.ndarray, " o"]) -> Int[np.ndarray, " m"]:
    """Films that these opinions say something of: of an array all that it knows."""
    if isinstance(weights, np.ndarray):
        return np.arange(weights.shape[1])
    found: Int[np.ndarray, " m"] = weights.indices[_stored(weights, opinions[opinions < weights.shape[0]])[0]]
    return found


def _stored(weights: csr_matrix, opinions: Int[np.ndarray, " o"]) -> tuple[np.ndarray, np.ndarray]:
    """Places of these rows' entries, row after row, and how many each has."""
    starts, counts = weights.indptr[opinions], weights.indptr[opinions + 1] - weights.indptr[opinions]
    begins = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - begins, counts), counts
