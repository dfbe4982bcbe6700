"""Results as sealed CSV files that cite the runs' logs, and the README's tables that are made of them."""

import json
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.rlhf_ppo.analysis.bias import baselines, wilson
from projects.rlhf_ppo.analysis.metrics_rl import ARMS, RESULTS, WATCHED
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import of_split, read_preferences
from projects.rlhf_ppo.stages import reward_model, stage_directory
from shared import report
from shared.assets import load_dataset
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled, read_source
from shared.fingerprint.results import Row, seal_table
from shared.runs import open_checkpoint

README = Path("projects/rlhf_ppo/README.md")
Cells = list[tuple[str, int, Path]]  # arm, seed, directory of the run
LOGGED = ("gold", "proxy", "kl", "distinct_2", "words")
POINTS = (*WATCHED, "gold_gain", "beta", "tokens", "distinct_2")
RESAMPLES = 10_000
STRETCH = 10  # rounds of a line in the README's table of the long run
SHOWN, IN_README = 16, 4  # held-out prompts in samples.csv and in the README


def write(config: Config, cells: Cells, out: Path) -> None:
    """Every CSV file of the results."""
    sources = {directory: read_source(directory, team_key()) for _, _, directory in cells}
    write_runs(cells, sources, out)
    write_curves(cells, sources, out)
    write_summary(cells, sources, out)
    write_judge(config, out)
    write_deciders(config, out)
    write_samples(cells, out)


def samples(directory: Path) -> list[dict[str, Any]]:
    """The held-out prompts of a run with both responses, from the bytes that its seal holds."""
    text = open_checkpoint(directory / "held_out").read("samples.jsonl").decode()
    return [json.loads(line) for line in text.splitlines()]


