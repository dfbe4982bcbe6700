"""`make results-news_cls`: every run behind the README's tables, and what is measured of the models that come of them.

Each part writes its tables when it is there (ORDER). A part that was stopped goes on with the cell at which it was.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from projects.news_cls import figures
from projects.news_cls.balance.losses import BALANCES, Balance
from projects.news_cls.config import Arm, Config
from projects.news_cls.data.sources import corpus
from projects.news_cls.measure import finished, shown
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.train import train
from shared import study
from shared.errors import UserError, command
from shared.study import Cells, Done, publish

RESULTS = Path("projects/news_cls/results")
SEEDS = (0, 1, 2)
BASELINES: tuple[Arm, ...] = ("svm", "frozen")
PLAIN: tuple[Balance, ...] = ("none", "weights")
TUNED: tuple[tuple[Arm, bool], ...] = (("tuned", True), ("tuned", False))
SPANISH: tuple[tuple[Arm, str, int], ...] = (("svm", "minilm", 128), ("frozen", "minilm", 64), ("frozen", "e5", 64))
FEW = (10, 20, 50)
FEW_TOKENS, RARE_TOKENS, TOKENS, SHORT = 256, 96, 128, 64
CS = {"svm": (0.5, 2.0), "frozen": (0.003, 0.03)}
RATES, HEAD_RATES = (5e-5, 2e-4), (1e-3, 5e-3)
"""Two candidates of every arm, chosen on the validation of the first division."""
ORDER = ("few", "updates", "time", "sure", "gate", "drift", "reasons", "rare", "tuned", "few_contrast", "few_tuned",
         "rare_tuned", "r8_tuned", "spanish", "data")  # fmt: skip
NEEDS = {"tuned": ("few",), "few_contrast": ("few", "tuned"), "few_tuned": ("few", "tuned", "few_contrast"),
         "rare_tuned": ("rare",), "r8_tuned": ("rare", "rare_tuned")}  # fmt: skip
"""Parts that fill the same tables: what is done already is only read."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/news_cls/results")
    out: Path = RESULTS
    only: tuple[str, ...] = ()
    """Parts to run, of those in ORDER; by default all."""


@dataclass
class Study:
    """Cells of training, each once, and the groups of which tables are made."""

    config: StudyConfig
    base: Config = field(default_factory=Config)
    seeds: tuple[int, ...] = SEEDS
    groups: dict[str, list[list[Done]]] = field(default_factory=dict)
    trials: int = 20
    draws: int = 200
    batches: tuple[int, ...] = (25, 50, 100, 200)
    strengths: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    explained: int = 16
    steps: int = 32
    corpora: tuple[str, ...] = ("bbc", "outlets", "r8", "r52", "20newsgroups", "spanish")

    def __post_init__(self) -> None:
        prepared = Prepared(self.config.runs / "kept")
        self.prepared = prepared
        self.cells = Cells(
            self.config.runs,
            lambda cell: train(cell, prepared),
            "news_cls",
            cell_name,
            lambda cell: digest_of(cell.dataset, cell.seed),
            by="validation_macro_f1",
            last="result.json",
            expected=140,
        )

    def repeated(self, table: str, candidates: Iterable[Config]) -> Config:
        """Choose on validation with the first seed, repeat with all, and put the row into a table."""
        chosen = self.cells.best(candidates)
        self.again(table, chosen)
        return chosen

    def again(self, table: str, config: Config) -> None:
        """Repeat a configuration that was chosen elsewhere."""
        self.groups.setdefault(table, []).append(self.cells.repeat(config, self.seeds))

    def served_cells(self) -> list[Done]:
        """The models that are measured further, one a division: the frozen encoder with its head."""
        base = replace(self.base, arm="frozen", tokens=TOKENS)
        return self.cells.repeat(self.cells.best(self.candidates(base)), self.seeds)

    def candidates(self, base: Config) -> list[Config]:
        """Two of an arm: how strongly it is regularised, or how fast it learns."""
        if base.arm in CS:
            return [replace(base, c=c) for c in CS[base.arm]]
        return [replace(base, lr=rate, c=CS["frozen"][1]) for rate in RATES]


# ---------------------------------------------------------------- which runs


def few(run: Study) -> None:
    """BBC with few labels, by what needs no training of layers; and with all labels."""
    for arm in BASELINES:
        for unlabelled in (False, True):
            base = replace(run.base, arm=arm, tokens=FEW_TOKENS, unlabelled=unlabelled, labels=FEW[0])
            chosen = run.repeated("few", run.candidates(base))
            for labels in FEW[1:]:
                run.again("few", replace(chosen, labels=labels))
    for tokens in (TOKENS, SHORT):
        for arm in BASELINES:
            run.repeated("whole", run.candidates(replace(run.base, arm=arm, tokens=tokens)))
    run.again("whole", replace(run.base, arm="majority"))


def spanish(run: Study) -> None:
    """Introductions of Spanish Wikipedia by topic: an English encoder beside a multilingual one, and an SVM."""
    for arm, model, tokens in SPANISH:
        base = replace(run.base, dataset="spanish", arm=arm, model=model, tokens=tokens, labels=FEW[-1])
        chosen = run.repeated("spanish", run.candidates(base))
        run.again("spanish", replace(chosen, labels=FEW[0]))


