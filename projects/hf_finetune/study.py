"""`make results-hf_finetune`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. What each table shows is declared below.
"""

import os
import re
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import ARMS, SMOKE, Config
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.evaluation.metrics import sign_flip_p
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.supervisor import Attempt, spawn, supervise
from projects.hf_finetune.training.train import fit
from shared.assets import load_encoder
from shared.errors import command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import KEPT, Cited, pooled
from shared.fingerprint.results import Row, seal_table
from shared.report import put_tables, read_csv, spread, write_csv
from shared.runs import describe_environment
from shared.study import (
    Cells,
    Column,
    Done,
    Group,
    Table,
    best,
    grouped,
    last,
    mean_sd,
    only_shown,
    origin,
    plain,
    publish,
    settings,
)

RESULTS = Path("projects/hf_finetune/results")
RATES, GAMMAS, SHARES = (1e-4, 2e-4, 4e-4), (0.0001, 0.001, 0.005), (0.2, 0.6)
# How memory runs out before step 45, the 13th of the second epoch, while a micro-batch holds more than 8 sentences.
FAULTS = {"RuntimeError": "runtime", "MemoryError": "memory", "SIGKILL": "kill", "RLIMIT_AS": "rlimit"}
WHERE = "@45@8"
FAULT_TEXT = {"RuntimeError": "torch's RuntimeError", "RLIMIT_AS": "a real RLIMIT_AS"}
OF_THE_DATA = ("model", "max_length", "dataset", "limit", "text_column", "label_column", "scores", "neutral_band")
SCORES = ("accuracy", "precision", "recall", "macro_f1", "ece")
OURS = re.compile(r"[0-9a-f]{16}" + re.escape(KEPT))  # a log kept under its run's id
EVALUATION = ("confusion_matrix.png", "reliability.png", "report.json", "report.txt")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config(limit=500, epochs=3)
    """What all runs share."""
    seeds: int = 5
    """How many seeds each arm has."""
    runs: Path = Path("runs/hf_finetune/results")
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> tuple[list[Done], list[Done]]:
    """The four arms, with what was best on validation with seed 0; and the plain one broken in every way."""
    cells = cells_of(config, train, cell_name)
    cells.expected = 25  # with the choices of the published table
    base = replace(config.base, memory_gb=None)  # says where a run was made, not what it did
    first = cells.best(replace(base, lr=rate) for rate in RATES)
    mixout = cells.best(replace(first, mixout=share) for share in SHARES)
    awp = cells.best(replace(first, awp=gamma) for gamma in GAMMAS)
    arms = [first, mixout, awp, replace(first, mixout=mixout.mixout, awp=awp.awp)]
    broken = [break_memory(config, kind, replace(first, save_every=10)) for kind in FAULTS]
    for seed in range(config.seeds):  # seed by seed, so that a sweep cut short has every arm
        for arm in arms:
            cells.run(replace(arm, seed=seed), final=True)
    return cells.all, broken


def cells_of(config: StudyConfig, trained_by: Callable[[Config], object], name: Callable[[Config], str]) -> Cells:
    """No cell yet; the best epoch on validation is the one that is cited."""
    told: dict[str, Any] = {"project": "hf_finetune", "data": data_digest, "by": "validation_macro_f1"}
    return Cells(config.runs, trained_by, name=name, **told)


def train(cell: Config) -> None:
    """Train a cell in this process."""
    fit(Attempt(cell, cell.accumulation, cell.resume))


def break_memory(config: StudyConfig, kind: str, cell: Config) -> Done:
    """A cell in a process of its own that runs out of memory in one of the ways of FAULTS."""

    def train_broken(cell: Config) -> None:
        os.environ[FAULT] = FAULTS[kind] + WHERE
        try:
            supervise(replace(cell, memory_gb=config.base.memory_gb), spawn)
        finally:
            del os.environ[FAULT]

    return cells_of(config, train_broken, lambda _: f"fault-{kind}").run(cell)


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the study varies."""
    awp = f"-awp{cell.awp:g}" if cell.awp else ""
    mixout = f"-mixout{cell.mixout:g}" if cell.mixout else ""
    return f"lr{cell.lr:g}{awp}{mixout}-seed{cell.seed}"


def data_digest(cell: Config) -> str:
    """Digest of the texts and labels that a cell learns from."""
    return _digest(Config(**{name: getattr(cell, name) for name in OF_THE_DATA}))


@cache
def _digest(config: Config) -> str:
    return prepare(config, load_tokenizer(config.model, max_length=config.max_length)).digest


# ---------------------------------------------------------------- what is shown of them


def worst(name: str) -> Column:
    """The lowest of the seeds' last values."""

    def cited(group: Group) -> list[Cited]:
        return [pooled([done.source.last(f"test_{name}") for done in group], "min")]

    return Column((f"worst_{name}",), cited)


