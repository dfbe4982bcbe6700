"""`make results-rlhf_ppo`: every run behind the README's tables, and what is shown of them.

`--arm free` trains one arm only, so that two may train at once; without it all are, and tables and figures are made.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Suppress

from projects.rlhf_ppo.analysis import metrics_rl
from projects.rlhf_ppo.analysis.bias import baselines, fisher, share
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import of_split
from projects.rlhf_ppo.data.prompts import prompts_digest, split_prompts
from projects.rlhf_ppo.models.text_encoder import load_text_encoder
from projects.rlhf_ppo.stages import Stage, load_reward_model, read_pairs
from projects.rlhf_ppo.train_rlhf import main as train
from shared import study
from shared.assets import load_dataset
from shared.errors import command
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_source
from shared.report import read_csv, spread
from shared.runs import open_checkpoint
from shared.study import Cells, Done, Table, last, mean_sd, origin, plain, publish, settings, table

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
class StudyConfig(study.Places, Config):
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
    out: Path = RESULTS


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> list[Done]:
    """Each arm with its seeds, arm by arm; trained seed by seed, so that a sweep cut short has every arm."""
    cells = Cells(config.runs, train, "rlhf_ppo", cell_name, digest_of, last="held_out/samples.jsonl")
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
    return prompts_digest(split_prompts(load_dataset("movie_reviews"), cell.prompt_words), cell.held_out)


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


def after(name: str, digits: int, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """Mean and deviation after PPO; of the reference the mean alone, and a plain 0 for its distance to itself."""
    if row["arm"] != "reference":
        return spread(row, f"after_{name}", digits)
    before = row[f"before_{name}"]
    return f"{before:.{digits}f}" if before else "0"


def gain(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The gain with its interval; the reference has none."""
    return "" if row["arm"] == "reference" else "{gain:+.3f} ({gain_low:+.3f} to {gain_high:+.3f})".format(**row)


def reviews_asked(_: Any) -> int:
    """Reviews on which the judge is compared with the raters."""
    return len(load_dataset("movie_reviews")["validation"])


