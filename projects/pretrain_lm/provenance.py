"""From finished runs to results/: the tables, each row citing the runs and the lines of their logs, and the figures."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.pretrain_lm.analysis import eval_generation, loader, plots
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.clean_corpus import SPLITS
from projects.pretrain_lm.evaluate import Prediction, label_probabilities, mixture_weight
from projects.pretrain_lm.ngram import KneserNey, documents_of
from projects.pretrain_lm.peer import PeerConfig
from projects.pretrain_lm.tables import summarise_masking, summarise_peer
from projects.pretrain_lm.train_pretrain import load, read_corpus
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled, read_source
from shared.fingerprint.results import Row, seal_table
from shared.optim import count_parameters
from shared.report import read_csv, write_csv
from shared.runs import read_json

PROJECT = "pretrain_lm"
ORDERS = (2, 3, 5)
HELD_OUT = ("validation", "test")
Chances = Float[np.ndarray, " n"]
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


def write_news(run: Path, out: Path) -> None:
    """news.csv: n-grams, the model, and both mixed, on the same held-out documents; corpus.json and epochs.png."""
    config, model, vocabulary = load(run)
    corpus = read_corpus(config)
    size = {split: corpus.report["splits"][split]["bytes"] for split in SPLITS}
    train, lines, grams = list(documents_of(corpus.folder, "train")), [], {}
    for order in ORDERS:
        counted = KneserNey(train, len(vocabulary), order)
        grams = {split: counted.probabilities(documents_of(corpus.folder, split)) for split in HELD_OUT}
        lines.append(line(f"Kneser–Ney {order}-gram", grams, size, sum(len(o.keys) for o in counted.orders)))
    strongest = lines[-1]
    mine = {split: label_probabilities(model, corpus.held_out(config, split)) for split in HELD_OUT}
    weight = mixture_weight(mine["validation"], grams["validation"])
    mixed = {split: weight * mine[split] + (1 - weight) * grams[split] for split in HELD_OUT}
    parameters = count_parameters(model)[1]
    lines.append(line("Transformer", mine, size, parameters))
    both = parameters + strongest["parameters"]
    lines.append(line(f"both mixed, {weight:.2f} of the Transformer", mixed, size, both))
    write(out / "news.csv", lines, None, made_from=("runs.csv",))
    plots.epochs(read_csv(out / "epochs.csv"), strongest["validation_perplexity"], out / "epochs.png")
    write_json(out / "corpus.json", {k: v for k, v in corpus.report.items() if k != "digest"})


def line(model: str, chances: dict[str, Chances], size: dict[str, int], parameters: int) -> dict[str, Any]:
    """A row of news.csv; `parameters` are the numbers that the model holds, of an n-gram model one for each n-gram."""
    row: dict[str, Any] = {"model": model}
    for split in ("test", "validation"):
        found = Prediction(float(-np.log(chances[split]).mean()), len(chances[split]))
        row[f"{split}_perplexity"] = found.perplexity
        row[f"{split}_bits_per_byte"] = found.bits_per_byte(size[split])
    return {**row, "parameters": parameters}


def write_writing(run: Path, out: Path) -> None:
    """frontier.csv, samples.md and the figures of what the news model writes."""
    eval_generation.main(eval_generation.GenerationConfig(run=run, out=out))
    seal_table(out / "frontier.csv", project=PROJECT, key=team_key(), made_from=("runs.csv",))


def write_loader(runs: Path, out: Path) -> None:
    """loader.csv and its figure: the study is made once, on the news."""
    write(out / "loader.csv", loader_rows(Config().cleaning.out, runs / "loader.json"), None)
    plots.memory(read_csv(out / "loader.csv"), out / "memory.png")


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
    """A sealed table."""
    write_csv(path, rows)
    seal_table(path, project=PROJECT, key=team_key(), rows=cited, keep_logs=logs, made_from=made_from)