def paired(plain_runs: Group, group: Group) -> list[float]:
    """Mean gain in macro-F1 over plain training with the same seed, and how likely chance alone is as far off."""
    before = {done.config.seed: done.last("test_macro_f1") for done in plain_runs}
    gains = [done.last("test_macro_f1") - before[done.config.seed] for done in group if done.config.seed in before]
    return [statistics.mean(gains), sign_flip_p(gains)]


def off_in_sd(plain_runs: Group, group: Group) -> float:
    """Distance of a run's macro-F1 from the mean of plain training's, in their deviations."""
    scores = [done.last("test_macro_f1") for done in plain_runs]
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return (group[0].last("test_macro_f1") - statistics.mean(scores)) / (deviation or float("inf"))


def trained(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """What the README calls an arm or a baseline."""
    return f"{row['baseline']}, logistic regression" if "baseline" in row else str(row["arm"])


def score(name: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The mean with its deviation; the score itself where no network was trained."""
    return f"{row[name]:.4f}" if "baseline" in row else spread(row, name)


def of_arm(form: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """What a baseline has not."""
    return "" if "baseline" in row else form.format(**row)


def gain(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The gain over plain training in points, with its p."""
    if row.get("arm", "plain") == "plain":
        return ""
    return f"{100 * row['gain_macro_f1']:+.2f} ({row['p_value']:.4f})"


def chosen(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """What was chosen on validation."""
    names = {"C": "C = ", "lr": "rate ", "awp": "γ = ", "mixout": "p = "}
    return ", ".join(f"{name}{row[field]:g}" for field, name in names.items() if row.get(field))


TESTED = {name: last(name, f"test_{name}") for name in SCORES}
RAN = (
    TESTED["accuracy"],
    TESTED["ece"],
    TESTED["macro_f1"],
    last("micro_batch"),
    TESTED["precision"],
    TESTED["recall"],
    last("seconds"),
    last("steps", "step"),
    best("validation_macro_f1"),
)
RUNS = Table(
    "runs",
    (
        plain("cell", lambda group: group[0].name),
        *settings("arm", "lr", "awp", "mixout", "seed"),
        *RAN,
        plain("final", lambda group: int(group[0].final)),
        origin(),
    ),
    keep_logs=True,
)
IN_RESULTS = Table(
    "results",
    (
        only_shown("trained", "se entrena", trained),
        only_shown("accuracy", "exactitud", partial(score, "accuracy")),
        only_shown("macro-F1", "macro-F1", partial(score, "macro_f1")),
        only_shown("worst seed", "peor semilla", partial(of_arm, "{worst_macro_f1:.4f}")),
        only_shown("to plain, points (p)", "a normal, puntos (p)", gain),
        only_shown("ECE", "ECE", partial(score, "ece")),
        only_shown("settings", "ajustes", chosen),
        only_shown("seeds", "semillas", partial(of_arm, "{seeds}")),
    ),
)
BENCH = Table(
    "bench",
    (
        only_shown("step", "paso", "{arm}"),
        only_shown("ms, median", "ms, mediana", "{step_ms:.0f}"),
        only_shown(
            "/ plain, median (quartiles)",
            "/ normal, mediana (cuartiles)",
            "{over_plain:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})",
        ),
        only_shown("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
    ),
)


def summary_of(plain_runs: Group) -> Table:
    """An arm a row: means, deviations, the worst seed, and the paired test against plain training."""
    return Table(
        "summary",
        (
            plain("arm", lambda group: group[0].config.arm),
            plain("seeds", len),
            *(mean_sd(name, f"test_{name}") for name in SCORES),
            worst("macro_f1"),
            worst("accuracy"),
            Column(("gain_macro_f1", "p_value"), partial(paired, plain_runs)),
            *settings("lr", "awp", "mixout"),
        ),
        made_from=("runs",),
    )


def faults_of(plain_runs: Group) -> Table:
    """A broken run a row, and how far it is from plain training's mean; the view does not depend on that."""
    text = plain("fault", lambda group: group[0].name.split("-")[1])
    return Table(
        "faults",
        (
            replace(text, head="how memory ran out", es="cómo", show=lambda row, _: fault_text(row)),
            only_shown("ended with", "acabó con", lambda row, _: f"{row['micro_batch']} × {16 // row['micro_batch']}"),
            only_shown("steps", "pasos", "{steps}"),
            plain("cell", lambda group: group[0].name),
            only_shown("accuracy", "exactitud", "{accuracy:.4f}"),
            only_shown("macro-F1", "macro-F1", "{macro_f1:.4f}"),
            *RAN,
            plain(
                "off_in_sd",
                partial(off_in_sd, plain_runs),
                head="in sd of plain's seeds",
                es="desviaciones de la normal",
                show="{off_in_sd:+.2f}",
            ),
            origin(),
        ),
        keep_logs=True,
    )


def fault_text(row: dict[str, Any]) -> str:
    """What the README calls a way to run out of memory."""
    return FAULT_TEXT.get(row["fault"], row["fault"])


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows; the benchmark's where there has been one."""
    rows = [*read_csv(out / "baseline.csv"), *read_csv(out / "summary.csv")]
    found = {"results": (IN_RESULTS, rows), "faults": (faults_of(()), read_csv(out / "faults.csv"))}
    return found | ({"bench": (BENCH, read_csv(out / "bench.csv"))} if (out / "bench.csv").exists() else {})


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Choose rate, γ and p on validation with seed 0, break runs on purpose, repeat the four arms over the seeds."""
    cells, broken = collect(config)
    keep_sample(config)
    publish_all(cells, broken, config.out)


def publish_all(cells: list[Done], broken: list[Done], out: Path) -> None:
    """Write, seal and show everything that the finished runs came to."""
    from projects.hf_finetune import figures

    remove_logs(out / "logs")
    publish(RUNS, [[done] for done in cells], out, "hf_finetune")
    final = [done for done in cells if done.final]
    points = [point for done in final for point in curve(done)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="hf_finetune", key=team_key(), rows=[row for _, row in points])
    groups = sorted(grouped(final, lambda done: done.config.arm), key=lambda group: ARMS.index(group[0].config.arm))
    publish(summary_of(groups[0]), groups, out, "hf_finetune")
    publish(faults_of(groups[0]), [[done] for done in broken], out, "hf_finetune")
    write_json(out / "environment.json", describe_environment())
    write_baselines(groups[0][0].config, out)
    run = groups[0][0].directory
    assert run is not None, "its evaluation is needed"
    for name in EVALUATION:
        shutil.copy(run / "evaluation" / name, out / name)
    figures.draw(out)
    put_tables(out, views(out))


def remove_logs(folder: Path) -> None:
    """Remove the logs of an earlier publication, with runs that no table cites any more; other files stay."""
    for path in folder.glob(f"*{KEPT}"):
        if OURS.fullmatch(path.name):
            path.unlink()


def curve(done: Done) -> Iterator[tuple[dict[str, Any], Row]]:
    """A run's validation after each epoch; each point with its citation."""
    names = ("step", "validation_loss", "validation_macro_f1")
    named = {"cell": done.name, "arm": done.config.arm, "seed": done.config.seed}
    for seq, record in enumerate(done.source.log.records):
        if "validation_loss" in record:
            cells = {name: done.source.window(name, seq, seq, "value") for name in names}
            yield {**named, **{name: record[name] for name in names}}, Row([done.source], cells)


def write_baselines(config: Config, out: Path) -> None:
    """baseline.csv, sealed, and data.json: both baselines on the very data of the runs, and what these data are."""
    from projects.hf_finetune.evaluation.baseline import frozen_baseline, tfidf_baseline

    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    data = prepare(config, load_tokenizer(config.model, max_length=config.max_length))
    found = {"TF-IDF": tfidf_baseline(data), "frozen encoder": frozen_baseline(data, encoder, tokenizer)}
    kept = ("C", "validation_macro_f1", *SCORES)
    rows = [{"baseline": name, **{column: report[column] for column in kept}} for name, report in found.items()]
    write_csv(out / "baseline.csv", rows)
    seal_table(out / "baseline.csv", project="hf_finetune", key=team_key())
    write_json(out / "data.json", data.report)


def keep_sample(config: StudyConfig) -> None:
    """Move a run of a few steps to sample_run without its weights, unless there is one: what training leaves behind.

    Moved, not copied: a run that is there twice is what a verifier calls replayed.
    """
    sample = config.out / "sample_run"
    if sample.exists():
        return
    run = cells_of(config, train, lambda _: "sample").run(SMOKE).directory
    assert run is not None, "it was trained just now"
    sample.mkdir(parents=True)
    for path in (path for path in run.iterdir() if path.is_file()):
        shutil.copy(path, sample / path.name)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    write_json(sample / "files.json", {path.relative_to(run).as_posix(): path.stat().st_size for path in files})
    shutil.rmtree(run)


if __name__ == "__main__":
    command(main, StudyConfig)
