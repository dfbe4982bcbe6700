"""`make results-onnx_serving`: the runs behind the tables, and what is shown of them and of the benchmarks.

A finished run is not made again, and one that was interrupted goes on from its last checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from projects.onnx_serving import figures
from projects.onnx_serving.agreement import answer_rows, encoder_graphs, text_rows
from projects.onnx_serving.config import Config
from projects.onnx_serving.export.folder import claim_export, export_if_needed, require_unchanged
from projects.onnx_serving.paths import EXPORTED, RESULTS, RUNS
from projects.onnx_serving.smoothing_study import smoothing_rows
from projects.onnx_serving.training.train_qa import digest_of, films_of
from projects.onnx_serving.training.train_qa import main as train
from shared.devices import Precision, describe_environment
from shared.errors import command
from shared.files import read_json, refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import Row, seal_table
from shared.progress import track
from shared.report import mean_sd as means
from shared.report import put_tables, read_csv, write_csv
from shared.study import Cells, Done, Shown, Table, last, mean_sd, only_shown, origin, plain, publish, settings

PROJECT = "onnx_serving"
SEEDS = (0, 1, 2)
SCORES = ("films_f1", "films_exact", "no_answer_f1", "wordings_f1", "wordings_exact", "wordings_no_answer_f1")
AGREEMENT = ("answered_f1", "no_answer_f1", "same", "same_trained", "same_held_out")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Run every experiment behind the README's tables."""

    seeds: tuple[int, ...] = SEEDS
    """Seeds of the runs; the model of the first one is exported, smoothed and served."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    precision: Precision = "auto"
    """Precision of training's matrix products: float32, bfloat16, or auto: bfloat16 where the processor has it."""
    runs: Path = RUNS
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig, base: Config) -> list[Done]:
    """A run a seed; that of seed 0 is the model that the default run trains and the server serves."""
    cells = Cells(
        config.runs,
        train,
        project=PROJECT,
        name=lambda cell: f"qa-seed{cell.seed}" if cell.seed else "qa",
        data=lambda cell: digest_of(films_of(cell)),
        expected=len(config.seeds),
    )
    return cells.repeat(base, config.seeds)


def model_of(done: Done) -> Path:
    """The sealed folder of a run's model."""
    assert done.directory is not None, "its weights are needed"
    require_unchanged(done.directory / "model")
    return done.directory / "model"


# ---------------------------------------------------------------- what is shown of them


def table(name: str, *columns: tuple[str, str, str | Shown], **options: Any) -> Table:
    """The view of rows that are written where they are measured: two headings and a form a column."""
    return Table(name, tuple(only_shown(*column) for column in columns), **options)


def over_seeds(name: str, form: str = ".4f") -> Shown:
    """Mean and deviation; a single seed says that it is one."""
    more, one = f"{{{name}:{form}}} ± {{{name}_sd:{form}}}", f"{{{name}:{form}}} (1 seed)"
    return lambda row, _: (one if row["seeds"] == 1 else more).format(**row)


def either(*names: str) -> Shown:
    """The first score in the row of wordings as trained, the second in that of those never seen."""
    return lambda row, rows: over_seeds(names[row["new"]])(row, rows)


