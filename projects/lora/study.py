"""`make results-lora`: every run behind the README's tables, chosen on validation and repeated over seeds.

A finished run is not made again, and one that was interrupted goes on from its last checkpoint, so the command can be
stopped and started at will. What each table shows is declared below.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tyro.conf import Suppress

from projects.lora.config import Arm, Config, method
from projects.lora.models.lora import Scaling
from projects.lora.scripts import pruning_quant
from projects.lora.scripts.train_lora import main as train
from projects.lora.scripts.train_lora import read_corpus
from shared.assets import load_encoder
from shared.errors import command
from shared.fingerprint import team_key
from shared.fingerprint.results import Row, seal_table
from shared.report import put_tables, read_csv, write_csv
from shared.study import Cells, Done, Table, best, grouped, last, mean_sd, only_shown, origin, plain, publish, settings

RESULTS = Path("projects/lora/results")
RANKS, RATIOS, SEEDS = (4, 16, 64), (1.0, 4.0, 16.0), (0, 1, 2)
LORA_RATES, FULL_RATES = (2e-4, 5e-4, 1e-3), (5e-5, 1e-4, 2e-4)
OF_THE_DATA = ("model", "max_length", "dataset", "limit", "batch_size", "text_column", "label_column")
SPANISH = {
    "frozen encoder, linear head": "codificador congelado, cabeza lineal",
    "PEFT's LoRA": "LoRA de PEFT",
    "full fine-tuning": "ajuste fino completo",
}
ARM_NAMES = {"lora": "LoRA, ours", "peft": "PEFT's LoRA", "full": "full fine-tuning"}
WINDOW = 20  # steps whose losses are averaged to one point of a curve


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Config):
    """Run every experiment behind the README's tables; what the study varies is no option."""

    arm: Suppress[Arm] = "lora"
    rank: Suppress[int] = 16
    scaling: Suppress[Scaling] = "alpha/r"
    lr: Suppress[float] = 1e-3
    lr_ratio: Suppress[float] = 4.0
    seed: Suppress[int] = 0
    resume: Suppress[bool] = False
    runs: Path = Path("runs/lora/results")
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> Cells:
    """Rates selected on validation with seed 0, the selected ones repeated over the seeds."""
    cells = Cells(config.runs, train, project="lora", name=cell_name, data=digest_of, by="validation_accuracy")
    cells.expected = 33  # with the choices of the published table
    lora = cells.best(replace(config.base, arm="lora", rank=16, lr_ratio=1.0, lr=rate) for rate in LORA_RATES)
    full = cells.best(replace(config.base, arm="full", lr=rate) for rate in FULL_RATES)
    selected = {rank: cells.best(replace(lora, rank=rank, lr_ratio=ratio) for ratio in RATIOS) for rank in RANKS}
    root = cells.best(replace(lora, rank=64, lr_ratio=ratio, scaling="alpha/sqrt(r)") for ratio in RATIOS)
    for cell in (*selected.values(), root, full, replace(config.base, arm="head"), replace(selected[16], arm="peft")):
        cells.repeat(cell, SEEDS)
    return cells


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the study varies."""
    if cell.arm in ("head", "full"):
        return f"{cell.arm}{f'-lr{cell.lr:g}' if cell.arm == 'full' else ''}-seed{cell.seed}"
    root = "-sqrt" if cell.scaling == "alpha/sqrt(r)" else ""
    return f"{cell.arm}-r{cell.rank}{root}-lr{cell.lr:g}-x{cell.lr_ratio:g}-seed{cell.seed}"


def digest_of(cell: Config) -> str:
    """Digest of the texts and labels that a cell learns from."""
    return _digest(Config(**{name: getattr(cell, name) for name in OF_THE_DATA}))


@cache
def _digest(config: Config) -> str:
    return read_corpus(config, load_encoder(config.model, max_length=config.max_length)[1]).digest()


# ---------------------------------------------------------------- what is shown of them


def method_of(done: Done) -> str:
    """Name of a cell's method in the README."""
    return method(done.config.arm, done.config.rank, done.config.scaling)


