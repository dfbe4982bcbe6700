"""`make results-hf_finetune`: every run behind the README's tables, chosen on validation and repeated over seeds."""

import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import ARMS, Config, DataConfig
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.evaluation.metrics import sign_flip_p
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.supervisor import Attempt, spawn, supervise
from projects.hf_finetune.training.train import fit
from shared import checks, study
from shared.assets import load_encoder
from shared.errors import command
from shared.files import write_json
from shared.fingerprint.citations import Cited, pooled
from shared.report import read_csv, spread
from shared.study import CELL, Cells, Done, Table, last, mean_sd, origin, plain, publish, settings, table

RESULTS = Path("projects/hf_finetune/results")
BASE = Config(limit=500, epochs=3)
RATES, GAMMAS, SHARES = (1e-4, 2e-4, 4e-4), (0.0001, 0.001, 0.005), (0.2, 0.6)
# How memory runs out before step 45, the 13th of the second epoch, while a micro-batch holds more than 8 sentences.
FAULTS = {"RuntimeError": "runtime", "MemoryError": "memory", "SIGKILL": "kill", "RLIMIT_AS": "rlimit"}
WHERE = "@45@8"
FAULT_TEXT = {"RuntimeError": "torch's RuntimeError", "RLIMIT_AS": "a real RLIMIT_AS"}
SCORES = ("accuracy", "precision", "recall", "macro_f1", "ece")
EVALUATION = ("report.json", "report.txt")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    seeds: int = 5
    """How many seeds each arm has."""
    memory_gb: float | None = None
    """Address space of the processes that run out of memory on purpose (10⁹ bytes)."""
    runs: Path = Path("runs/hf_finetune/results")
    out: Path = RESULTS


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> tuple[list[Done], list[Done]]:
    """The four arms, with what was best on validation with seed 0; and the plain one broken in every way."""
    cells = cells_of(config, train, cell_name)
    cells.expected = 25  # with the choices of the published table
    first = cells.best(replace(BASE, lr=rate) for rate in RATES)
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
    return Cells(config.runs, trained_by, "hf_finetune", name, data_digest, "validation_macro_f1")


def train(cell: Config) -> None:
    """Train a cell in this process."""
    fit(Attempt(cell, cell.accumulation, cell.resume))


def break_memory(config: StudyConfig, kind: str, cell: Config) -> Done:
    """A cell in a process of its own that runs out of memory in one of the ways of FAULTS."""

    def train_broken(cell: Config) -> None:
        os.environ[FAULT] = FAULTS[kind] + WHERE
        try:
            supervise(replace(cell, memory_gb=config.memory_gb), spawn)
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
    return _digest(DataConfig(**cell.data))


@cache
def _digest(data: DataConfig) -> str:
    return prepare(data, load_tokenizer(data.model, max_length=data.max_length)).digest


# ---------------------------------------------------------------- what is shown of them

SPANISH = {
    "TF-IDF, logistic regression": "TF-IDF, regresión logística",
    "frozen encoder, logistic regression": "codificador congelado, regresión logística",
    "plain": "normal",
    "rate ": "tasa ",
    "torch's RuntimeError": "RuntimeError de torch",
    "a real RLIMIT_AS": "un RLIMIT_AS real",
}
Shown = dict[str, Any]


def gains(plain_runs: Sequence[Done], arm: Sequence[Done]) -> list[float]:
    """Gain in macro-F1 over plain training with the same seed, for each seed that both have."""
    before = {done.config.seed: done.last("test_macro_f1") for done in plain_runs}
    return [done.last("test_macro_f1") - before[done.config.seed] for done in arm if done.config.seed in before]


def off_in_sd(plain_runs: Sequence[Done], broken: Sequence[Done]) -> float:
    """Distance of a run's macro-F1 from the mean of plain training's, in their deviations."""
    scores = [done.last("test_macro_f1") for done in plain_runs]
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return (broken[0].last("test_macro_f1") - statistics.mean(scores)) / (deviation or float("inf"))


def _worst(metric: str, arm: Sequence[Done]) -> Cited:
    return pooled([done.source.last(metric) for done in arm], "min")


def _score(name: str, row: Shown, _: list[Shown]) -> str:
    return f"{row[name]:.4f}" if "baseline" in row else spread(row, name)


def _gain(row: Shown, _: list[Shown]) -> str:
    if row.get("arm", "plain") == "plain":
        return ""
    return f"{100 * row['gain_macro_f1']:+.2f} ({row['p_value']:.4f})"


def _chosen(row: Shown, _: list[Shown]) -> str:
    names = {"C": "C = ", "lr": "rate ", "awp": "γ = ", "mixout": "p = "}
    return ", ".join(f"{name}{row[field]:g}" for field, name in names.items() if row.get(field))