HOW = {"generate": "with the cache", "recompute": "without the cache", "library": "its own loop and cache"}
RUN_TABLE = Table(
    "runs",
    (
        plain("cell", lambda group: group[0].name),
        *settings("seed", "lr", "epochs", "batch_size", "precision"),
        plain("cpu_seconds", lambda group: read_json((group[0].directory or Path()) / "result.json")["cpu_seconds"]),
        *map(last, ("films_exact", "films_f1", "no_answer_f1")),
        last("steps", "step"),
        *map(last, ("threshold", "validation_f1", "wordings_exact", "wordings_f1", "wordings_no_answer_f1")),
        origin(),
    ),
    keep_logs=True,
)
SUMMARY = Table("summary", (plain("seeds", len), *map(mean_sd, SCORES)), made_from=("runs",))
WORDINGS = table(
    "results",
    ("asked of held-out films", "preguntas sobre películas nuevas", "{asked}"),
    ("F1", "F1", either("films_f1", "wordings_f1")),
    ("exact match", "acierto exacto", either("films_exact", "wordings_exact")),
    ("F1 of “no answer”", "F1 de «sin respuesta»", either("no_answer_f1", "wordings_no_answer_f1")),
    ("seeds", "semillas", "{seeds}"),
    spanish={
        "in wordings as trained": "en redacciones de entrenamiento",
        "in wordings never seen": "en redacciones nuevas",
    },
)
ANSWERS = table(
    "answers",
    ("backend", "motor", "{backend}"),
    ("seeds × questions", "semillas × preguntas", "{seeds} × {questions}"),
    ("F1", "F1", over_seeds("answered_f1")),
    ("F1 of “no answer”", "F1 de «sin respuesta»", over_seeds("no_answer_f1")),
    ("same answers as torch", "mismas respuestas que torch", over_seeds("same", ".2%")),
    ("in trained wordings", "en redacciones entrenadas", over_seeds("same_trained", ".2%")),
    ("in others", "en otras", over_seeds("same_held_out", ".2%")),
    ("int8 products", "productos en int8", "{int8_products}"),
)
SMOOTHING = table(
    "smoothing",
    ("α", "α", "{strength}"),
    ("questions", "preguntas", "{questions}"),
    ("mean distance of the margins", "distancia media de los márgenes", "{margin_distance:.3f}"),
    ("same answers as float32", "mismas respuestas que float32", "{same:.2%}"),
    spanish={"none": "ninguna"},
)
TEXTS = table(
    "texts",
    ("decoder", "decodificador", "{backend}"),
    ("prompts", "prompts", "{prompts}"),
    ("batched = one at a time", "en lote = de uno en uno", "{batched_same:.1%}"),
    ("same text as transformers' generate", "mismo texto que generate", "{same:.1%}"),
    ("same tokens before the first that differs", "tokens iguales hasta el primero distinto", "{common:.1%}"),
)
GENERATION = table(
    "generation",
    ("arm", "brazo", "{arm}"),
    ("how", "cómo", lambda row, _: HOW[row["task"]]),
    ("rows", "filas", "{rows}"),
    ("p50", "p50", "{p50_ms:.0f} ms"),
    ("tokens/s", "tokens/s", "{per_second:.1f}"),
    ("over transformers", "sobre transformers", "×{gain:.2f}"),
    spanish={
        "with the cache": "con caché",
        "without the cache": "sin caché",
        "its own loop and cache": "su propio bucle y caché",
        "transformers' generate": "generate de transformers",
    },
)
PADDING = table(
    "padding",
    ("scheme", "esquema", "{scheme}"),
    ("tokens that are padding", "tokens de relleno", "{waste:.1%}"),
    ("articles/s", "artículos/s", "{articles_per_second:.1f}"),
    spanish={
        "one at a time": "de uno en uno",
        "batches of 8 as they come": "lotes de 8 por orden de llegada",
        "batches of 8 sorted by length": "lotes de 8 ordenados por longitud",
        "sorted, at most 2048 tokens a batch": "ordenados, a lo sumo 2048 tokens por lote",
    },
)
SERVER = table(
    "server",
    ("route", "ruta", "`{route}`"),
    ("alone, p50", "sola, p50", "{alone_p50_ms:.1f} ms"),
    ("alone, p99", "sola, p99", "{alone_p99_ms:.1f} ms"),
    ("answers/s, one by one", "respuestas/s, de una en una", "{unbatched_per_second:.1f}"),
    ("answers/s, batched", "respuestas/s, en lotes", "{batched_per_second:.1f}"),
    ("gain", "ganancia", "×{gain:.2f}"),
)
LOAD = table(
    "load",
    ("arrivals/s", "llegadas/s", "{rate:.1f}"),
    ("requests", "peticiones", "{requests}"),
    ("accepted", "aceptadas", "{accepted}"),
    ("503", "503", "{refused}"),
    ("of them with Retry-After", "de ellas con Retry-After", "{refused_with_retry_after}"),
    ("other", "otras", "{other}"),
    ("p99 of accepted", "p99 de las aceptadas", "{accepted_p99_ms:.0f} ms"),
    ("over p99 alone", "sobre el p99 sola", "×{over_unloaded_p99:.2f}"),
)


def speed(arms: Sequence[str]) -> Table:
    """A column an arm: which there are is in the benchmark's file."""
    shape = ("rows × tokens", "filas × tokens", "{rows} × {tokens}")
    columns = [(arm, arm, partial(latency, arm)) for arm in arms]
    return table("speed", shape, ("threads", "hilos", "{threads}"), *columns)


