"""The two detectors of the benchmark behind one face: texts in, scores out, each text read once."""

import io
from typing import Any

from shared.errors import UserError
from shared.originality import background, base, compare, evidence, reading
from shared.originality.evidence import Weighted, Weights
from shared.originality.profiles import Profile, profile


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


class ClassOfOurs:
    """This package on a class: what a fragment weighs depends on how many of the class have it.

    Args:
        solutions: Author -> text.
        handout: What everybody was given.
    """

    def __init__(self, solutions: dict[str, str], handout: str = "") -> None:
        self.table, self.calibration = background.load(), evidence.load()
        given = [profile(reading.from_text(handout, "course", "handout.py"))] if handout else []
        self.given = base.gather(given)
        self.profiles = {name: self._profile(name, text) for name, text in solutions.items()}
        self.weights = self._weights(list(self.profiles.values()))
        self.ready = {name: Weighted(item, self.weights) for name, item in self.profiles.items()}

    def _profile(self, name: str, text: str) -> Profile:
        made = profile(reading.from_text(text, name, "work.py"))
        if self.given.grams:
            base.remove(made, self.given, self.table)
        return made

    def _weights(self, profiles: list[Profile]) -> Weights:
        return Weights(self.table, len(profiles), compare.spread(profiles))

    def innocent(self, one: str, two: str) -> float:
        """Evidence of two solutions of the class."""
        return self.calibration.evidence(evidence.score(self.ready[one], self.ready[two], self.weights))

    def theft(self, thief: str, text: str, donor: str) -> float:
        """Evidence of a text, handed in by the thief, and the donor's solution."""
        stolen = self._profile(thief, text)
        weights = self._weights(list((self.profiles | {thief: stolen}).values()))
        pair = Weighted(stolen, weights), Weighted(self.profiles[donor], weights)
        return self.calibration.evidence(evidence.score(*pair, weights))


class Copydetect:
    """copydetect with its defaults, on texts, each read once.

    Args:
        handout: What everybody was given; its grams do not count.

    Raises:
        UserError: If it is not installed.
    """

    def __init__(self, handout: str = "") -> None:
        try:
            from copydetect import CodeFingerprint, compare_files, defaults
        except ImportError:
            raise UserError("copydetect is missing; install the extra: pip install -e '.[originality-bench]'") from None
        self.fingerprint, self.compare = CodeFingerprint, compare_files
        self.k = defaults.NOISE_THRESHOLD
        self.window = defaults.GUARANTEE_THRESHOLD - defaults.NOISE_THRESHOLD + 1
        self.ready: dict[str, Any] = {}
        self.given: Any = None
        if handout:
            self.given = sorted(self.fingerprint("name.py", self.k, self.window, fp=io.StringIO(handout)).hashes)

    def prepare(self, text: str) -> Any:
        """Everything up to the comparison."""
        if text not in self.ready:
            self.ready[text] = self.fingerprint("name.py", self.k, self.window, self.given, fp=io.StringIO(text))
        return self.ready[text]

    def scores(self, one: str, two: str) -> tuple[float, float]:
        """Its two readings of a pair: the greater similarity, and the number of overlapping tokens."""
        overlap, similarities, _ = self.compare(self.prepare(one), self.prepare(two))
        return float(max(similarities)), float(overlap)