shown = partial(table, spanish=SPANISH)
TESTED = {name: last(name, f"test_{name}") for name in SCORES}
RAN = (
    *(TESTED["accuracy"], TESTED["ece"], TESTED["macro_f1"], last("micro_batch"), TESTED["precision"]),
    *(TESTED["recall"], last("seconds"), last("steps", "step"), study.best("validation_macro_f1")),
)
VARIED = settings("arm", "lr", "awp", "mixout", "seed")
RUNS = table("runs", CELL, *VARIED, *RAN, study.FINAL, origin(), keep_logs=True)
CURVES = table("curves", CELL, *settings("arm", "seed"), *map(last, ("step", "validation_loss", "validation_macro_f1")))
WORST = [plain(f"worst_{name}", partial(_worst, f"test_{name}")) for name in ("macro_f1", "accuracy")]
IN_RESULTS = shown(
    "results",
    ("trained", "se entrena", lambda row, _: row.get("arm") or f"{row['baseline']}, logistic regression"),
    ("accuracy", "exactitud", partial(_score, "accuracy")),
    ("macro-F1", "macro-F1", partial(_score, "macro_f1")),
    ("worst seed", "peor semilla", lambda row, _: f"{row['worst_macro_f1']:.4f}" if "arm" in row else ""),
    ("to plain, points (p)", "frente al normal, puntos (p)", _gain),
    ("ECE", "ECE", partial(_score, "ece")),
    ("settings", "ajustes", _chosen),
    ("seeds", "semillas", lambda row, _: str(row.get("seeds", ""))),
)
IN_FAULTS = shown(
    "faults",
    ("how memory ran out", "cómo faltó la memoria", lambda row, _: FAULT_TEXT.get(row["fault"]) or str(row["fault"])),
    ("ended with", "acabó con", lambda row, _: f"{row['micro_batch']} × {BASE.batch_size // row['micro_batch']}"),
    ("steps", "pasos", "{steps}"),
    ("accuracy", "exactitud", "{accuracy:.4f}"),
    ("macro-F1", "macro-F1", "{macro_f1:.4f}"),
    ("in sd of plain's seeds", "en desviaciones entre semillas", "{off_in_sd:+.2f}"),
)
OVER = ("/ plain, median (quartiles)", "/ normal, mediana (cuartiles)")
BENCH = shown(
    "bench",
    ("step", "paso", "{arm}"),
    ("ms, median", "ms, mediana", "{step_ms:.0f}"),
    (*OVER, "{over_plain:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})"),
    ("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
)


def summary_of(plain_runs: Sequence[Done]) -> Table:
    """An arm a row: means, deviations, the worst seed, and the paired test against plain training."""
    means = [mean_sd(name, f"test_{name}") for name in SCORES]
    gain = plain("gain_macro_f1", lambda group: statistics.mean(gains(plain_runs, group)))
    p_value = plain("p_value", lambda group: sign_flip_p(gains(plain_runs, group)))
    measured = (study.REPEATS, *means, *WORST, gain, p_value)
    return table("summary", *settings("arm"), *measured, *settings("lr", "awp", "mixout"), made_from=("runs",))


def faults_of(plain_runs: Sequence[Done]) -> Table:
    """A broken run a row, and how far it is from plain training's mean."""
    fault = plain("fault", lambda group: group[0].name.split("-")[1])
    off = plain("off_in_sd", partial(off_in_sd, plain_runs))
    return table("faults", fault, CELL, *RAN, off, origin(), keep_logs=True)


def views(out: Path) -> dict[str, tuple[Table, list[Shown]]]:
    """Block of a README → the table that it shows, and its rows; the benchmark's where there has been one."""
    rows = [*read_csv(out / "baseline.csv"), *read_csv(out / "summary.csv")]
    return {"results": (IN_RESULTS, rows), **study.written(out, IN_FAULTS, BENCH)}


def main(config: StudyConfig) -> None:
    """Choose rate, γ and p on validation with seed 0, break runs on purpose, repeat the four arms over the seeds."""
    checks.at_least(config, 2, "seeds")
    checks.at_least(config, 0.1, "memory_gb")
    from projects.hf_finetune import figures

    out, (cells, broken) = config.out, collect(config)
    publish(RUNS, [[done] for done in cells], out, "hf_finetune")
    final = [done for done in cells if done.final]
    publish(CURVES, [point for done in final for point in study.by_line(done, "validation_loss")], out, "hf_finetune")
    groups = study.grouped(final, lambda done: done.config.arm)
    groups.sort(key=lambda group: ARMS.index(group[0].config.arm))
    publish(summary_of(groups[0]), groups, out, "hf_finetune")
    publish(faults_of(groups[0]), [[done] for done in broken], out, "hf_finetune")
    write_baselines(groups[0][0].config, out)
    run = groups[0][0].directory
    assert run is not None, "its evaluation is needed"
    for name in EVALUATION:
        shutil.copy(run / "evaluation" / name, out / name)
    figures.draw(out)
    study.finish(out, views(out))


def write_baselines(config: Config, out: Path) -> None:
    """baseline.csv, sealed, and data.json: both baselines on the very data of the runs, and what these data are."""
    from projects.hf_finetune.evaluation.baseline import frozen_baseline, tfidf_baseline

    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    data = prepare(config, load_tokenizer(config.model, max_length=config.max_length))
    found = {"TF-IDF": tfidf_baseline(data), "frozen encoder": frozen_baseline(data, encoder, tokenizer)}
    kept = ("C", "validation_macro_f1", *SCORES)
    rows = [{"baseline": name, **{column: each[column] for column in kept}} for name, each in found.items()]
    study.write(out / "baseline.csv", rows, "hf_finetune")
    write_json(out / "data.json", data.report)


if __name__ == "__main__":
    command(main, StudyConfig)
