"""`make run-adapters`: both kinds of adapter on movie reviews and on synthetic entities, checked before and after."""

from dataclasses import replace
from pathlib import Path

from projects.adapters.demo import RunConfig, check_saved, draw
from projects.adapters.identity import check_identity
from projects.adapters.train import main as train
from projects.adapters.train import report
from shared.errors import command
from shared.runs import claim, new_directory


def main(config: RunConfig) -> None:
    """Identity check, four short trainings, fingerprints, a reload of each into a fresh base, a table and a figure."""
    cells = config.cells()
    folder = config.out or new_directory(Path("runs"), "adapters", "default")
    claim(folder)
    check_identity(next(iter(cells.values())))
    runs = {}
    for name, cell in cells.items():
        runs[name] = train(replace(cell, out=folder / name.replace(", ", "-").replace(" ", "-")))
        check_saved(runs[name])
    report("Test texts and sentences, never seen in training", runs)
    draw(cells, runs, folder / "convergence.png")


if __name__ == "__main__":
    command(main, RunConfig)