GAIN = "gain over the reference (95 %)"
AFTER: dict[str, dict[str, Any]] = {
    "gold": {"head": "gold reward", "es": "recompensa verdadera", "show": partial(after, "gold", 3)},
    "proxy": {"head": "proxy", "es": "aprendida", "show": partial(after, "proxy", 3)},
    "kl": {"head": "KL, nats", "es": "KL, nats", "show": partial(after, "kl", 2)},
    "distinct_2": {"head": "distinct-2", "es": "distinct-2", "show": partial(after, "distinct_2", 3)},
    "words": {"head": "words", "es": "palabras", "show": partial(after, "words", 1)},
}
POLICY: dict[str, Any] = {"head": "policy", "es": "política"}
POLICY |= {"show": lambda row, _: metrics_rl.ARMS.get(row["arm"], row["arm"])}
ARM = plain("arm", lambda group: arm_of(group[0].config), **POLICY)
RUNS = table(
    "runs",
    *(ARM, *settings("seed"), plain("prompts", lambda group: len(gains(group[0])))),
    *(last(f"{when}_{name}") for when in ("before", "after") for name in LOGGED),
    *(study.interval("gain", gains), origin()),
    keep_logs=True,
)
SUMMARY = table(
    "summary",
    *(ARM, study.REPEATS),
    *(mean_sd(f"{when}_{n}", **(AFTER[n] if when == "after" else {})) for n in LOGGED for when in ("before", "after")),
    study.interval("gain", gains, head=GAIN, es="ganancia sobre la de partida (95 %)", show=gain),
    order=("policy", "gold reward", GAIN, "proxy", "KL, nats", "distinct-2", "words"),
    made_from=("runs",),
    spanish={"reference": "de partida", **{metrics_rl.ARMS[arm]: es for arm, es in ARMS_ES.items()}},
)
JUDGE = table(
    "judge",
    plain("reviews", reviews_asked, head="held-out reviews", es="reseñas reservadas"),
    last(
        "correlation",
        head="correlation of the judge with the raters' mean (95 %)",
        es="correlación del juez con la media de quienes puntuaron (95 %)",
        show="{correlation:.3f} ({low:.3f} to {high:.3f})",
    ),
    study.Column(("low", "high"), lambda group: fisher(group[0].last("correlation"), reviews_asked(group))),
    origin(),
    keep_logs=True,
)
CURVES = table("curves", ARM, *settings("seed"), last("iteration", "step"), *(last(name, digits=5) for name in POINTS))
STRETCHES = table(
    "stretches",
    ("rounds", "rondas", "{rounds}"),
    ("proxy", "aprendida", "{proxy:.2f}"),
    ("gold reward", "recompensa verdadera", "{gold:.2f}"),
    ("KL, nats", "KL, nats", "{kl:.1f}"),
    ("distinct-2 of a round", "distinct-2 de una ronda", "{distinct_2:.3f}"),
)
SAMPLES = table(
    "samples",
    ("prompt", "comienzo", "{prompt}"),
    ("reference", "de partida", "{reference}"),
    *((name, ARMS_ES[arm], f"{{{arm}}}") for arm, name in metrics_rl.ARMS.items()),
)
DECIDERS = table(
    "deciders",
    ("who decides", "quién decide", "{decider}"),
    ("comparisons", "comparaciones", "{data}"),
    ("right (95 %)", "aciertos (95 %)", "{share:.3f} ({low:.3f} to {high:.3f})"),
    ("asked", "preguntadas", "{asked}"),
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
BENCH = table(
    "bench",
    ("part", "parte", "{part}"),
    ("seconds, median (quartiles)", "segundos, mediana (cuartiles)", "{seconds:.2f} ({q1:.2f} to {q3:.2f})"),
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
    found = study.written(out, JUDGE, SUMMARY, SAMPLES, DECIDERS)
    first, *others = found["summary"][1]
    reference = {**first, "arm": "reference"}  # what the first arm's prompts gave before PPO
    found["summary"] = SUMMARY, [reference, first, *others]
    found["samples"] = SAMPLES, found["samples"][1][:IN_README]
    found["stretches"] = STRETCHES, metrics_rl.stretches(read_csv(out / "curves.csv"))
    return found


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Train each arm with its seeds, then write tables and figures."""
    cells = collect(config)
    if config.arm != "all":
        return
    publish(RUNS, [[done] for done in cells], config.out, "rlhf_ppo")
    publish(CURVES, [row for done in cells for row in study.by_line(done, "proxy")], config.out, "rlhf_ppo")
    publish(SUMMARY, study.grouped(cells, lambda done: arm_of(done.config)), config.out, "rlhf_ppo")
    judge = Done("gold", config.base, read_source(Stage.of(config.base, "gold").directory, team_key()))
    publish(JUDGE, [[judge]], config.out, "rlhf_ppo")
    write_deciders(config.base, config.out)
    write_samples(cells, config.out)
    metrics_rl.main(metrics_rl.PlotConfig(results=config.out))
    study.finish(config.out, views(config.out))


def write_deciders(config: Config, out: Path) -> None:
    """deciders.csv: who puts how many held-out comparisons right, before and after balancing."""
    sampled, balanced = (read_pairs(Stage.of(config, "preferences"), name) for name in ("sampled", "preferences"))
    test, encoder = of_split(balanced, "test"), load_text_encoder(config.encoder, max_length=config.max_length)
    _, accuracy = load_reward_model(Stage.of(config, "reward"), encoder, balanced, lr=config.reward_lr)
    found = [share("reward model", round(accuracy * len(test)), len(test))]
    found += [*baselines(balanced), share("the judge, without noise", sum(not p.against_gold for p in test), len(test))]
    rows = [{"data": "as sampled", **row} for row in baselines(sampled)]
    rows += [{"data": "balanced", **row} for row in found]
    study.write(out / "deciders.csv", rows, "rlhf_ppo")


def write_samples(cells: list[Done], out: Path) -> None:
    """samples.csv: the first held-out prompts, as each arm's first run answered them; none is left out."""
    groups, rows = study.grouped(cells, lambda done: arm_of(done.config)), []
    first = {arm_of(group[0].config): samples(group[0]) for group in groups}
    for place, row in enumerate(next(iter(first.values()))[:SHOWN]):
        sides = {"reference": row["before"], **{arm: found[place]["after"] for arm, found in first.items()}}
        rows.append(
            {"prompt": row["prompt"], **{who: " ".join(side["response"].split()) for who, side in sides.items()}}
        )
    study.write(out / "samples.csv", rows, "rlhf_ppo", made_from=("runs.csv",))


if __name__ == "__main__":
    command(main, StudyConfig)