def latency(arm: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """An arm's median at a shape, with its gain over torch in float32."""
    return "{p50_ms:.1f} ms (×{gain:.2f})".format(**row["arms"][arm])


def by_shape(encoded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a shape, with every arm's row of it."""
    shapes: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in encoded:
        shape = {name: row[name] for name in ("rows", "tokens", "threads")}
        shapes.setdefault(tuple(shape.values()), {**shape, "arms": {}})["arms"][row["arm"]] = row
    return list(shapes.values())


def by_wording(summary: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The summary's only row twice: what it says of wordings as trained, and of those never seen."""
    asked = ("in wordings as trained", "in wordings never seen")
    return [{**row, "new": new, "asked": said} for row in summary for new, said in enumerate(asked)]


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows; only of what is there to show."""
    read = {path.stem: read_csv(path) for path in out.glob("*.csv")}
    found = {t.name: (t, read[t.name]) for t in (ANSWERS, SMOOTHING, TEXTS, PADDING, SERVER, LOAD) if t.name in read}
    if "summary" in read:
        found["results"] = (WORDINGS, by_wording(read["summary"]))
    if "bench" in read:
        encoded = [row for row in read["bench"] if row["task"] == "encode"]
        generated = [row for row in read["bench"] if row["task"] != "encode"]
        found["speed"] = (speed(list(dict.fromkeys(row["arm"] for row in encoded))), by_shape(encoded))
        found["generation"] = (GENERATION, sorted(generated, key=lambda row: (row["rows"], row["per_second"])))
    return found


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> list[dict[str, Any]]:
    """Train the question-answering model with several seeds, export it, compare what the backends answer and write."""
    return run(config, Config(device=config.device, precision=config.precision))


def run(config: StudyConfig, base: Config) -> list[dict[str, Any]]:
    """Run the study of a configuration, whose seed is replaced."""
    claim_export(config.runs / EXPORTED.name)
    refuse_unwritable(config.out)
    cells = collect(config, base)
    rows = publish(RUN_TABLE, [[done] for done in cells], config.out, PROJECT)
    publish(SUMMARY, [cells], config.out, PROJECT)
    write_answers(cells, base.limit, config.out)
    qa = model_of(cells[0])
    graphs = export_if_needed(qa, config.runs / EXPORTED.name)
    smoothed = smoothing_rows(qa, graphs, base.limit)
    write(config.out / "smoothing.csv", smoothed, [Row([cells[0].source])] * len(smoothed))
    write(config.out / "texts.csv", text_rows(graphs))
    write_json(config.out / "parity.json", read_json(graphs / "parity.json"))
    write_json(config.out / "environment.json", describe_environment())
    show(config.out, "results", "answers", "smoothing", "texts")
    return rows


def write_answers(cells: list[Done], limit: int | None, out: Path) -> None:
    """answers_by_seed.csv, and answers.csv, its means by backend: what each backend answers for each seed's model."""
    rows, cited = [], []
    for done in track(cells, description="answers", total=len(cells)):
        qa = model_of(done)
        with encoder_graphs(qa) as graphs:
            found = answer_rows(qa, graphs, limit)
        rows += [{"seed": done.config.seed, **row} for row in found]
        cited += [Row([done.source])] * len(found)
    write(out / "answers_by_seed.csv", rows, cited)
    write(out / "answers.csv", mean_answers(rows), made_from=("answers_by_seed.csv",))


def mean_answers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a backend: mean and sample standard deviation over the seeds."""
    summary = []
    for backend in dict.fromkeys(row["backend"] for row in rows):
        mine = [row for row in rows if row["backend"] == backend]
        same = {name: mine[0][name] for name in ("questions", "int8_products")}
        summary.append({"backend": backend, "seeds": len(mine), **same, **means(mine, *AGREEMENT)})
    return summary


def write(path: Path, rows: list[dict[str, Any]], cited: list[Row] | None = None, made_from: Any = ()) -> None:
    """A sealed table whose numbers no log holds."""
    write_csv(path, rows)
    seal_table(path, project=PROJECT, key=team_key(), rows=cited, made_from=made_from)


def show(out: Path, *blocks: str) -> None:
    """Put the results into READMEs and figures, and print these tables."""
    found = views(out)
    put_tables(out, found)
    figures.main(out)
    for block in blocks:
        shown, rows = found[block]
        shown.print(rows)


if __name__ == "__main__":
    command(main, StudyConfig)
