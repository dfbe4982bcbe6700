"""From finished runs to results/: the tables, each row citing the runs and the lines of their logs, and the figures."""

from pathlib import Path
from typing import Any

from projects.pretrain_lm.analysis import eval_generation, loader, plots
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.clean_corpus import SPLITS
from projects.pretrain_lm.evaluate import label_probabilities, mixture_weight
from projects.pretrain_lm.ngram import KneserNey, documents_of
from projects.pretrain_lm.peer import PeerConfig
from projects.pretrain_lm.tables import summarise_masking, summarise_peer
from projects.pretrain_lm.train_pretrain import Prediction, load, read_corpus
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled, read_source
from shared.fingerprint.results import Row, seal_table
from shared.report import read_csv, write_csv
from shared.runs import describe_environment, read_json

PROJECT = "pretrain_lm"
ORDERS = (2, 3, 5)
SETTINGS = ("objective", "mask_ratio", "context", "width", "batch_size", "epochs", "lr", "seed")
EPOCH = ("validation_loss", "validation_perplexity", "validation_bits_per_byte", "distinct_1", "distinct_2")


def write_runs(rows: list[dict[str, Any]], runs: Path, out: Path) -> None:
    """runs.csv, masking.csv, context.csv, peer_runs.csv, peer.csv and epochs.csv, sealed, with the cited logs."""
    sources = {row["cell"]: read_source(runs / row["cell"], team_key()) for row in rows}
    trained = [row for row in rows if isinstance(row["config"], Config)]
    table = [{**settings(row), **numbers(row), **sources[row["cell"]].columns()} for row in trained]
    write(out / "runs.csv", table, [Row([sources[r["cell"]]], cells_of(sources[r["cell"]])) for r in table], logs=True)
    masked = [row for row in table if row["study"] == "masking"]
    write(out / "masking.csv", *means(summarise_masking(masked), masked, ("objective", "mask_ratio"), sources))
    if masked:
        plots.masking(masked, out / "masking.png")
    wide = [row for row in table if row["study"] == "context"]
    shown = [{k: row[k] for k in ("cell", "context", "batch_size", "steps", *TESTED)} for row in wide]
    write(out / "context.csv", shown, [Row([sources[r["cell"]]], tested(sources[r["cell"]])) for r in wide])
    write(out / "epochs.csv", *epochs_of([row for row in table if row["study"] == "news"], sources))
    write_peer([row for row in rows if isinstance(row["config"], PeerConfig)], sources, out)


TESTED = ("test_perplexity", "test_bits_per_byte")


def settings(row: dict[str, Any]) -> dict[str, Any]:
    """What a run was told."""
    return {"cell": row["cell"], "study": row["study"], **{name: getattr(row["config"], name) for name in SETTINGS}}


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """What it came to."""
    found = {name: row[name] for name in ("parameters", "steps", "tokens", "bfloat16")}
    found["validation_loss"], found["test_loss"] = row["validation"]["loss"], row["test"]["loss"]
    return {**found, **{name: row[name] for name in TESTED}}


def tested(source: Source) -> dict[str, Cited]:
    """Columns that the last lines of a log give."""
    return {name: source.last(name) for name in TESTED}


def cells_of(source: Source) -> dict[str, Cited]:
    """Column of runs.csv → the log line that it is read from."""
    return {name: source.last(name) for name in ("validation_loss", "test_loss", *TESTED)}


def means(
    summary: list[dict[str, Any]], rows: list[dict[str, Any]], by: tuple[str, ...], sources: dict[str, Source]
) -> tuple[list[dict[str, Any]], list[Row]]:
    """A summary and its citations: means and deviations of the lines of every seed's log."""
    cited = []
    for line in summary:
        some = [sources[row["cell"]] for row in rows if all(row[name] == line[name] for name in by)]
        cells: dict[str, Cited] = {}
        for name in (column for column in ("validation_loss", "test_loss") if column in line):
            parts = [source.last(name) for source in some]
            cells[name], cells[f"{name}_sd"] = pooled(parts, "mean"), pooled(parts, "stdev")
        cited.append(Row(some, cells))
    return summary, cited


def epochs_of(rows: list[dict[str, Any]], sources: dict[str, Source]) -> tuple[list[dict[str, Any]], list[Row]]:
    """Validation and diversity at the end of every epoch of the news runs."""
    found, cited = [], []
    for row in rows:
        source = sources[row["cell"]]
        for seq, record in enumerate(source.log.records):
            if "epoch" in record and "validation_loss" in record:
                found.append({"seed": row["seed"], **{name: record[name] for name in ("epoch", "step", *EPOCH)}})
                cells = {name: source.window(name, seq, seq, "value") for name in ("epoch", *EPOCH)}
                cited.append(Row([source], cells))
    return found, cited


