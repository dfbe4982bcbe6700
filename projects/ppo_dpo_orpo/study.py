"""`make results-ppo_dpo_orpo`: every run behind the README's tables, and what is shown of them.

Budget, written down before the first run (core-seconds of one thread, 20 tokens a response): pairs and kept states 600;
24 cells of 40 steps 2,000, of which 12 are candidates (two rates a method and kind) and 18 are repeated (six are both);
validation 350; 420 test pairs a final cell 830; answers at two checkpoints and greedy ones 850; nine cells of
sensitivity and exploration 1,200: about 100 core-minutes. PPO's first kept checkpoint is where its cost equals that of
40 steps of DPO.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from projects.ppo_dpo_orpo import evaluate, train_ppo, train_preference
from projects.ppo_dpo_orpo.analysis import compare, plots
from projects.ppo_dpo_orpo.config import Config, Method
from projects.ppo_dpo_orpo.evaluate import Item
from projects.ppo_dpo_orpo.prepare import Prepared, new_policy, prepare
from shared import devices, study
from shared.errors import command
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import file_digest
from shared.report import spread
from shared.seeding import seed_everything
from shared.study import Cells, Done, log_items, publish, table

RESULTS = Path("projects/ppo_dpo_orpo/results")
METHODS: tuple[Method, ...] = ("dpo", "orpo", "ppo")
RATES = {"dpo": (2e-4, 5e-4), "orpo": (5e-4, 2e-3), "ppo": (3e-4, 1e-3)}
SEEDS = (0, 1, 2)
WATCH = {"dpo": (20, 40), "orpo": (20, 40), "ppo": (28, 40)}
"""Kept checkpoints: of PPO the first where it has cost about what the others have at their last; then equal steps."""
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
            self.config.runs, lambda cell: train(cell, prepared), "ppo_dpo_orpo", cell_name, lambda _: prepared.digest,
            by="validation_accuracy", last=train_preference.RESULT, expected=33,
        )  # fmt: skip

    def candidates(self, method: Method, kind: str) -> Iterator[Config]:
        """As many for every method and kind."""
        for rate in RATES[method]:
            yield replace(self.base, method=method, kind=kind, lr=rate, watch=WATCH[method])  # type: ignore[arg-type]

    def measure(self, what: str, done: Done | None, step: int, seed: int) -> Done:
        """Items of a checkpoint (None: of the start): "pairs", "answers", "greedy" or "news"."""
        base = done.config if done else self.base
        method, kind = (base.method, base.kind) if done else ("start", "start")
        asked = Asked(
            what=what, method=method, kind=kind, seed=seed, step=step, held_out=base.held_out, tokens=base.tokens
        )
        name = f"{done.name}-{what}-step{step}" if done else f"start-{what}-seed{seed}"
        checkpoint = done.directory / "checkpoints" / f"step-{step:06d}" if done and done.directory else None
        data = file_digest(checkpoint / MANIFEST) if checkpoint else self.prepared.digest
        place = self.config.runs / "measured" / name
        return log_items(
            place, asked, lambda: self.items(what, base, checkpoint, seed), project="ppo_dpo_orpo", data=data
        )

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
    own = {"lr": cell.lr, "beta": cell.beta, "n": cell.pairs, "wrong": cell.wrong, "entropy": cell.entropy}
    start = Config()
    usual = {"lr": None, "beta": start.beta, "n": start.pairs, "wrong": start.wrong, "entropy": start.entropy}
    told = [f"{name}{value:g}" for name, value in own.items() if value != usual[name]]
    return "-".join([cell.method, cell.kind, *told, f"seed{cell.seed}"])


def best_step(done: Done) -> int:
    """The watched step that validation chose; of equals the first."""
    watched = [r for r in done.source.log.records if "validation_accuracy" in r]
    return int(max(watched, key=lambda record: record["validation_accuracy"])["step"])


def collect(run: Study) -> compare.Found:
    """Candidates, repeats and their measurements; what is done is read, what is not is made."""
    start = {seed: run.measure("answers", None, 0, seed) for seed in SEEDS}
    found = compare.Found(start, run.measure("pairs", None, 0, 0), run.measure("news", None, 0, 0))
    chosen = {
        (method, kind): run.cells.best(run.candidates(method, kind))
        for kind in ("lora", "adapter")
        for method in METHODS
    }
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


# ---------------------------------------------------------------- what is shown of them


def span(name: str, digits: int = 2) -> study.Shown:
    """A value with the interval that stands beside it; nothing where there is none."""

    def shown(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
        if row[name] == "":
            return ""
        return f"{row[name]:+.{digits}f} ({row[f'{name}_low']:+.{digits}f} to {row[f'{name}_high']:+.{digits}f})"

    return shown


def over_seeds(name: str, digits: int = 2) -> study.Shown:
    """Mean and deviation over seeds."""
    return lambda row, _: str(spread(row, name, digits))


def optional(form: str, name: str) -> study.Shown:
    """A value in a format, or nothing."""
    return lambda row, _: str(form.format(row[name])) if row[name] != "" else ""


NAMED: dict[str, str] = {**plots.METHODS, "start": "start"}
WHO = ("method", "método", lambda row, _: NAMED.get(row["method"], row["method"]))
KIND = ("trained", "se entrena", lambda row, _: plots.KINDS.get(row["kind"], ""))
SPANISH = {"start": "de partida", "bottleneck adapters": "adaptadores", "longer response": "la respuesta más larga"}
SPANISH |= {"linear probe": "sonda lineal", "gold judge": "el otro juez", "sampled": "muestreada", "greedy": "voraz"}
GOLD = (
    ("core-seconds", "segundos de núcleo", over_seeds("core_seconds", 0)),
    ("steps", "pasos", "{step}"),
    ("gold reward", "recompensa verdadera", over_seeds("gold")),
    ("gain over the start (95 %)", "ganancia sobre el de partida (95 %)", span("gain")),
    ("p, Holm", "p, Holm", optional("{:.3f}", "holm")),
    ("at equal length", "a igual longitud", optional("{:+.2f}", "length_controlled")),
    ("KL, nats", "KL, nats", over_seeds("kl", 1)),
    ("distinct-2", "distinct-2", over_seeds("distinct_2")),
    ("words", "palabras", over_seeds("words", 1)),
)
CANDIDATES = table(
    "candidates",
    *(
        study.setting(name, head=name, es=es)
        for name, es in {"method": "método", "kind": "se entrena", "lr": "tasa"}.items()
    ),
    study.best("validation_accuracy", head="validation accuracy, best", es="acierto en validación, el mejor"),
    study.origin(),
    keep_logs=True,
)
POINTS = table(
    "points",
    *study.settings("method", "kind", "seed", "step"),
    *(study.mean(name) for name in ("gold", "proxy", "kl", "words")),
    keep_logs=True,
)
SECONDS = table("seconds", WHO, KIND, *GOLD, spanish=SPANISH)
STEPS = table("steps", WHO, KIND, *GOLD, spanish=SPANISH)
CONTRASTS = table(
    "contrasts",
    ("one", "uno", "{one}"),
    ("other", "otro", "{other}"),
    ("gap in gold reward (95 %)", "diferencia (95 %)", "{gap:+.2f} ({low:+.2f} to {high:+.2f})"),
    ("p, Holm", "p, Holm", "{holm:.3f}"),
)
EQUAL_KL = table(
    "equal_kl", WHO, KIND, ("KL, nats", "KL, nats", "{kl:.1f}"),
    ("gain in gold reward", "ganancia", over_seeds("gain")), spanish=SPANISH,
)  # fmt: skip
ACCURACY = table(
    "accuracy",
    ("who decides", "quién decide", lambda row, _: str(NAMED.get(row["decider"], row["decider"]))),
    KIND,
    ("right (95 %)", "aciertos (95 %)", "{right:.3f} ({right_low:.3f} to {right_high:.3f})"),
    ("right, clearer half", "aciertos, mitad más clara", optional("{:.3f}", "clear")),
    ("steps chosen", "pasos elegidos", "{step}"),
    ("log π of chosen", "log π de la elegida", optional("{:+.1f}", "chosen")),
    ("of rejected", "de la rechazada", optional("{:+.1f}", "rejected")),
    spanish=SPANISH,
)
TAX = table(
    "tax", WHO, KIND, ("perplexity of news", "perplejidad en noticias", "{perplexity:.2f}"),
    ("nats a token more (95 %)", "nats por token de más (95 %)", "{gap:+.3f} ({low:+.3f} to {high:+.3f})"),
    spanish=SPANISH,
)  # fmt: skip
GREEDY = table(
    "greedy", WHO, KIND, ("decoding", "decodificación", "{decoding}"),
    ("gold reward", "recompensa verdadera", "{gold:.2f}"), ("repeated word pairs", "pares repetidos", "{repeated:.3f}"),
    ("distinct-2", "distinct-2", "{distinct_2:.3f}"), spanish=SPANISH,
)  # fmt: skip
TEXTS = table(
    "texts", ("prompt", "comienzo", "{prompt}"), ("start", "de partida", "{start}"),
    *((head, head, f"{{{name}}}") for name, head in plots.METHODS.items()),
)  # fmt: skip
FRONTIER = table("frontier", WHO)
SENSITIVE = table(
    "sensitivity", ("loss", "pérdida", "{method}"), ("wrong pairs", "pares equivocados", "{wrong:.0%}"),
    ("β", "β", "{beta:g}"), ("pairs", "pares", "{pairs}"),
    ("test pairs right (95 %)", "aciertos en prueba (95 %)", "{right:.3f} ({right_low:.3f} to {right_high:.3f})"),
    ("training pairs right", "aciertos al entrenar", "{training:.2f}"),
)  # fmt: skip
EXPLORATION = table(
    "exploration", ("entropy bonus", "premio de entropía", "{bonus:g}"),
    ("entropy, first rounds", "entropía, primeras rondas", "{entropy_first:.2f}"),
    ("last rounds", "últimas", "{entropy_last:.2f}"),
    ("distinct-2, first rounds", "distinct-2, primeras rondas", "{distinct_first:.3f}"),
    ("last", "últimas ", "{distinct_last:.3f}"),
    ("gold reward", "recompensa verdadera", "{gold:.2f}"), ("KL, nats", "KL, nats", "{kl:.1f}"),
)  # fmt: skip
BENCH = table(
    "bench", ("DPO step", "paso de DPO", "{arm}"), ("ms", "ms", "{step_ms:.0f}"),
    ("time of ours over it", "tiempo del nuestro sobre él", "{ours_over_arm:.2f} ({ratio_q1:.2f} to {ratio_q3:.2f})"),
    ("peak MB", "MB máximos", "{peak_mb:.0f}"), ("memory of ours over it", "memoria", "{memory:.2f}"),
    ("trained parameters", "parámetros entrenados", "{trained:,}"), ("stored bytes", "bytes guardados", "{stored:,}"),
    spanish={"ours": "el nuestro", "without kept states": "sin estados guardados", "bottlenecks": "con adaptadores"},
)  # fmt: skip


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Train, measure, compare; tables and figures after the main cells, and again after those of sensitivity."""
    run_all(Study(config))


