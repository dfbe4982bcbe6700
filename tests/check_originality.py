"""Whether the code here is its authors' own: structural comparison with external solutions.

    python tests/check_originality.py --submission projects --reference DIR [DIR ...]

ends with 0 if no pair of files is above the threshold, 1 if one is, 2 if something was wrong with the call.

Under pytest it compares projects/ and shared/ with implementations that are installed from the package index: they are
found by name, read where they lie, never imported and never copied. How it works: shared/originality/README.md.
"""

# ruff: noqa: E402 - the interpreter is chosen before the first import of ours

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__" and os.environ.get("PYTHONPATH") != str(ROOT):
    found_here = importlib.util.find_spec("shared")
    if found_here is None or Path(found_here.origin or "").parent != ROOT / "shared":
        # Run by path, and this repository is not the one installed, if any is: start again with its root in view.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONPATH": str(ROOT)})

import pytest
import tyro

from shared.errors import UserError, reported
from shared.lab.originality.attacks import apply
from shared.originality import evidence, export, reading, report
from shared.originality.compare import Comparison, compare
from shared.originality.explain import explain

FOUND = 1

# External implementations of what the projects implement: package -> the parts that are about it.
EXTERNAL = {
    "loralib": (".",),
    "peft": ("tuners/lora", "tuners/adalora", "tuners/ia3", "tuners/adaption_prompt", "utils"),
    "transformers": ("models/bert", "models/gpt2", "models/llama", "data/data_collator.py", "trainer_callback.py"),
    "torch": ("optim", "nn/modules/activation.py", "nn/modules/transformer.py", "nn/modules/normalization.py"),
}


@dataclass(frozen=True)
class Check:
    """Compare submissions with external solutions by structure; exit 1 above the threshold, 2 on bad input, else 0."""

    submission: tuple[Path, ...]
    """Folders, files or notebooks to check."""
    reference: tuple[Path, ...]
    """External solutions: folders, files or notebooks, each of another owner."""
    base: tuple[Path, ...] = ()
    """Templates that everybody was given; they do not count."""
    threshold: float = evidence.THRESHOLD
    """Evidence from which the check fails; 1 is the most that independent pairs reached."""
    out: Path | None = None
    """Folder for report.html, pairs.csv and report.json; none are written without it."""


def check(config: Check) -> int:
    """Compare, say what was found, and return the exit code."""
    reading.refuse_overlaps((*config.submission, *config.reference))
    found = compare(
        reading.read_all(config.submission),
        reading.read_all(config.reference),
        reading.read_all(config.base),
        threshold=config.threshold,
        within=False,
    )
    if config.out is not None:
        explained = report.explained_pairs(found)
        report.write_html(found, explained, config.out / "report.html")
        export.write_csv(found, config.out / "pairs.csv")
        export.write_report_json(found, explained, config.out / "report.json")
    print(described(found))
    for line in report.omissions(found):
        print(line)
    return FOUND if found.above else 0


def described(found: Comparison) -> str:
    """What was found, for a terminal: one line in all, and a few for each of the strongest pairs."""
    lines = [f"{len(found.above)} of {found.compared} pairs of files at or above evidence {found.threshold:g}"]
    for pair in found.above[:10]:
        one, two = pair.titles
        lines.append(f"  {one} ~ {two}: evidence {pair.evidence:.2f}, p {pair.p_value:.2g}")
        lines.extend(
            f"    {match.left.name}, line {match.left.line} ~ {match.right.name}, line {match.right.line}: "
            f"{match.fragments} fragments, {100 * match.share:.0f} % of the smaller one's weight"
            for match in explain(pair, found).units[:3]
        )
    return "\n".join(lines)


# -------------------------------------------------------------------- under pytest


def external_solutions(*packages: str) -> list[reading.Source]:
    """Files of the packages that are installed; the owner is the package. Skips the test if there are none."""
    sources = []
    for package in packages or EXTERNAL:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            paths = [Path(folder, part) for part in EXTERNAL[package]]
            sources += [source for path in paths if path.exists() for source in reading.read(path, package)]
    if not sources:
        pytest.skip("none of the external implementations is installed")
    return sources


def test_nothing_here_comes_from_the_packages():
    own = [source for folder in ("projects", "shared") for source in reading.read(ROOT / folder, folder)]
    found = compare(own, external_solutions(), within=False)
    assert not found.above, described(found)


def test_a_disguised_copy_of_a_package_would_be_found():
    references = external_solutions("loralib")
    donor = max(references, key=lambda source: source.lines)
    stolen = apply(("rename", "temporaries", "shuffle"), donor.text, Random(0))
    own = [*reading.read(ROOT / "projects", "projects"), reading.from_text(stolen, "projects", "lora/models/copy.py")]
    found = compare(own, references, within=False)
    assert [pair.titles for pair in found.above] == [("projects/lora/models/copy.py", donor.title)], described(found)


def test_bad_calls_end_with_code_2(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        check(Check(submission=(tmp_path / "nowhere",), reference=(ROOT / "shared",)))
    with pytest.raises(UserError, match="lies inside"):
        check(Check(submission=(ROOT / "shared",), reference=(ROOT / "shared" / "originality",)))


if __name__ == "__main__":
    with reported():
        sys.exit(check(tyro.cli(Check, description=__doc__)))