def gains(directory: Path) -> list[float]:
    """Gold reward after PPO less that of the reference, prompt by prompt."""
    return [row["after"]["gold"] - row["before"]["gold"] for row in samples(directory)]


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean, over prompts.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", §13.3.
    """
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def write_runs(cells: Cells, sources: dict[Path, Source], out: Path) -> None:
    """runs.csv: one row a run, held-out means before and after, and the paired interval of the gain."""
    rows, cited = [], []
    for arm, seed, directory in cells:
        source, differences = sources[directory], gains(directory)
        columns = {f"{when}_{name}": source.last(f"{when}_{name}") for when in ("before", "after") for name in LOGGED}
        low, high = interval(differences)
        rows.append(
            {
                "arm": arm,
                "seed": seed,
                "prompts": len(differences),
                **{name: source.number(cell) for name, cell in columns.items()},
                "gain": round(statistics.fmean(differences), 4),
                "gain_low": round(low, 4),
                "gain_high": round(high, 4),
                **source.columns(),
            }
        )
        cited.append(Row([source], columns))
    report.write_csv(out / "runs.csv", rows)
    seal_table(out / "runs.csv", project="rlhf_ppo", key=team_key(), rows=cited, keep_logs=True)


def write_curves(cells: Cells, sources: dict[Path, Source], out: Path) -> None:
    """curves.csv: one row a round."""
    rows, cited = [], []
    for arm, seed, directory in cells:
        source = sources[directory]
        for line, record in enumerate(source.log.records):
            if "proxy" not in record:
                continue
            columns = {name: source.window(name, line, line, "value", digits=5) for name in POINTS}
            numbers = {name: source.number(cell) for name, cell in columns.items()}
            rows.append({"arm": arm, "seed": seed, "iteration": record["step"], **numbers})
            cited.append(Row([source], columns))
    report.write_csv(out / "curves.csv", rows)
    seal_table(out / "curves.csv", project="rlhf_ppo", key=team_key(), rows=cited)


def write_summary(cells: Cells, sources: dict[Path, Source], out: Path) -> None:
    """summary.csv: one row an arm, means over seeds, and the interval of the gain over prompts (mean over seeds)."""
    rows, cited = [], []
    for arm in dict.fromkeys(arm for arm, _, _ in cells):
        mine = [sources[directory] for each, _, directory in cells if each == arm]
        columns: dict[str, Cited] = {}
        for name in LOGGED:
            for when in ("before", "after"):
                parts = [source.last(f"{when}_{name}") for source in mine]
                columns[f"{when}_{name}"] = pooled(parts, "mean")
                columns[f"{when}_{name}_sd"] = pooled(parts, "stdev")
        logs = {source.run: source.log for source in mine}
        by_prompt = [statistics.fmean(each) for each in zip(*(gains(d) for a, _, d in cells if a == arm), strict=True)]
        low, high = interval(by_prompt)
        rows.append(
            {
                "arm": arm,
                "seeds": len(mine),
                **{name: cell.text(logs) for name, cell in columns.items()},
                "gain": round(statistics.fmean(by_prompt), 4),
                "gain_low": round(low, 4),
                "gain_high": round(high, 4),
            }
        )
        cited.append(Row(mine, columns))
    report.write_csv(out / "summary.csv", rows)
    seal_table(out / "summary.csv", project="rlhf_ppo", key=team_key(), rows=cited, made_from=("runs.csv",))


def write_judge(config: Config, out: Path) -> None:
    """judge.csv: how well the judge agrees with the raters of reviews that it did not learn from."""
    source = read_source(stage_directory(config, "gold"), team_key())
    cell = source.last("correlation")
    reviews = len(load_dataset("movie_reviews")["validation"])
    low, high = fisher(float(source.number(cell)), reviews)
    row = {"reviews": reviews, "correlation": source.number(cell), "low": round(low, 4), "high": round(high, 4)}
    report.write_csv(out / "judge.csv", [row | source.columns()])
    cited = [Row([source], {"correlation": cell})]
    seal_table(out / "judge.csv", project="rlhf_ppo", key=team_key(), rows=cited, keep_logs=True)


def fisher(correlation: float, pairs: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of Pearson's correlation, 95 % by default.

    Source: Fisher 1921, "On the 'Probable Error' of a Coefficient of Correlation Deduced from a Small Sample".
    """
    centre, half = math.atanh(correlation), z / math.sqrt(pairs - 3)
    return math.tanh(centre - half), math.tanh(centre + half)


def write_deciders(config: Config, out: Path) -> None:
    """deciders.csv: who puts how many held-out comparisons right, before and after balancing."""
    folder = stage_directory(config, "preferences") / "pairs"
    open_checkpoint(folder)
    rows = []
    for data in ("sampled", "preferences"):
        pairs = read_preferences(folder / f"{data}.jsonl")
        found = baselines(pairs)
        if data == "preferences":
            test = of_split(pairs, "test")
            found = {"reward model": (round(reward_model(config, pairs).accuracy * len(test)), len(test)), **found}
            found["the judge, without noise"] = (sum(not pair.against_gold for pair in test), len(test))
        for name, (right, asked) in found.items():
            low, high = wilson(right, asked)
            shares = {"share": round(right / asked, 4), "low": round(low, 4), "high": round(high, 4)}
            balanced = {"sampled": "as sampled", "preferences": "balanced"}[data]
            rows.append({"data": balanced, "decider": name, "right": right, "asked": asked, **shares})
    report.write_csv(out / "deciders.csv", rows)
    seal_table(out / "deciders.csv", project="rlhf_ppo", key=team_key())


def write_samples(cells: Cells, out: Path) -> None:
    """samples.csv: the first held-out prompts, as each arm's first run answered them; none is left out."""
    first = {arm: samples(directory) for arm, _, directory in reversed(cells)}  # of an arm's runs the first stays
    reference = first[cells[0][0]]
    rows = []
    for place, row in enumerate(reference[:SHOWN]):
        answers = {arm: " ".join(found[place]["after"]["response"].split()) for arm, found in first.items()}
        shown = {"prompt": row["prompt"], "reference": " ".join(row["before"]["response"].split())}
        rows.append({**shown, **{arm: answers[arm] for arm in ARMS}})
    report.write_csv(out / "samples.csv", rows)
    seal_table(out / "samples.csv", project="rlhf_ppo", key=team_key(), made_from=("runs.csv",))


