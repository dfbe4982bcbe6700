"""Made tests/ts_anomaly/vus.json, once: `pip install --no-deps vus==0.0.6`, then this file with that package's folder.

    python tests/ts_anomaly/make_vus_oracle.py FOLDER_OF_VUS

It takes the authors' class out of their module, whose other imports are not needed.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np


def authors_measure(folder):
    sys.modules.setdefault("vus", types.ModuleType("vus"))
    for name in ("sklearn", "sklearn.metrics"):
        __import__(name)
    spec = importlib.util.spec_from_file_location("vus_metrics", Path(folder) / "vus" / "utils" / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.metricor()


def cases():
    random = np.random.default_rng(0)
    for name, n, events, buffer in (
        ("one long", 400, [(200, 260)], 20),
        ("two whose buffers meet", 300, [(50, 60), (66, 70)], 24),
        ("points at both ends", 200, [(3, 4), (196, 197)], 10),
        ("three of one point", 500, [(100, 101), (220, 221), (400, 401)], 30),
        ("no buffer", 300, [(150, 170)], 0),
    ):
        labels = np.zeros(n, dtype=int)
        for start, stop in events:
            labels[start:stop] = 1
        scores = np.round(random.random(n) + 0.4 * np.convolve(labels, np.ones(9) / 9, mode="same"), 3)
        yield name, labels, scores, buffer


if __name__ == "__main__":
    grader = authors_measure(sys.argv[1])
    told = []
    for name, labels, scores, buffer in cases():
        value = float(grader.RangeAUC_volume_opt(labels, scores, buffer, 250)[-1])
        told.append(
            {"name": name, "labels": labels.tolist(), "scores": scores.tolist(), "buffer": buffer, "vus_pr": value}
        )
    Path(__file__).with_name("vus.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
