"""`make results-rag_agent`: everything behind the README's tables that is no speed.

What was measured is not measured again: every cell is a run below runs/rag_agent/results, embeddings are kept beside
them, so the command can be stopped and started at will.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from projects.rag_agent.config import Config
from projects.rag_agent.data import load_documents
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import build_retriever
from projects.rag_agent.questions import fact_questions, search_questions
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import use_threads
from projects.rag_agent.studies import answers, retrieval
from shared import devices
from shared.errors import command

RESULTS = Path("projects/rag_agent/results")


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all cells share."""
    runs: Path = Path("runs/rag_agent/results")
    """Where cells and embeddings are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


def main(config: ExperimentConfig) -> None:
    """Choose constants on one part of the films, measure retrieval, refusal and answers on the other."""
    devices.use_all_cores()
    use_threads()
    bench = prepared(config)
    chosen, _ = retrieval.tuned(bench)
    searched = retrieval.measured(bench, chosen)
    print(chosen)
    for row in retrieval.table(searched)[0]:
        print({k: v for k, v in row.items() if k in ("questions", "method", "recall_1", "recall_5", "mrr", "films")})
    best = chosen["hybrid"]
    bench.retriever.method, bench.retriever.weight = "hybrid", best.weight
    sure = retrieval.confidence_cells(bench, "tune", config.base.k)
    share, threshold = retrieval.choose_threshold(sure)
    for row in retrieval.refusal_rows(retrieval.confidence_cells(bench, "test", config.base.k), share, threshold):
        print(row)
    generator = Generator(config.base.model)
    reading, read = answers.tuned(bench, generator, config.base)
    print(reading, flush=True)
    for row in answers.table([*read, *answers.measured(bench, generator, config.base, reading)])[0]:
        print(
            {
                k: v
                for k, v in row.items()
                if k in ("arm", "kind", "k", "template", "exact", "f1", "in_passages", "faithful")
            }
        )


def prepared(config: ExperimentConfig) -> retrieval.Bench:
    """Documents, retriever and questions."""
    documents = load_documents(config.base.dataset, config.base.limit)
    embedder = Embedder(
        config.base.encoder, max_length=config.base.passage_tokens, cache=config.runs / "embeddings.sqlite"
    )
    retriever = build_retriever(replace(config.base, hnsw=False), documents, embedder)
    return retrieval.Bench(config.runs, documents, retriever, search_questions(documents), fact_questions(documents))


if __name__ == "__main__":
    command(main, ExperimentConfig)