def run_all(run: Study) -> None:
    """All of a study."""
    found = collect(run)
    write(run, found)
    sensitivity(run, found)
    write(run, found)


def write(run: Study, found: compare.Found) -> None:
    """Tables and figures of what there is."""
    out = run.config.out
    publish(CANDIDATES, [[done] for done in run.cells.all if done.name in found.candidates], out, "ppo_dpo_orpo")
    publish(POINTS, [[done] for done in [*found.start.values(), *found.answers.values()]], out, "ppo_dpo_orpo")
    found_rows = [
        (SECONDS, compare.at_steps(found, last=False)),
        (STEPS, compare.at_steps(found, last=True)),
        (CONTRASTS, compare.against_each_other(found)),
        (EQUAL_KL, compare.equal_kl(found)),
        (ACCURACY, compare.accuracy(found, compare.baselines(run.prepared))),
        (TAX, compare.tax(found)),
        (GREEDY, compare.greedy(found)),
        (TEXTS, compare.texts(found)),
        (FRONTIER, compare.frontier(found)),
    ]
    if found.exploration:
        found_rows += [(SENSITIVE, compare.sensitivity(found)), (EXPLORATION, compare.exploration(found))]
    for shown, rows in found_rows:
        study.write(out / f"{shown.name}.csv", rows, "ppo_dpo_orpo", made_from=("points.csv",))
    plots.main(plots.PlotConfig(results=out))
    study.finish(out, views(out))


def views(out: Path) -> study.Views:
    """Block of the README → the table that it shows, and its rows."""
    found = study.written(out, CANDIDATES, SECONDS, STEPS, CONTRASTS, EQUAL_KL, ACCURACY, TAX, GREEDY, TEXTS, BENCH)
    found |= study.written(out, SENSITIVE, EXPLORATION)
    if "texts" in found:
        found["texts"] = TEXTS, found["texts"][1][:3]
    return found


if __name__ == "__main__":
    command(main, StudyConfig)