def few_contrast(run: Study) -> None:
    """BBC with few labels, by contrast."""
    few_of(run, "contrastive", False)


def few_tuned(run: Study) -> None:
    """BBC with few labels, fine-tuned, with and without the articles that have none."""
    for arm, unlabelled in TUNED:
        few_of(run, arm, unlabelled)


def few_of(run: Study, arm: Arm, unlabelled: bool) -> None:
    """Choose with 10 labels, and repeat with 20."""
    base = replace(run.base, arm=arm, tokens=TOKENS, unlabelled=unlabelled, labels=FEW[0], batch_size=16, micro=16)
    chosen = run.repeated("few", run.candidates(replace(base, epochs=1 if unlabelled else 8)))
    run.again("few", replace(chosen, labels=FEW[1]))


def tuned(run: Study) -> None:
    """BBC with all labels, fine-tuned on the first 64 tokens, where the ceiling is not reached yet."""
    run.repeated("whole", run.candidates(replace(run.base, arm="tuned", tokens=SHORT, epochs=2)))


def rare(run: Study) -> None:
    """Reuters: baselines, and every way of dealing with rare topics on a head over the frozen encoder."""
    for dataset in ("r52", "r8"):
        for balance in PLAIN:
            base = replace(run.base, dataset=dataset, tokens=RARE_TOKENS, balance=balance)
            run.repeated("rare", run.candidates(replace(base, arm="svm", tokens=TOKENS)))
    head = replace(run.base, dataset="r52", arm="head", tokens=RARE_TOKENS, c=CS["frozen"][1], epochs=12, patience=3)
    chosen = {
        balance: run.repeated("rare", [replace(head, balance=balance, lr=rate) for rate in HEAD_RATES])
        for balance in BALANCES
    }
    for balance in (PLAIN[0], best_balance(run)):
        run.again("rare", replace(chosen[balance], dataset="r8"))


def rare_tuned(run: Study) -> None:
    """R52, fine-tuned with the option that validation chose among heads."""
    base = replace(run.base, dataset="r52", arm="tuned", tokens=RARE_TOKENS, epochs=2, balance=best_balance(run))
    run.repeated("rare", run.candidates(base))


def r8_tuned(run: Study) -> None:
    """R8 with what was chosen on R52."""
    run.again("rare", replace(run.groups["rare"][-1][0].config, dataset="r8", seed=0))


def best_balance(run: Study) -> Balance:
    """The option with the best mean macro-F1 on validation of the heads on R52, plain training left out."""
    heads = [group for group in run.groups["rare"] if (group[0].config.arm, group[0].config.dataset) == ("head", "r52")]
    options = [group for group in heads if group[0].config.balance != "none"]
    best = max(options, key=lambda group: sum(done.last("validation_macro_f1") for done in group))
    return best[0].config.balance


PARTS: dict[str, Callable[[Study], None]] = {
    "few": few, "tuned": tuned, "rare": rare, "few_contrast": few_contrast, "few_tuned": few_tuned,
    "rare_tuned": rare_tuned,
    "r8_tuned": r8_tuned, "spanish": spanish
}  # fmt: skip


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the study varies."""
    words = [cell.dataset, cell.arm, f"t{cell.tokens}"]
    words += [cell.model] if cell.model != Config.model else []
    words += [f"{cell.labels}{'u' if cell.unlabelled else ''}"] if cell.labels else []
    words += [cell.balance] if cell.balance != "none" else []
    words += [f"c{cell.c:g}"] if cell.arm in ("svm", "frozen") else []
    words += [f"lr{cell.lr:g}"] if cell.arm in ("head", "tuned", "contrastive") else []
    return "-".join([*words, f"seed{cell.seed}"])


@cache
def digest_of(dataset: str, seed: int) -> str:
    """Digest of what a cell learns from."""
    return corpus(dataset, seed).digest


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig, run: Study | None = None) -> None:
    """Train, choose, measure; tables after every part."""
    run = run or Study(config)
    if unknown := sorted(set(config.only) - set(ORDER)):
        raise UserError(f"--only {unknown[0]}: the parts are {', '.join(ORDER)}")
    wanted = set(config.only or ORDER)
    wanted |= {needed for name in wanted for needed in NEEDS.get(name, ())}
    for name in [name for name in ORDER if name in wanted]:
        if name in PARTS:
            PARTS[name](run)
            write(run)
        else:
            finished.MEASURES[name](run)
        figures.draw(config.out)
        study.finish(config.out, shown.views(config.out))


def write(run: Study) -> None:
    """Tables of the cells that there are."""
    tables: dict[str, Any] = {"few": shown.FEW, "whole": shown.WHOLE, "rare": shown.RARE, "spanish": shown.SPANISH_NEWS}
    for name, groups in run.groups.items():
        publish(tables[name], groups, run.config.out, "news_cls")
    chosen = [[done] for done in run.cells.all if done.config.seed == run.seeds[0]]
    publish(shown.CANDIDATES, chosen, run.config.out, "news_cls")


if __name__ == "__main__":
    command(main, StudyConfig)
