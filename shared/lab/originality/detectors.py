"""The two detectors of the benchmark behind one face: texts in, scores out, each text read once."""

import io
from typing import Any

from shared.errors import UserError
from shared.originality import background, evidence, reading
from shared.originality.evidence import Weighted, Weights
from shared.originality.profiles import profile


class Ours:
    """This package on texts, each read once."""

    def __init__(self) -> None:
        self.weights = Weights(background.load())
        self.calibration = evidence.load()
        self.ready: dict[str, Weighted] = {}

    def prepare(self, text: str) -> Weighted:
        """Everything up to the comparison."""
        if text not in self.ready:
            self.ready[text] = Weighted(profile(reading.from_text(text, "owner", "name.py")), self.weights)
        return self.ready[text]

    def score(self, one: str, two: str) -> float:
        """Evidence of a pair."""
        return self.calibration.evidence(evidence.score(self.prepare(one), self.prepare(two), self.weights))


class Copydetect:
    """copydetect with its defaults, on texts, each read once.

    Raises:
        UserError: If it is not installed.
    """

    def __init__(self) -> None:
        try:
            from copydetect import CodeFingerprint, compare_files, defaults
        except ImportError:
            raise UserError("copydetect is missing; install the extra: pip install -e '.[originality-bench]'") from None
        self.fingerprint, self.compare = CodeFingerprint, compare_files
        self.k = defaults.NOISE_THRESHOLD
        self.window = defaults.GUARANTEE_THRESHOLD - defaults.NOISE_THRESHOLD + 1
        self.ready: dict[str, Any] = {}

    def prepare(self, text: str) -> Any:
        """Everything up to the comparison."""
        if text not in self.ready:
            self.ready[text] = self.fingerprint("name.py", self.k, self.window, fp=io.StringIO(text))
        return self.ready[text]

    def scores(self, one: str, two: str) -> tuple[float, float]:
        """Its two readings of a pair: the greater similarity, and the number of overlapping tokens."""
        overlap, similarities, _ = self.compare(self.prepare(one), self.prepare(two))
        return float(max(similarities)), float(overlap)
