"""`make results-pretrain_lm`: every run behind the README's tables, and what is measured on them.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. Nothing is tuned here: rates and sizes were set beforehand from the literature.
"""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.collator import Objective
from projects.pretrain_lm.peer import ARMS, PeerConfig, read_text
from projects.pretrain_lm.peer import main as train_peer
from projects.pretrain_lm.provenance import write_loader, write_news, write_runs, write_writing
from projects.pretrain_lm.tables import README, fill_readme
from projects.pretrain_lm.train_pretrain import main as train
from projects.pretrain_lm.train_pretrain import prepare, read_corpus
from shared import study
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.runs import describe_environment, read_json

SEEDS, RATIOS, CONTEXTS = (0, 1, 2), (0.1, 0.15, 0.3, 0.5), (64, 128, 256)
MASKS: tuple[Objective, ...] = ("static", "dynamic")
NEWS = "news-seed0"  # one seed: the spread over seeds is seen in the smaller studies


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all runs share."""
    runs: Path = Path("runs/pretrain_lm/results")
    """Where the runs are kept."""
    out: Path = Path("projects/pretrain_lm/results")
    """Where the CSV files and figures go."""
    readme: Path = README
    """Whose tables are rewritten."""


def main(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Train every cell that is not done, then write tables and figures."""
    for folder in (config.runs, config.out):
        refuse_unwritable(folder)
    wanted = cells(config.base)
    done = {name: complete(config.runs / name, cell) for name, cell in wanted.items()}
    rows = [row_of(done[name], cell) for name, cell in wanted.items()]
    write_json(config.out / "environment.json", describe_environment())
    write_runs(rows, config.runs, config.out)
    write_news(done[NEWS], config.out)
    write_writing(done[NEWS], config.out)
    write_loader(config.runs, config.out)
    fill_readme(config.readme, config.out)
    return rows


def cells(base: Config) -> dict[str, Config | PeerConfig]:
    """Name → what is trained. The name's first word is the study."""
    found: dict[str, Config | PeerConfig] = {NEWS: replace(base, epochs=6, width=256, dropout=0.1, lr=2e-3)}
    for seed in SEEDS:
        found |= {f"peer-{arm}-seed{seed}": PeerConfig(arm=arm, seed=seed) for arm in ARMS}
    # Characters, since a masked model this small hardly leaves the tokens' frequencies in a minute; eight epochs, since
    # a mask that never changes can only do harm when it is seen again.
    small = replace(base, limit=60, tokenizer="char", context=64, width=64, epochs=8, log_every=10)
    for seed in SEEDS:
        for objective, ratio in product(MASKS, RATIOS):
            cell = replace(small, objective=objective, mask_ratio=ratio, seed=seed)
            found[f"masking-{objective}-{ratio:g}-seed{seed}"] = cell
    for context in CONTEXTS:  # as many tokens a step for each
        found[f"context-{context}-seed0"] = replace(base, context=context, batch_size=2048 // context, steps=400)
    return found


def complete(directory: Path, cell: Config | PeerConfig) -> Path:
    """The directory of a trained cell."""

    def run(place: Path, resume: bool) -> None:
        if isinstance(cell, Config):
            train(replace(cell, out=place, resume=resume))
        else:
            train_peer(replace(cell, out=place))

    return study.complete(directory, cell, run, project="pretrain_lm", data=digest_of(cell))


def digest_of(cell: Config | PeerConfig) -> str:
    """Digest of the corpus that a cell learns from, which is cleaned now unless it has been."""
    if isinstance(cell, PeerConfig):
        return read_text(cell)[2]
    prepare(cell)
    return str(read_corpus(cell).report["digest"])


def row_of(directory: Path, cell: Config | PeerConfig) -> dict[str, Any]:
    """A trained cell: its name, what it was told and what it came to."""
    return {
        "cell": directory.name,
        "study": directory.name.partition("-")[0],
        "config": cell,
        **read_json(directory / "result.json"),
    }


if __name__ == "__main__":
    command(main, ExperimentConfig)
