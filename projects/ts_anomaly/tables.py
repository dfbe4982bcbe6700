"""Every table of the results, declared: what the README shows of a row of its CSV, in English and in Spanish."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from projects.ts_anomaly.data.inject import kinds
from projects.ts_anomaly.measure import real
from shared import study
from shared.study import Table, table

Row = dict[str, Any]
WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMES, SPANISH = WORDS["names"], WORDS["spanish"]
WHO = ("detector", "detector", lambda row, _: NAMES[row["detector"]])


def span(name: str) -> study.Shown:
    """A value with its interval, and over how many seeds it spreads."""

    def shown(row: Row, _: list[Row]) -> str:
        spread = f", sd {row[f'{name}_sd']:.2f}" if row["seeds"] > 1 else ""
        return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f}{spread})"

    return shown


def pair(name: str) -> study.Shown:
    """AUC-PR and VUS-PR of a series."""
    return lambda row, _: (
        "" if row[f"{name}_auc_pr"] == "" else f"{row[f'{name}_auc_pr']:.2f} / {row[f'{name}_vus_pr']:.2f}"
    )


def form(text: str, *names: str) -> study.Shown:
    """A format, or nothing where a value is missing."""
    return lambda row, _: "" if any(row[name] == "" for name in names) else text.format(**row)


INJECTED = table(
    "injected",
    WHO,
    ("spikes and levels: trained against", "picos y niveles: entrenados", span("seen")),
    ("burst, frequency, flat, drift: never seen", "ráfaga, frecuencia, atasco, deriva: nunca vistos", span("unseen")),
    ("mean of one trial", "media de un ensayo", form("{auc_pr:.2f}", "auc_pr")),
    ("seeds", "semillas", "{seeds}"),
    spanish=SPANISH,
)
KINDS = table(
    "kinds",
    WHO,
    ("series", "serie", "{series}"),
    *(
        (kind, es, f"{{{kind}:.2f}}")
        for kind, es in zip(kinds("test"), ("pico", "nivel", "ráfaga", "frecuencia", "atasco", "deriva"), strict=True)
    ),
    spanish=SPANISH,
)
REAL = table("real", WHO, *((name, name, pair(name)) for name in real.SERIES), spanish=SPANISH)
TRICK = table(
    "trick",
    ("series", "serie", "{series}"),
    ("events", "sucesos", "{events:.0f}"),
    ("random: F1", "al azar: F1", "{f1:.2f}"),
    ("random: point-adjusted F1", "al azar: F1 con ajuste de puntos", "{adjusted_f1:.2f}"),
    ("random: AUC-PR", "al azar: AUC-PR", "{auc_pr:.2f}"),
    ("random: AUC-ROC", "al azar: AUC-ROC", "{auc_roc:.2f}"),
    spanish=SPANISH,
)
ALARMS = table(
    "alarms",
    ("threshold", "umbral", "{method}"),
    ("asked for, a week", "pedidas por semana", "1"),
    ("achieved, a week", "logradas por semana", "{per_week:.2f} ({low:.2f} to {high:.2f})"),
    ("faults found", "fallos hallados", "{found} / {faults}"),
    ("median delay, minutes", "retraso mediano, minutos", form("{delay:.0f}", "delay")),
    spanish=SPANISH,
)
CHANGES = table(
    "changes",
    ("series", "serie", "{series}"),
    ("who", "quién", "{way}"),
    ("changes", "cambios", "{changes}"),
    ("covering", "cobertura", "{covering:.2f}"),
    ("F1, margin 5", "F1, margen 5", "{f1:.2f}"),
    spanish=SPANISH,
)
SCALE = table(
    "scale",
    ("what", "qué", "{what}"),
    ("points", "puntos", "{points}"),
    ("points a second", "puntos por segundo", form("{per_second:.0f}", "per_second")),
    ("memory grown", "memoria crecida", form("{grown_mb:.1f} MB", "grown_mb")),
    ("share of one core", "parte de un núcleo", form("{core_share:.1%}", "core_share")),
    spanish=SPANISH,
)
MEMORY = table(
    "memory",
    ("attention", "atención", "{attention}"),
    ("tokens", "tokens", "{tokens}"),
    ("peak added", "pico añadido", "{mb:.0f} MB"),
    spanish=SPANISH,
)
EXPLAINED = table(
    "explained",
    ("anomalies", "anomalías", "{count}"),
    (
        "score lost without the 4 named steps",
        "puntuación perdida sin los 4 pasos nombrados",
        "{named:.2f} ({named_low:.2f} to {named_high:.2f})",
    ),
    ("without 4 drawn steps", "sin 4 pasos al azar", "{drawn:.2f}"),
    spanish=SPANISH,
)
CHOSEN = {"arm": "brazo", "dataset": "serie", "lr": "tasa", "seed": "semilla", "steps": "pasos"}
CANDIDATES = study.Table(
    "candidates",
    (
        study.CELL,
        *(study.setting(name, head=name, es=es) for name, es in CHOSEN.items()),
        study.FINAL,
        study.best("validation_auc_pr", head="validation AUC-PR", show="{validation_auc_pr:.3f}"),
        study.last("parameters", head="parameters", es="parámetros"),
        study.last("seconds", digits=1),
        study.origin(),
    ),
)
BENCH = table(
    "bench",
    ("library", "biblioteca", "{library}"),
    ("series", "serie", "{series}"),
    ("AUC-PR", "AUC-PR", "{auc_pr:.3f}"),
    ("theirs", "la suya", "{theirs:.3f}"),
    ("largest difference", "mayor diferencia", form("{difference:.1e}", "difference")),
    ("seconds", "segundos", "{seconds:.2f}"),
    ("theirs, seconds", "la suya, segundos", "{their_seconds:.2f}"),
    spanish=SPANISH,
)
ALL: tuple[Table, ...] = (INJECTED, KINDS, REAL, TRICK, ALARMS, CHANGES, SCALE, MEMORY, EXPLAINED, CANDIDATES, BENCH)
views: Callable[[Path], dict[str, tuple[Table, list[Row]]]] = lambda out: study.written(out, *ALL)  # noqa: E731
