"""How fast a run learns: its curve, read from its log, and when it reaches 95 % of full fine-tuning's score."""

import math
import statistics
from collections.abc import Iterator
from typing import Any

from projects.adapters.config import Config, method
from projects.adapters.models.adapter import KINDS
from shared.fingerprint.results import Row
from shared.study import Done

REACHED = 0.95  # share of full fine-tuning's score that a run has to reach
Rows = list[dict[str, Any]]


def curve(done: Done) -> Iterator[tuple[dict[str, Any], Row]]:
    """Validation score every few steps, and the mean loss since the point before; each point with its citation."""
    config, source, first = done.config, done.source, 0
    named = {"cell": done.name, "dataset": config.dataset, "method": method(config.arm, config.size)}
    for seq, record in enumerate(source.log.records):
        if "curve_score" not in record:
            continue
        losses = [r["loss"] for r in source.log.records[first : seq + 1] if "loss" in r]
        cited = {"step": source.window("step", seq, seq, "value")}
        if losses:  # the loss is logged more seldom than the curve in a very short run
            cited["loss"] = source.window("loss", first, seq, "mean", digits=5)
        cited["score"] = source.window("curve_score", seq, seq, "value")
        loss = round(statistics.mean(losses), 5) if losses else ""
        point = {"seed": config.seed, "step": record["step"], "loss": loss, "score": record["curve_score"]}
        yield {**named, **point}, Row([source], cited)
        first = seq + 1


def time_to_reach(runs: Rows, curves: Rows, bench: Rows) -> Rows:
    """Steps and seconds until a run's validation curve reaches REACHED × full fine-tuning's validation score.

    Seconds are steps × the step time of the interleaved benchmark, since trainings run beside other work. A run that
    never gets there has no number and counts as beyond every other in the median.
    """
    groups: dict[tuple[str, str], Rows] = {}
    for row in runs:
        if row["final"] and row["arm"] != "peer":  # the library's runs have no curve
            groups.setdefault((row["dataset"], method(row["arm"], row["size"])), []).append(row)
    found = []
    for (dataset, name), mine in sorted(groups.items()):
        full = [r["validation_score"] for r in runs if r["final"] and (r["dataset"], r["arm"]) == (dataset, "full")]
        target = REACHED * statistics.mean(full)
        steps = sorted(first_step(curves, row["cell"], target) for row in mine)
        median, ms = steps[len(steps) // 2], step_ms(bench, mine[0])
        row = {"dataset": dataset, "method": name, "target": round(target, 4)}
        row |= {"reached": sum(map(math.isfinite, steps)), "seeds": len(steps)}
        row |= {"steps": int(median) if math.isfinite(median) else "", "step_ms": "" if ms is None else ms}
        seconds = "" if ms is None or not math.isfinite(median) else round(median * ms / 1000, 2)
        found.append({**row, "seconds": seconds})
    return found


def first_step(curves: Rows, cell: str, target: float) -> float:
    """The step at which a run's curve reaches a score; infinity if it never does."""
    return float(min((p["step"] for p in curves if p["cell"] == cell and p["score"] >= target), default=math.inf))


def step_ms(bench: Rows, run: dict[str, Any]) -> float | None:
    """The step time of a run's arm and size where the benchmark measured it; from scratch it is full fine-tuning's."""
    if run["arm"] in KINDS and run["size"] != Config().bottleneck:
        return None
    arm = "full" if run["arm"] == "scratch" else run["arm"]
    return next((row["step_ms"] for row in bench if (row["dataset"], row["arm"]) == (run["dataset"], arm)), None)
