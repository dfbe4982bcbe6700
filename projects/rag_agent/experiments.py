"""`make results-rag_agent`: everything behind the README's tables that is no speed.

What was measured is not measured again: every cell is a run below runs/rag_agent/results, embeddings are kept beside
them, so the command can be stopped and started at will.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.rag_agent.analysis import plots
from projects.rag_agent.config import Config
from projects.rag_agent.data import load_documents
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import build_retriever
from projects.rag_agent.questions import fact_questions, search_questions
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import use_threads
from projects.rag_agent.studies import answers, crash, growth, retrieval, routing
from projects.rag_agent.tables import (
    README,
    answers_markdown,
    kinds_markdown,
    recall_markdown,
    refusal_markdown,
    retrieval_markdown,
    routing_markdown,
)
from shared import devices
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import Row, seal_table
from shared.progress import table
from shared.report import put_into_readme, read_csv, write_csv
from shared.runs import describe_environment

RESULTS = Path("projects/rag_agent/results")
VERSIONS = ("faiss-cpu", "bm25s")


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all cells share."""
    runs: Path = Path("runs/rag_agent/results")
    """Where cells and embeddings are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""
    readme: Path = README
    """Whose tables are rewritten."""


def main(config: ExperimentConfig) -> None:
    """Choose constants on one part of the films, measure retrieval, refusal and answers on the other."""
    for folder in (config.runs, config.out):
        refuse_unwritable(folder)
    devices.use_all_cores()
    use_threads()
    generator = Generator(config.base.model)  # what is not there is said before anything is measured
    bench = prepared(config)
    chosen, tuning = retrieval.tuned(bench)
    publish(config.out, "tuning", *retrieval.tuning_table(tuning))
    searched = retrieval.measured(bench, chosen)
    publish(config.out, "retrieval", *retrieval.table(searched), keep_logs=True)
    publish(config.out, "differences", retrieval.differences(searched), made_from=("retrieval.csv",))
    retrieval.use(bench, chosen[config.base.method])
    share, threshold = refusing(config, bench)
    reading, read = answers.tuned(bench, generator, config.base)
    publish(config.out, "reading", *answers.table(read))
    answered = answers.measured(bench, generator, config.base, reading)
    publish(config.out, "answers", *answers.table(answered), keep_logs=True)
    publish(config.out, "answers_overall", answers.overall(answered), made_from=("answers.csv",))
    publish(config.out, "routing", *routing.table(routing.measured(bench, generator)), keep_logs=True)
    publish(config.out, "recall", *growth.table(growth.measured(config.runs)))
    publish(config.out, "crash", crash.main(crash.CrashConfig()))
    settings = {"weight": chosen["hybrid"].weight, "cosine_share": share, "threshold": threshold}
    write_json(config.out / "chosen.json", {**settings, "template": reading.template, "k": reading.k})
    write_json(config.out / "environment.json", describe_environment())
    plots.main(plots.PlotConfig(results=config.out))
    write_readme(config)


def prepared(config: ExperimentConfig) -> retrieval.Bench:
    """Documents, retriever and questions."""
    documents = load_documents(config.base.dataset, config.base.limit)
    embedder = Embedder(
        config.base.encoder, max_length=config.base.passage_tokens, cache=config.runs / "embeddings.sqlite"
    )
    retriever = build_retriever(replace(config.base, hnsw=False), documents, embedder)
    return retrieval.Bench(config.runs, documents, retriever, search_questions(documents), fact_questions(documents))


def refusing(config: ExperimentConfig, bench: retrieval.Bench) -> tuple[float, float]:
    """Choose what the confidence is made of and its threshold on tuning films, and measure both on the test films."""
    share, threshold = retrieval.choose_threshold(retrieval.confidence_cells(bench, "tune", config.base.k))
    tested = retrieval.confidence_cells(bench, "test", config.base.k)
    publish(config.out, "refusal", retrieval.refusal_rows(tested, share, threshold))
    publish(config.out, "refusal_curve", retrieval.refusal_curve(tested, share), made_from=("refusal.csv",))
    return share, threshold


def publish(
    out: Path,
    name: str,
    rows: list[dict[str, Any]],
    cited: list[Row] | None = None,
    *,
    made_from: tuple[str, ...] = (),
    keep_logs: bool = False,
) -> None:
    """Write and seal one table; logs that it cites may be kept beside it."""
    write_csv(out / f"{name}.csv", rows)
    path = out / f"{name}.csv"
    seal_table(path, project="rag_agent", key=team_key(), rows=cited, made_from=made_from, keep_logs=keep_logs)


def write_readme(config: ExperimentConfig) -> None:
    """Put every table into the README, and the two that matter most on the screen."""
    read = {path.stem: read_csv(path) for path in config.out.glob("*.csv")}
    for name, text in (
        ("retrieval", retrieval_markdown(read["retrieval"])),
        ("answers", answers_markdown(read["answers_overall"])),
        ("kinds", kinds_markdown(read["answers"])),
        ("refusal", refusal_markdown(read["refusal"])),
        ("routing", routing_markdown(read["routing"])),
        ("recall", recall_markdown(read["recall"])),
    ):
        put_into_readme(config.readme, name, text)
    columns = ["questions", "method", "recall@1", "recall@5", "MRR"]
    lines = [(r["questions"], r["method"], r["recall_1"], r["recall_5"], r["mrr"]) for r in read["retrieval"]]
    table("Retrieval, test films", columns, lines)
    answered = [(r["arm"], r["exact"], r["f1"], r["questions"]) for r in read["answers_overall"]]
    table("Answers, test films", ["the model answers", "exact match", "F1", "questions"], answered)


if __name__ == "__main__":
    command(main, ExperimentConfig)
