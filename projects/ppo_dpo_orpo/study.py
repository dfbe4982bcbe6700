"""`make results-ppo_dpo_orpo`: every run behind the README's tables, and what is shown of them.

Budget, written down before the first run, in core-seconds: pairs and kept states 600; 24 cells of 40 steps 2,000 (12
candidates, 18 repeated, six are both), validation 350, test pairs 830, answers 850, sensitivity 1,200: 100 minutes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from projects.ppo_dpo_orpo import evaluate, train_ppo, train_preference
from projects.ppo_dpo_orpo.analysis import accuracy, compare, plots, shown
from projects.ppo_dpo_orpo.config import Config, Method
from projects.ppo_dpo_orpo.evaluate import Item
from projects.ppo_dpo_orpo.policies import Kind
from projects.ppo_dpo_orpo.prepare import Prepared, new_policy, prepare
from shared import devices, study
from shared.errors import command
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import file_digest
from shared.measured import write_means
from shared.seeding import seed_everything
from shared.study import Cells, Done, log_items, publish

RESULTS = Path("projects/ppo_dpo_orpo/results")
METHODS: tuple[Method, ...] = ("dpo", "orpo", "ppo")
RATES = {"dpo": (1e-3, 3e-3), "orpo": (2e-3, 5e-3), "ppo": (1e-3, 3e-3)}
"""Candidates. First, DPO had 2e-4 and 5e-4; the former had moved the training margin by 0.07 nats in 23 steps."""
SEEDS = (0, 1, 2)
KINDS: tuple[Kind, ...] = ("lora", "adapter")
WATCH = dict.fromkeys(METHODS, (20, 40))
"""Kept checkpoints: of PPO the first where it has cost about what the others have at their last; then equal steps."""
NAMED = {"lr": "lr", "beta": "beta", "pairs": "n", "wrong": "wrong", "entropy": "entropy"}
USUAL = {**vars(Config()), "lr": None}
SENSITIVITY: dict[str, tuple[dict[str, Any], ...]] = {
    "wrong": ({"wrong": 0.1}, {"wrong": 0.3}, {"wrong": 0.3, "method": "cdpo", "label_noise": 0.3}),
    "beta": ({"beta": 0.02}, {"beta": 0.5}),
    "pairs": ({"pairs": 50}, {"pairs": 100}, {"pairs": 200}),
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/ppo_dpo_orpo/results")
    out: Path = RESULTS
    stages: Path = Path("runs/ppo_dpo_orpo/stages")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a measurement without training depends on, beside the checkpoint that is its data."""

    what: str
    method: str
    kind: str
    seed: int
    step: int
    held_out: int
    tokens: int


@dataclass
class Study:
    """Cells of training, and measurements of their checkpoints."""

    config: StudyConfig

    @cached_property
    def prepared(self) -> Prepared:
        """Pairs, states and reference: once for all cells."""
        seed_everything(0)
        return prepare(self.base)

    @property
    def base(self) -> Config:
        """What no cell varies."""
        return Config(stages=self.config.stages)

    @cached_property
    def cells(self) -> Cells:
        """The trained ones."""
        prepared = self.prepared
        return Cells(
            self.config.runs,
            lambda cell: train(cell, prepared),
            "ppo_dpo_orpo",
            cell_name,
            lambda _: prepared.digest,
            by="validation_accuracy",
            last=train_preference.RESULT,
            expected=33,
        )

    def candidates(self, method: Method, kind: Kind) -> Iterator[Config]:
        """As many for every method and kind."""
        for rate in RATES[method]:
            yield replace(self.base, method=method, kind=kind, lr=rate, watch=WATCH[method])

    def measure(self, what: str, done: Done | None, step: int, seed: int) -> Done:
        """Items of a checkpoint (None: of the start): "pairs", "answers", "greedy" or "news"."""
        base = done.config if done else self.base
        method, kind = (base.method, base.kind) if done else ("start", "start")
        told = {"held_out": base.held_out, "tokens": base.tokens}
        asked = Asked(what=what, method=method, kind=kind, seed=seed, step=step, **told)
        name = f"{done.name}-{what}-step{step}" if done else f"start-{what}-seed{seed}"
        checkpoint = done.directory / "checkpoints" / f"step-{step:06d}" if done and done.directory else None
        data = file_digest(checkpoint / MANIFEST) if checkpoint else self.prepared.digest
        place, take = self.config.runs / "measured" / name, lambda: self.items(what, base, checkpoint, seed)
        return log_items(place, asked, take, project="ppo_dpo_orpo", data=data)

    def items(self, what: str, config: Config, checkpoint: Path | None, seed: int) -> Iterable[Item]:
        """What is logged of a policy, item by item."""
        devices.use_all_cores()
        policy, _ = new_policy(config)
        if checkpoint:
            evaluate.load_checkpoint(policy, checkpoint)
        if what == "news":
            return evaluate.news_nats(policy, self.prepared)
        if what == "pairs":
            return evaluate.pair_items(config, policy, self.prepared)
        return evaluate.answer(policy, self.prepared, tokens=config.tokens, seed=seed, greedy=what == "greedy")


