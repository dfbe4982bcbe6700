"""`make results-pretrain_lm`: every run behind the tables of README and results/README, and what is shown of them.

Nothing is tuned here: rates and sizes were set beforehand from the literature.
"""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from projects.pretrain_lm.analysis import beside_ngrams, eval_generation, loader, plots
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.collator import Objective
from projects.pretrain_lm.peer import ARMS, PeerConfig, read_text
from projects.pretrain_lm.peer import main as train_peer
from projects.pretrain_lm.train_pretrain import corpus_digest, read_corpus
from projects.pretrain_lm.train_pretrain import main as pretrain
from shared import study
from shared.devices import Precision
from shared.errors import command
from shared.files import read_json, refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_source
from shared.measured import write_measured
from shared.report import put_into_readme, read_csv
from shared.study import Done, Table, last, mean_sd, plain, publish, setting, settings, table

PROJECT = "pretrain_lm"
RESULTS = Path("projects/pretrain_lm/results")
SEEDS, RATIOS, CONTEXTS = (0, 1, 2), (0.1, 0.15, 0.3, 0.5), (64, 128, 256)
MASKS: tuple[Objective, ...] = ("static", "dynamic")
Cell = Config | PeerConfig


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    device: str = "auto"
    """auto, cpu, cuda, ..."""
    precision: Precision = "auto"
    """Precision of the matrix products: float32, bfloat16, or auto: bfloat16 where the processor has it."""
    runs: Path = Path("runs/pretrain_lm/results")
    out: Path = RESULTS


# ---------------------------------------------------------------- which runs


