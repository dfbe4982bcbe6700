"""`make results-rlhf_ppo`: every run behind the README's tables, and what is shown of them.

A finished run is not made again, and one that was interrupted goes on from its last checkpoint, so the command can be
stopped and started at will. `--arm free` trains one arm only, and two arms may train at once; without it all are
trained, and tables and figures are made. The arms differ in the penalty, and one in its length.
"""

import json
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Suppress

from projects.rlhf_ppo.analysis import metrics_rl
from projects.rlhf_ppo.analysis.bias import baselines, fisher, share
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import Split, of_split
from projects.rlhf_ppo.data.prompts import prompts_digest, split_prompts
from projects.rlhf_ppo.models.text_encoder import load_text_encoder
from projects.rlhf_ppo.stages import Stage, load_reward_model, read_pairs
from projects.rlhf_ppo.train_rlhf import main as train
from shared import report
from shared.assets import load_dataset
from shared.devices import describe_environment
from shared.errors import command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_source
from shared.fingerprint.results import seal_table
from shared.runs import open_checkpoint
from shared.study import (
    Cells,
    Column,
    Done,
    Shown,
    Table,
    by_line,
    grouped,
    interval,
    last,
    mean_sd,
    only_shown,
    origin,
    plain,
    publish,
    settings,
)

RESULTS = metrics_rl.RESULTS
ARMS: dict[str, dict[str, Any]] = {
    "target": {"beta": 0.2, "kl_target": 6.0},
    "free": {"beta": 0.0, "kl_target": None},
    "long": {"beta": 0.0, "kl_target": None, "iterations": 50, "kl_limit": 1000.0},
}
SEEDS: dict[str, tuple[int, ...]] = {"target": (0, 1, 2), "free": (0,), "long": (1,)}
LOGGED = ("gold", "proxy", "kl", "distinct_2", "words")
POINTS = (*metrics_rl.PLOTTED, "gold_gain", "beta", "tokens", "distinct_2")
SHOWN, IN_README = 16, 4  # held-out prompts in samples.csv and in the README
ARMS_ES = {
    "target": "KL guiada a un objetivo",
    "free": "sin penalización",
    "long": "sin penalización, el doble de larga",
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Config):
    """Run every experiment behind the README's tables; what the arms vary is no option."""

    beta: Suppress[float] = 0.2
    kl_target: Suppress[float | None] = 6.0
    kl_limit: Suppress[float] = 80.0
    seed: Suppress[int] = 0
    resume: Suppress[bool] = False
    pairs: int = 1200
    iterations: int = 25
    held_out: int = 128
    arm: Literal["target", "free", "long", "all"] = "all"
    """One arm, or all of them with tables and figures."""
    runs: Path = Path("runs/rlhf_ppo/results")
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> list[Done]:
    """Each arm with its seeds, arm by arm; trained seed by seed, so that a sweep cut short has every arm."""
    cells = Cells(config.runs, train, project="rlhf_ppo", name=cell_name, data=digest_of, last="held_out/samples.jsonl")
    arms = ARMS if config.arm == "all" else [config.arm]
    planned = [replace(config.base, **ARMS[arm], seed=seed) for arm in arms for seed in SEEDS[arm]]
    cells.expected = len(planned)
    for cell in sorted(planned, key=lambda cell: cell.seed):
        cells.run(cell)
    return [cells.run(cell) for cell in planned]


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart."""
    return f"{arm_of(cell)}-seed{cell.seed}"


def digest_of(cell: Config) -> str:
    """Digest of the prompts that a cell learns from and is judged on."""
    return prompts_digest(_prompts(cell.prompt_words), cell.held_out)


@cache
def _prompts(words: int) -> dict[Split, list[str]]:
    return split_prompts(load_dataset("movie_reviews"), words)


def arm_of(cell: Config) -> str:
    """The arm whose settings a cell has; of two the one that settles more."""
    fitting = [arm for arm, said in ARMS.items() if said.items() <= vars(cell).items()]
    return max(fitting, key=lambda arm: len(ARMS[arm]))


# ---------------------------------------------------------------- what is shown of them


def samples(done: Done) -> list[dict[str, Any]]:
    """The held-out prompts of a run with both responses, from the bytes that its seal holds."""
    assert done.directory is not None, "its texts are needed"
    text = open_checkpoint(done.directory / "held_out").read("samples.jsonl").decode()
    return [json.loads(line) for line in text.splitlines()]


def gains(done: Done) -> list[float]:
    """Gold reward after PPO less that of the reference, prompt by prompt."""
    return [row["after"]["gold"] - row["before"]["gold"] for row in samples(done)]


def with_reference(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the arms, and before them what the first arm's prompts gave before PPO."""
    return [{**rows[0], "arm": "reference"}, *rows]