def write_peer(rows: list[dict[str, Any]], sources: dict[str, Source], out: Path) -> None:
    """peer_runs.csv and peer.csv."""
    table = [
        {"cell": r["cell"], "arm": r["config"].arm, "seed": r["config"].seed, "parameters": r["parameters"]}
        | {"validation_loss": r["validation_loss"]}
        | sources[r["cell"]].columns()
        for r in rows
    ]
    cited = [Row([s := sources[r["cell"]]], {"validation_loss": s.last("validation_loss")}) for r in table]
    write(out / "peer_runs.csv", table, cited, logs=True)
    write(out / "peer.csv", *means(summarise_peer(table), table, ("arm",), sources))


def write_news(runs: Path, out: Path) -> None:
    """news.csv: n-grams, the model of every seed, and both mixed, on the same held-out documents."""
    rows = read_csv(out / "runs.csv")
    news = [row for row in rows if row["study"] == "news"]
    config, model, vocabulary = load(runs / news[0]["cell"])
    corpus = read_corpus(config)
    size = {split: corpus.report["splits"][split]["bytes"] for split in SPLITS}
    train = list(documents_of(corpus.folder, "train"))
    lines, grams = [], {}
    for order in ORDERS:
        grams[order] = KneserNey(train, len(vocabulary), order)
        held = {split: grams[order].predict(documents_of(corpus.folder, split)) for split in ("validation", "test")}
        lines.append(line(f"Kneser–Ney {order}-gram", held, size, sum(len(o.keys) for o in grams[order].orders)))
    for row in news:
        found = read_json(runs / row["cell"] / "result.json")
        held = {split: Prediction(**found[split]) for split in ("validation", "test")}
        lines.append(line(f"Transformer, seed {row['seed']}", held, size, row["parameters"]))
    one = {s: label_probabilities(model, corpus.held_out(config, s)) for s in ("validation", "test")}
    other = {s: grams[ORDERS[-1]].probabilities(documents_of(corpus.folder, s)) for s in one}
    weight = mixture_weight(one["validation"], other["validation"])
    mixed = {s: prediction(weight * one[s] + (1 - weight) * other[s]) for s in one}
    lines.append(line(f"both, mixed ({weight:.2f} Transformer)", mixed, size, 0))
    write(out / "news.csv", lines, None, made_from=("runs.csv",))
    gram = next(row["validation_perplexity"] for row in lines if row["model"] == f"Kneser–Ney {ORDERS[-1]}-gram")
    plots.epochs(read_csv(out / "epochs.csv"), gram, out / "epochs.png")
    write_json(out / "corpus.json", {k: v for k, v in corpus.report.items() if k != "digest"})


def prediction(chances: Any) -> Prediction:
    """Mean cross-entropy of these probabilities."""
    import numpy as np

    return Prediction(float(-np.log(chances).mean()), len(chances))


def line(model: str, held: dict[str, Prediction], size: dict[str, int], parameters: int) -> dict[str, Any]:
    """A row of news.csv."""
    return {
        "model": model,
        "test_perplexity": held["test"].perplexity,
        "test_bits_per_byte": held["test"].bits_per_byte(size["test"]),
        "validation_perplexity": held["validation"].perplexity,
        "validation_bits_per_byte": held["validation"].bits_per_byte(size["validation"]),
        "parameters": parameters,
    }


def write_rest(runs: Path, out: Path) -> None:
    """frontier.csv and samples.md of the news model, loader.csv, and what all of it ran on."""
    run = runs / next(row["cell"] for row in read_csv(out / "runs.csv") if row["study"] == "news")
    eval_generation.main(eval_generation.GenerationConfig(run=run, out=out))
    seal_table(out / "frontier.csv", project=PROJECT, key=team_key(), made_from=("runs.csv",))
    config, _, _ = load(run)
    write(out / "loader.csv", loader_rows(config.cleaning.out, runs / "loader.json"), None)
    plots.memory(read_csv(out / "loader.csv"), out / "memory.png")
    write_json(out / "environment.json", describe_environment())


def loader_rows(corpus: Path, kept: Path) -> list[dict[str, Any]]:
    """The loader study, which is made once."""
    if not kept.exists():
        write_json(kept, loader.main(loader.LoaderConfig(corpus=corpus)))
    return read_json(kept)


def write(
    path: Path,
    rows: list[dict[str, Any]],
    cited: list[Row] | None,
    *,
    logs: bool = False,
    made_from: tuple[str, ...] = (),
) -> None:
    """A sealed table; nothing where no run is there to make it of."""
    if not rows:
        return
    write_csv(path, rows)
    seal_table(path, project=PROJECT, key=team_key(), rows=cited, keep_logs=logs, made_from=made_from)