# ---------------------------------------------------------------- the README


def summary_markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the arms, the reference first."""
    columns = ["policy", "gold reward", "gain over the reference (95 %)", "proxy", "KL, nats", "distinct-2", "words"]
    first = rows[0]
    lines = [["reference", f"{first['before_gold']:.3f}", "", f"{first['before_proxy']:.3f}", "0"]]
    lines[0] += [f"{first['before_distinct_2']:.3f}", f"{first['before_words']:.1f}"]
    for row in rows:
        lines.append(
            [
                ARMS[row["arm"]],
                report.spread(row, "after_gold", 3),
                f"{row['gain']:+.3f} ({row['gain_low']:+.3f} to {row['gain_high']:+.3f})",
                report.spread(row, "after_proxy", 3),
                report.spread(row, "after_kl", 2),
                report.spread(row, "after_distinct_2", 3),
                report.spread(row, "after_words", 1),
            ]
        )
    return report.markdown_table(columns, lines)


def samples_markdown(rows: list[dict[str, Any]]) -> str:
    """Texts before and after."""
    columns = ["prompt", "reference", *ARMS.values()]
    lines = [[str(row[name]).replace("|", "\\|") for name in ("prompt", "reference", *ARMS)] for row in rows]
    return report.markdown_table(columns, lines[:IN_README])


def deciders_markdown(rows: list[dict[str, Any]]) -> str:
    """The table of who decides."""
    lines = [
        [row["decider"], row["data"], f"{row['share']:.3f} ({row['low']:.3f} to {row['high']:.3f})", str(row["asked"])]
        for row in rows
    ]
    return report.markdown_table(["who decides", "comparisons", "right (95 %)", "asked"], lines)


def judge_markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the judge."""
    (row,) = rows
    columns = ["held-out reviews", "correlation of the judge with the raters' mean (95 %)"]
    found = f"{row['correlation']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return report.markdown_table(columns, [[str(row["reviews"]), found]])


def stretches_markdown(points: list[dict[str, Any]]) -> str:
    """The table of the long run without a penalty, ten rounds a line: both rewards and what they cost."""
    columns = ["rounds", "proxy", "gold reward", "KL, nats", "distinct-2 of a round"]
    long = [point for point in points if point["arm"] == "long"]
    lines = []
    for start in range(0, len(long), STRETCH):
        rounds = long[start : start + STRETCH]
        means = [statistics.fmean(each[name] for each in rounds) for name in ("proxy", "gold", "kl", "distinct_2")]
        shown = [f"{value:.{digits}f}" for value, digits in zip(means, (2, 2, 1, 3), strict=True)]
        lines.append([f"{rounds[0]['iteration']} to {rounds[-1]['iteration']}", *shown])
    return report.markdown_table(columns, lines)


def put_into_readme() -> None:
    """Rewrite the README's tables from the files."""
    report.put_into_readme(README, "judge", judge_markdown(report.read_csv(RESULTS / "judge.csv")))
    report.put_into_readme(README, "stretches", stretches_markdown(report.read_csv(RESULTS / "curves.csv")))
    report.put_into_readme(README, "summary", summary_markdown(report.read_csv(RESULTS / "summary.csv")))
    report.put_into_readme(README, "samples", samples_markdown(report.read_csv(RESULTS / "samples.csv")))
    report.put_into_readme(README, "deciders", deciders_markdown(report.read_csv(RESULTS / "deciders.csv")))


def bench_markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the benchmark."""
    lines = [[row["part"], f"{row['seconds']:.2f} ({row['q1']:.2f} to {row['q3']:.2f})"] for row in rows]
    return report.markdown_table(["part", "seconds, median (quartiles)"], lines)