def policy(row: dict[str, Any], _: Any) -> str:
    """Name of an arm in the README."""
    return metrics_rl.ARMS.get(row["arm"], row["arm"])


def after(name: str, digits: int) -> Shown:
    """Mean and deviation after PPO; of the reference the mean alone, and a plain 0 for its distance to itself."""

    def show(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
        if row["arm"] != "reference":
            return report.spread(row, f"after_{name}", digits)
        before = row[f"before_{name}"]
        return f"{before:.{digits}f}" if before else "0"

    return show


def gain(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The gain with its interval; the reference has none."""
    return "" if row["arm"] == "reference" else "{gain:+.3f} ({gain_low:+.3f} to {gain_high:+.3f})".format(**row)


def text(name: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """A text in a table of Markdown."""
    return str(row.get(name, "")).replace("|", "\\|")


def reviews_asked(_: Any) -> int:
    """Reviews on which the judge is compared with the raters."""
    return len(load_dataset("movie_reviews")["validation"])


GAIN, SHARE = "gain over the reference (95 %)", "{share:.3f} ({low:.3f} to {high:.3f})"
SECONDS = "{seconds:.2f} ({q1:.2f} to {q3:.2f})"
AFTER: dict[str, dict[str, Any]] = {
    "gold": {"head": "gold reward", "es": "recompensa verdadera", "show": after("gold", 3)},
    "proxy": {"head": "proxy", "es": "aprendida", "show": after("proxy", 3)},
    "kl": {"head": "KL, nats", "es": "KL, nats", "show": after("kl", 2)},
    "distinct_2": {"head": "distinct-2", "es": "distinct-2", "show": after("distinct_2", 3)},
    "words": {"head": "words", "es": "palabras", "show": after("words", 1)},
}
RUNS = Table(
    "runs",
    (
        plain("arm", lambda group: arm_of(group[0].config)),
        *settings("seed"),
        plain("prompts", lambda group: len(gains(group[0]))),
        *(last(f"{when}_{name}") for when in ("before", "after") for name in LOGGED),
        interval("gain", gains),
        origin(),
    ),
    keep_logs=True,
)
SUMMARY = Table(
    "summary",
    (
        plain("arm", lambda group: arm_of(group[0].config), head="policy", es="política", show=policy),
        plain("seeds", len),
        *(
            mean_sd(f"{when}_{name}", **(AFTER[name] if when == "after" else {}))
            for name in LOGGED
            for when in ("before", "after")
        ),
        interval("gain", gains, head=GAIN, es="ganancia sobre la de partida (95 %)", show=gain),
    ),
    order=("policy", "gold reward", GAIN, "proxy", "KL, nats", "distinct-2", "words"),
    made_from=("runs",),
    spanish={"reference": "de partida", **{metrics_rl.ARMS[arm]: es for arm, es in ARMS_ES.items()}},
)
JUDGE = Table(
    "judge",
    (
        plain("reviews", reviews_asked, head="held-out reviews", es="reseñas reservadas"),
        last(
            "correlation",
            head="correlation of the judge with the raters' mean (95 %)",
            es="correlación del juez con la media de quienes puntuaron (95 %)",
            show="{correlation:.3f} ({low:.3f} to {high:.3f})",
        ),
        Column(("low", "high"), lambda group: fisher(group[0].last("correlation"), reviews_asked(group))),
        origin(),
    ),
    keep_logs=True,
)
CURVES = Table(
    "curves",
    (
        plain("arm", lambda group: arm_of(group[0].config)),
        *settings("seed"),
        last("iteration", "step"),
        *(last(name, digits=5) for name in POINTS),
    ),
)
STRETCHES = Table(
    "stretches",
    (
        only_shown("rounds", "rondas", "{rounds}"),
        only_shown("proxy", "aprendida", "{proxy:.2f}"),
        only_shown("gold reward", "recompensa verdadera", "{gold:.2f}"),
        only_shown("KL, nats", "KL, nats", "{kl:.1f}"),
        only_shown("distinct-2 of a round", "distinct-2 de una ronda", "{distinct_2:.3f}"),
    ),
)
SAMPLES = Table(
    "samples",
    (
        only_shown("prompt", "comienzo", partial(text, "prompt")),
        only_shown("reference", "de partida", partial(text, "reference")),
        *(only_shown(name, ARMS_ES[arm], partial(text, arm)) for arm, name in metrics_rl.ARMS.items()),
    ),
)
DECIDERS = Table(
    "deciders",
    (
        only_shown("who decides", "quién decide", "{decider}"),
        only_shown("comparisons", "comparaciones", "{data}"),
        only_shown("right (95 %)", "aciertos (95 %)", SHARE),
        only_shown("asked", "preguntadas", "{asked}"),
    ),
    spanish={
        "length of the response": "longitud de la respuesta",
        "first word of the response": "primera palabra de la respuesta",
        "bag of words and word pairs": "bolsa de palabras y pares de palabras",
        "reward model": "modelo de recompensa",
        "the judge, without noise": "el juez, sin ruido",
        "as sampled": "como se generaron",
        "balanced": "equilibradas",
    },
)
BENCH = Table(
    "bench",
    (
        only_shown("part", "parte", "{part}"),
        only_shown("seconds, median (quartiles)", "segundos, mediana (cuartiles)", SECONDS),
    ),
    spanish={
        "plain generate, one prompt at a time": "generate sin más, un comienzo cada vez",
        "plain generate, one batch": "generate sin más, un lote",
        "iteration: sampling": "iteración: muestrear",
        "iteration: scoring": "iteración: puntuar",
        "iteration: updating": "iteración: actualizar",
    },
)


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows."""
    return {
        "judge": (JUDGE, report.read_csv(out / "judge.csv")),
        "stretches": (STRETCHES, metrics_rl.stretches(report.read_csv(out / "curves.csv"))),
        "summary": (SUMMARY, with_reference(report.read_csv(out / "summary.csv"))),
        "samples": (SAMPLES, report.read_csv(out / "samples.csv")[:IN_README]),
        "deciders": (DECIDERS, report.read_csv(out / "deciders.csv")),
    }


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Train each arm with its seeds, then write tables and figures."""
    cells = collect(config)
    if config.arm != "all":
        return
    publish(RUNS, [[done] for done in cells], config.out, "rlhf_ppo")
    publish(CURVES, [row for done in cells for row in by_line(done, "proxy")], config.out, "rlhf_ppo")
    publish(SUMMARY, grouped(cells, lambda done: arm_of(done.config)), config.out, "rlhf_ppo")
    judge = Done("gold", config.base, read_source(Stage.of(config.base, "gold").directory, team_key()))
    publish(JUDGE, [[judge]], config.out, "rlhf_ppo")
    write_deciders(config.base, config.out)
    write_samples(cells, config.out)
    write_json(config.out / "environment.json", describe_environment())
    metrics_rl.main(metrics_rl.PlotConfig(results=config.out))
    report.put_tables(config.out, views(config.out))


def write_deciders(config: Config, out: Path) -> None:
    """deciders.csv: who puts how many held-out comparisons right, before and after balancing."""
    sampled, balanced = (read_pairs(Stage.of(config, "preferences"), name) for name in ("sampled", "preferences"))
    test, encoder = of_split(balanced, "test"), load_text_encoder(config.encoder, max_length=config.max_length)
    _, accuracy = load_reward_model(Stage.of(config, "reward"), encoder, balanced, lr=config.reward_lr)
    found = [share("reward model", round(accuracy * len(test)), len(test))]
    found += [*baselines(balanced), share("the judge, without noise", sum(not p.against_gold for p in test), len(test))]
    rows = [{"data": "as sampled", **row} for row in baselines(sampled)]
    rows += [{"data": "balanced", **row} for row in found]
    report.write_csv(out / "deciders.csv", rows)
    seal_table(out / "deciders.csv", project="rlhf_ppo", key=team_key())


def write_samples(cells: list[Done], out: Path) -> None:
    """samples.csv: the first held-out prompts, as each arm's first run answered them; none is left out."""
    first = {arm_of(group[0].config): samples(group[0]) for group in grouped(cells, lambda done: arm_of(done.config))}
    rows = []
    for place, row in enumerate(next(iter(first.values()))[:SHOWN]):
        answers = {name: " ".join(found[place]["after"]["response"].split()) for name, found in first.items()}
        shown = {"prompt": row["prompt"], "reference": " ".join(row["before"]["response"].split())}
        rows.append({**shown, **answers})
    report.write_csv(out / "samples.csv", rows)
    seal_table(out / "samples.csv", project="rlhf_ppo", key=team_key(), made_from=("runs.csv",))


if __name__ == "__main__":
    command(main, StudyConfig)