def cells(base: Config) -> dict[str, Cell]:
    """Configurations to train, by name; the name's first word is the study that a cell belongs to."""
    # One seed of the news: the spread over seeds is seen in the smaller studies.
    found: dict[str, Cell] = {"news-seed0": replace(base, epochs=6, width=256, dropout=0.1, lr=2e-3)}
    for seed, arm in product(SEEDS, ARMS):
        found[f"peer-{arm}-seed{seed}"] = PeerConfig(arm=arm, seed=seed)
    # Characters, since a masked model this small hardly leaves the tokens' frequencies in a minute; eight epochs, since
    # a mask that never changes can only do harm when it is seen again.
    small = replace(base, limit=60, tokenizer="char", context=64, width=64, epochs=8, log_every=10)
    for seed, objective, ratio in product(SEEDS, MASKS, RATIOS):
        cell = replace(small, objective=objective, mask_ratio=ratio, seed=seed)
        found[f"masking-{objective}-{ratio:g}-seed{seed}"] = cell
    for context in CONTEXTS:  # as many tokens a step for each
        found[f"context-{context}-seed0"] = replace(base, context=context, batch_size=2048 // context, steps=400)
    return found


def finished(directory: Path, cell: Cell) -> Done:
    """A cell, trained unless it is done; a run of the peer's takes a minute and has no checkpoint to resume from."""

    def train(place: Path, resume: bool) -> None:
        if isinstance(cell, PeerConfig):
            train_peer(replace(cell, out=place))
        else:
            pretrain(replace(cell, out=place, resume=resume))

    data = read_text(cell)[2] if isinstance(cell, PeerConfig) else corpus_digest(cell)
    place = study.complete(directory, cell, train, project=PROJECT, data=data)
    return Done(place.name, cell, read_source(place, team_key()), directory=place)


# ---------------------------------------------------------------- what is shown of them


def study_of(done: Done) -> str:
    """The study that a cell belongs to."""
    return done.name.partition("-")[0]


def result(name: str, **shown: Any) -> study.Column:
    """What a run wrote when it had ended, and did not log."""
    return plain(name, lambda group: read_json((group[0].directory or Path()) / "result.json")[name], **shown)


ARM_NAMES = {"ours": "ours", "gpt2": "transformers' GPT2LMHeadModel"}
ARMS_ES = {"transformers' GPT2LMHeadModel": "GPT2LMHeadModel de transformers", "ours": "el nuestro"}
MODELS_ES = {f"Kneser–Ney {order}-gram": f"Kneser–Ney, {order}-gramas" for order in beside_ngrams.ORDERS}
MODELS_ES |= {"both mixed": "los dos mezclados", " of the Transformer": " del Transformer"}
MODEL = ("model", "modelo", "{model}")
TEST = (
    last("test_perplexity", head="test PPL", es="PPL de prueba", show="{test_perplexity:.2f}"),
    last("test_bits_per_byte", head="test bits per byte", es="bits por byte", show="{test_bits_per_byte:.4f}"),
)
STEPS = last("steps", "step", head="steps", es="pasos", show="{steps:,}")
REPEATED = (study.REPEATS, mean_sd("validation_loss", head="validation loss", es="pérdida de validación"))
RUNS = table(
    "runs",
    *(study.CELL, plain("study", lambda group: study_of(group[0]))),
    *settings("objective", "mask_ratio", "context", "width", "batch_size", "epochs", "lr", "seed"),
    *(result("parameters"), STEPS, result("tokens"), result("bfloat16"), last("validation_loss"), last("test_loss")),
    *(*TEST, study.origin()),
    keep_logs=True,
)
EPOCHS = table(
    "epochs",
    *settings("seed"),
    *map(last, ("epoch", "step", "validation_loss", "validation_perplexity", "validation_bits_per_byte")),
    *map(last, ("distinct_1", "distinct_2")),
)
MASKING = table(
    "masking",
    setting("objective", head="masks in training", es="máscaras"),
    setting("mask_ratio", head="share masked", es="proporción", show="{mask_ratio:.0%}"),
    *REPEATED,
    mean_sd("test_loss", head="test loss", es="pérdida de prueba"),
    order=("masks in training", "share masked", "validation loss", "test loss", "seeds"),
    spanish={"static": "estáticas", "dynamic": "dinámicas"},
)
CONTEXT = table(
    "context",
    study.CELL,
    setting("context", head="context", es="contexto"),
    setting("batch_size", head="chunks a step", es="fragmentos por paso"),
    *(STEPS, *TEST),
)
MEASURED = (result("parameters"), last("validation_loss"), study.origin())
PEER_RUNS = table("peer_runs", study.CELL, *settings("arm", "seed"), *MEASURED, keep_logs=True)
PEER = table(
    "peer",
    setting("arm", head="model", es="modelo", show=lambda row, _: ARM_NAMES[row["arm"]]),
    result("parameters", head="parameters", es="parámetros", show="{parameters:,}"),
    *REPEATED,
    order=("model", "parameters", "validation loss", "seeds"),
    spanish=ARMS_ES,
)
NEWS = table(
    "news",
    MODEL,
    *((column.head, column.es, column.show) for column in TEST),
    ("validation PPL", "PPL de validación", "{validation_perplexity:.2f}"),
    ("numbers it holds", "números que guarda", "{parameters:,}"),
    spanish=MODELS_ES,
)
DIVISION = table(
    "division",
    MODEL,
    ("test PPL, divided by text", "PPL de prueba, división por texto", "{by_text:.2f}"),
    ("divided by story", "división por historia", "{by_story:.2f}"),
    spanish=MODELS_ES,
)
FRONTIER = table(
    "frontier",
    ("written by", "escrito por", "{way}"),
    ("distinct-1", "distinct-1", "{distinct_1:.3f}"),
    ("distinct-2", "distinct-2", "{distinct_2:.3f}"),
    ("self-BLEU", "self-BLEU", "{self_bleu:.3f}"),
    ("repeated 4-grams", "4-gramas repetidos", "{repetition_4:.3f}"),
    ("similarity", "similitud", "{similarity:.3f}"),
    ("PPL (SmolLM2)", "PPL (SmolLM2)", "{perplexity:.1f}"),
    spanish={"the articles themselves": "los artículos mismos", "greedy": "voraz", "temperature": "temperatura"},
)
LOADER = table(
    "loader",
    last("copies", head="corpus", es="corpus", show="{copies} ×"),
    last("over_one", head="over 1 ×", es="sobre 1 ×", show="{over_one:.3f}"),
    last("peak_mb", head="peak memory", es="memoria máxima", show="{peak_mb:.0f} MB"),
    last("tokens", head="tokens", es="tokens", show="{tokens:,}"),
    last("tokens_per_second"),
    order=("corpus", "tokens", "peak memory", "over 1 ×"),
    keep_logs=True,
)
SPEED = ("tokens a second", "tokens por segundo", "{tokens_per_second:,}")
BENCH = table(
    "bench",
    ("model", "modelo", lambda row, _: ARM_NAMES[row["arm"]]),
    ("ms a step", "ms por paso", "{step_ms:.1f}"),
    SPEED,
    ("ours is … × as fast", "el nuestro es … veces más rápido", "{ours_over_arm:.3f}"),
    ("quartiles", "cuartiles", "{ratio_q1:.3f} to {ratio_q3:.3f}"),
    spanish=ARMS_ES,
)
CONSUMPTION = table(
    "consumption",
    ("what", "qué", "{what}"),
    SPEED,
    ("over the model's", "sobre los del modelo", "{over_model:.1f}"),
    spanish={"loader": "cargador", "model": "modelo"},
)


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows; only of what is there to show."""
    found = study.written(out, NEWS, MASKING, CONTEXT, PEER, LOADER, FRONTIER, BENCH, CONSUMPTION)
    if (before := out / "news_by_text.csv").exists():
        found["division"] = (DIVISION, divisions(read_csv(before), found["news"][1]))
    return found


def divisions(by_text: list[dict[str, Any]], by_story: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each model's test perplexity under both divisions; the mixture's weight, which differs, is left out."""
    before, now = ({row["model"].partition(",")[0]: row["test_perplexity"] for row in x} for x in (by_text, by_story))
    return [{"model": model, "by_text": before[model], "by_story": found} for model, found in now.items()]


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Train every cell that is not done, then write tables and figures."""
    out = config.out
    refuse_unwritable(config.runs, out)
    base = Config(device=config.device, precision=config.precision)
    done = [finished(config.runs / name, cell) for name, cell in cells(base).items()]
    studies = {study_of(group[0]): group for group in study.grouped(done, study_of)}
    publish(RUNS, [[each] for each in done if isinstance(each.config, Config)], out, PROJECT)
    masks = study.grouped(studies["masking"], lambda each: (each.config.objective, each.config.mask_ratio))
    publish(MASKING, masks, out, PROJECT)
    publish(CONTEXT, [[each] for each in studies["context"]], out, PROJECT)
    publish(PEER_RUNS, [[each] for each in studies["peer"]], out, PROJECT)
    publish(PEER, study.grouped(studies["peer"], lambda each: each.config.arm), out, PROJECT)
    (news,) = studies["news"]
    publish(EPOCHS, study.by_line(news, "validation_loss"), out, PROJECT)
    write_news(news, out)
    publish(LOADER, study.by_line(loaded(config.runs / "loader", news.config), "copies"), out, PROJECT)
    plots.main(out)
    study.finish(out, views(out))
    if (readme := out / "README.md").exists():
        put_into_readme(readme, "samples", (out / "samples.md").read_text(encoding="utf-8").rstrip())


def write_news(news: Done, out: Path) -> None:
    """news.csv, corpus.json, frontier.csv and samples.md: what the news model predicts, and what it writes."""
    assert news.directory is not None, "its weights are needed"
    compared = beside_ngrams.compare(news.directory)
    write_measured(out / "news.csv", compared, PROJECT, news.config, made_from=("runs.csv",))
    report = read_corpus(news.config).report
    write_json(out / "corpus.json", {name: value for name, value in report.items() if name != "digest"})
    ways = eval_generation.main(eval_generation.GenerationConfig(run=news.directory, out=out))
    write_measured(out / "frontier.csv", ways, PROJECT, news.config, made_from=("runs.csv",))


def loaded(directory: Path, config: Config) -> Done:
    """The loader's memory by the size of the corpus, measured once for a corpus."""
    asked = loader.LoaderConfig(corpus=config.cleaning.out)
    return study.log_items(
        directory, asked, lambda: ((row, {}) for row in loader.main(asked)), project=PROJECT, data=corpus_digest(config)
    )


if __name__ == "__main__":
    command(main, StudyConfig)