def train(cell: Config, prepared: Prepared) -> train_preference.Metrics:
    """By the loop of its method."""
    done = (train_ppo if cell.method == "ppo" else train_preference).main(cell, prepared)
    assert done is not None, "there is one process"
    return done


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart."""
    told = [f"{short}{getattr(cell, name):g}" for name, short in NAMED.items() if getattr(cell, name) != USUAL[name]]
    return "-".join([cell.method, cell.kind, *told, f"seed{cell.seed}"])


def best_step(done: Done) -> int:
    """The watched step that validation chose; of equals the first."""
    watched = [r for r in done.source.log.records if "validation_accuracy" in r]
    return int(max(watched, key=lambda record: record["validation_accuracy"])["step"])


def collect(run: Study) -> compare.Found:
    """Candidates, repeats and their measurements; what is done is read, what is not is made."""
    start = {seed: run.measure("answers", None, 0, seed) for seed in SEEDS}
    found = compare.Found(start, run.measure("pairs", None, 0, 0), run.measure("news", None, 0, 0))
    chosen = {(method, kind): run.cells.best(run.candidates(method, kind)) for kind in KINDS for method in METHODS}
    found.candidates = {done.name for done in run.cells.all}
    for (method, kind), config in chosen.items():
        found.trained[method, kind] = run.cells.repeat(config, SEEDS)
    for group in found.trained.values():
        for done in group:
            for step in WATCH[done.config.method]:
                found.answers[done.name, step] = run.measure("answers", done, step, done.config.seed)
            found.pairs[done.name] = run.measure("pairs", done, best_step(done), done.config.seed)
            last = max(WATCH[done.config.method])
            found.news[done.name] = run.measure("news", done, last, done.config.seed)
            if done.config.seed == 0:
                found.greedy[done.name] = run.measure("greedy", done, last, 0)
    return found


def sensitivity(run: Study, found: compare.Found) -> None:
    """DPO with LoRA, one setting at a time changed; and PPO with an entropy bonus."""
    base = found.trained["dpo", "lora"][0].config
    for study_name, changes in SENSITIVITY.items():
        for change in changes:
            done = run.cells.run(replace(base, **change))
            found.sensitivity.append((study_name, done, run.measure("pairs", done, best_step(done), 0)))
    ppo = found.trained["ppo", "lora"][0].config
    bonus = run.cells.run(replace(ppo, entropy=0.02))
    found.exploration = [
        (done, run.measure("answers", done, max(WATCH["ppo"]), 0)) for done in (run.cells.run(ppo), bonus)
    ]


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig, run: Study | None = None) -> None:
    """Train, measure, compare; tables and figures after the main cells, and again after those of sensitivity."""
    run = run or Study(config)
    found = collect(run)
    write(run, found)
    sensitivity(run, found)
    write(run, found)


def write(run: Study, found: compare.Found) -> None:
    """Tables and figures of what there is."""
    out = run.config.out
    publish(shown.CANDIDATES, [[done] for done in run.cells.all if done.name in found.candidates], out, "ppo_dpo_orpo")
    publish(shown.POINTS, [[done] for done in [*found.start.values(), *found.answers.values()]], out, "ppo_dpo_orpo")
    tables = [
        (shown.SECONDS, compare.at_steps(found, last=False)),
        (shown.STEPS, compare.at_steps(found, last=True)),
        (shown.CONTRASTS, compare.against_each_other(found)),
        (shown.EQUAL_KL, compare.equal_kl(found)),
        (shown.ACCURACY, accuracy.accuracy(found, accuracy.baselines(run.prepared))),
        (shown.ERRORS, accuracy.worst(found, run.prepared.encoded["test"].pairs)),
        (shown.TAX, compare.tax(found)),
        (shown.GREEDY, compare.greedy(found)),
        (shown.TEXTS, compare.texts(found)),
        (shown.FRONTIER, compare.frontier(found)),
    ]
    if found.exploration:
        tables += [(shown.SENSITIVE, accuracy.sensitivity(found)), (shown.EXPLORATION, compare.exploration(found))]
    for table, rows in tables:
        write_means(out / f"{table.name}.csv", rows, compare.MEANS, "ppo_dpo_orpo")
    plots.main(plots.PlotConfig(results=out))
    study.finish(out, shown.views(out))


if __name__ == "__main__":
    command(main, StudyConfig)
