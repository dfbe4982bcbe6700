"""`python -m shared.lab.originality background|calibrate`: count again the two tables that the comparison rests on."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from shared.errors import reported
from shared.lab.originality import calibrate, corpus, counting
from shared.originality import background, evidence


@dataclass(frozen=True)
class Background:
    """Count again how common fragments are in the standard library and installed packages."""

    out: Path = background.TABLE
    """Where the table goes."""

    def run(self) -> str:
        """Count, write the table, and say of how many files."""
        files = counting.library_files() + counting.installed(counting.PACKAGES, counting.FILES_A_PACKAGE)
        counted = counting.count(files)
        counting.save(counted, self.out)
        return f"{self.out}: fragments of {counted.files} files"


@dataclass(frozen=True)
class Calibrate:
    """Measure again what pairs of independent files reach (fetches the benchmark's tuning packages once)."""

    out: Path = evidence.TABLE
    """Where the null distribution goes."""

    def run(self) -> str:
        """Score every independent pair, write the distribution, and say of how many."""
        corpus.fetch(corpus.TUNING)
        sources = calibrate.independent_sources()
        found = evidence.calibrate([score for score, _, _ in calibrate.independent_scores(sources)])
        calibrate.save(found, sources, self.out)
        return f"{self.out}: {found.pairs} independent pairs of {len({source.owner for source in sources})} owners"


if __name__ == "__main__":
    with reported():
        print(tyro.cli(Background | Calibrate, description=__doc__).run())
