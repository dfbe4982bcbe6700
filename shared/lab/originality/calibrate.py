"""The null distribution: evidence of pairs of files that different people wrote without one another.

Files of different packages, none of which is in the background table or in the held-out half of the benchmark.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

from shared.files import write_json
from shared.lab.originality import corpus, counting
from shared.originality import background, evidence
from shared.originality.evidence import Calibration, Score, Weighted, Weights
from shared.originality.profiles import profile
from shared.originality.reading import Source, read_file

# Installed beside this repository, each written by people of its own. Left out: what vendors or forks another.
PACKAGES = (
    "sympy", "rich", "pydantic", "werkzeug", "fsspec", "markdown", "pygments", "joblib", "hypothesis", "mpmath",
    "jinja2", "tensorboard", "gguf", "PIL", "docstring_parser", "datasets", "tqdm", "pyparsing", "fontTools", "mypy",
    "psutil", "dateutil", "cycler", "kiwisolver", "packaging", "beartype", "threadpoolctl", "markdown_it", "click",
)  # fmt: skip
FILES_A_PACKAGE = 8
SAME_PEOPLE = {"jinja2": "Pallets", "werkzeug": "Pallets", "click": "Pallets"}  # one team's packages are one owner


def independent_sources(seed: int = 0) -> list[Source]:
    """Files of packages that have nothing to do with one another, and those of the benchmark's tuning topics."""
    found = [source for group in corpus.sources(corpus.TUNING).values() for source in group]
    for name in PACKAGES:
        for file in counting.installed([name], FILES_A_PACKAGE, seed):
            source = read_file(file, SAME_PEOPLE.get(name, name), f"{name}/{file.name}")
            if source.tree is not None and source.lines >= corpus.MIN_LINES:
                found.append(source)
    return found


def independent_scores(sources: Iterable[Source]) -> list[tuple[Score, str, str]]:
    """Score every pair of files of different owners, with their titles."""
    weights = Weights(background.load())
    ready = [Weighted(profile(source), weights) for source in sources]
    return [
        (evidence.score(one, two, weights), one.profile.source.title, two.profile.source.title)
        for one, two in itertools.combinations(ready, 2)
        if one.profile.owner != two.profile.owner
    ]


def save(calibration: Calibration, sources: Iterable[Source], path: Path = evidence.TABLE) -> None:
    """Write the calibration with the packages it came from."""
    owners = sorted({source.owner for source in sources})
    write_json(
        path,
        {
            "pairs": calibration.pairs,
            "highest": calibration.highest,
            "null": calibration.null,
            "ranks": calibration.ranks,
            "packages": owners,
        },
    )
