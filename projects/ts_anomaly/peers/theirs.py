"""Run by the benchmark with the Python of an environment that has stumpy and pyod: scores of a series, and seconds.

python theirs.py series.npz scores.npz
"""

import sys
import time

import numpy as np


def profile(values: np.ndarray, length: int) -> np.ndarray:
    """Stumpy's matrix profile."""
    import stumpy

    return np.asarray(stumpy.stump(values, length)[:, 0], dtype=float)


def components(prefix: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    """Pyod's PCA on windows, its weighted distance to all directions."""
    from pyod.models.pca import PCA

    cut = np.lib.stride_tricks.sliding_window_view
    found = PCA(standardization=False).fit(cut(prefix, length)).decision_function(cut(values, length))
    return np.asarray(found, dtype=float)


def main(source: str, target: str) -> None:
    """Read, score twice (the second time what was compiled is timed), write."""
    given = np.load(source)
    prefix, values, length = given["prefix"], given["values"], int(given["length"])
    told = {}
    for name, score in (
        ("stumpy", lambda: profile(values, length)),
        ("pyod", lambda: components(prefix, values, length)),
    ):
        score()
        begun = time.perf_counter()
        told[name] = score()
        told[f"{name}_seconds"] = np.array(time.perf_counter() - begun)
    np.savez(target, allow_pickle=False, **told)


if __name__ == "__main__":
    main(*sys.argv[1:3])