def to_full(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Distance to full fine-tuning in points of accuracy."""
    full = next(other["accuracy"] for other in rows if other["method"] == "full fine-tuning")
    return f"{100 * (row['accuracy'] - full):+.2f}"


def rates(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The rates that were selected on validation."""
    if "head" in row["method"]:
        return "L-BFGS"
    return f"{row['lr']:g}" + (f", ×{row['lr_ratio']:g}" if "LoRA" in row["method"] else "")


RUNS = Table(
    "runs",
    (
        plain("cell", lambda group: group[0].name),
        *settings("arm", "rank", "scaling", "lr", "lr_ratio", "seed"),
        last("accuracy", "test_accuracy"),
        last("macro_f1", "test_macro_f1"),
        last("parameters"),
        last("seconds"),
        last("steps", "step"),
        last("trained"),
        best("validation_accuracy"),
        plain("final", lambda group: int(group[0].final)),
        origin(),
    ),
    keep_logs=True,
)
SUMMARY = Table(
    "summary",
    (
        plain("method", lambda group: method_of(group[0]), head="trained", es="qué se entrena"),
        plain("seeds", len, head="seeds", es="semillas"),
        mean_sd("accuracy", "test_accuracy", head="accuracy", es="exactitud"),
        mean_sd("macro_f1", "test_macro_f1", head="macro-F1", es="macro-F1"),
        last("trained"),
        plain("share", lambda group: group[0].last("trained") / group[0].last("parameters")),
        *settings("lr", "lr_ratio"),
        only_shown("to full, points", "frente al completo, puntos", to_full),
        only_shown("parameters", "parámetros", "{trained:,} ({share:.2%})"),
        only_shown("rate of A, ratio", "tasa de A, razón", rates),
    ),
    order=("trained", "accuracy", "macro-F1", "to full, points", "parameters", "rate of A, ratio", "seeds"),
    made_from=("runs",),
    spanish=SPANISH,
)
PRUNING = Table(
    "pruning_quant",
    (
        only_shown("done, in order", "qué, en orden", lambda row, _: done_in_order(row)),
        only_shown("accuracy", "exactitud", "{accuracy:.4f}"),
        only_shown("zeros", "ceros", "{zeros:.1%}"),
        only_shown("file", "archivo", "{file_mb:.1f} MB"),
        only_shown("compressed", "comprimido", "{zip_mb:.1f} MB"),
        only_shown("one question", "una pregunta", "{ms_one_question:.1f} ms"),
    ),
    spanish={"prune": "podar", "merge": "fusionar", "mask again": "enmascarar de nuevo"},
)
BENCH = Table(
    "bench",
    (
        only_shown("arm", "brazo", lambda row, _: ARM_NAMES[row["arm"]]),
        only_shown("ms a step, median", "ms por paso, mediana", "{step_ms:.0f}"),
        only_shown(
            "ours / arm, median (quartiles)",
            "nuestro / brazo, mediana (cuartiles)",
            "{lora_over_arm:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})",
        ),
        only_shown("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
        only_shown("its growth in training", "su crecimiento al entrenar", "{growth_mb:.0f} MB"),
    ),
    spanish={"LoRA, ours": "LoRA, el nuestro", **SPANISH},
)


def done_in_order(row: dict[str, Any]) -> str:
    """What was done to the model: pruning nothing is not mentioned."""
    if row["level"] == 0:
        return str(row["variant"]).replace("merge, prune", "merge")
    return f"{row['variant']} ({row['level']:.0%})"


def in_readme(pruned: list[dict[str, Any]], level: float = 0.5) -> list[dict[str, Any]]:
    """Nothing pruned, then every order at one level."""
    nothing = [row for row in pruned if row["level"] == 0 and row["variant"] in ("merge, prune", "merge, prune, int8")]
    return [*nothing, *(row for row in pruned if row["level"] == level)]


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows."""
    pruned = in_readme(read_csv(out / "pruning_quant.csv"))
    return {"results": (SUMMARY, read_csv(out / "summary.csv")), "pruning": (PRUNING, pruned)}


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> list[dict[str, Any]]:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    from projects.lora.analysis import plots

    cells = collect(config)
    publish(RUNS, [[done] for done in cells.all], config.out, "lora")
    write_curves(cells.all, config.out)
    prune(next(done for done in cells.final if method_of(done) == "LoRA, r = 16"), config.out)
    groups = sorted(grouped(cells.final, method_of), key=lambda group: (group[0].last("trained"), method_of(group[0])))
    summary = publish(SUMMARY, groups, config.out, "lora")
    plots.main(plots.PlotConfig(results=config.out))
    put_tables(config.out, views(config.out))
    return summary


def prune(done: Done, out: Path) -> None:
    """Prune and quantise the run of one cell."""
    assert done.directory is not None, "its weights are needed"
    rows = pruning_quant.main(pruning_quant.PruneConfig(run=done.directory, out=out))
    seal_table(out / "pruning_quant.csv", project="lora", key=team_key(), rows=[Row([done.source])] * len(rows))


def write_curves(cells: list[Done], out: Path) -> None:
    """curves.csv: each run's training loss, averaged over whole windows of steps, for the figures."""
    points = [point for done in cells for point in curve(done)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="lora", key=team_key(), rows=[cited for _, cited in points])


def curve(done: Done) -> Iterator[tuple[dict[str, Any], Row]]:
    """The points of one run, each with its citation."""
    named = {"cell": done.name, "method": method_of(done), "lr_ratio": done.config.lr_ratio}
    losses = [(seq, r["step"], r["loss"]) for seq, r in enumerate(done.source.log.records) if "loss" in r]
    for start in range(0, len(losses) - WINDOW + 1, WINDOW):
        window = losses[start : start + WINDOW]
        (first, _, _), (end, step, _) = window[0], window[-1]
        cells = {
            "step": done.source.window("step", end, end, "value"),
            "loss": done.source.window("loss", first, end, "mean", digits=5),
        }
        loss = round(statistics.mean(loss for _, _, loss in window), 5)
        yield {**named, "step": step, "loss": loss}, Row([done.source], cells)


if __name__ == "__main__":
    command(main, StudyConfig)
