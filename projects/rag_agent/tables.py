"""The README's tables, made from the files of results/."""

from pathlib import Path
from typing import Any

from shared.report import markdown_table

README = Path("projects/rag_agent/README.md")
METHODS = {
    "bm25": "BM25",
    "vectors": "vectors",
    "rrf": "both, ranks fused (RRF)",
    "hybrid": "both, scores fused",
}
SETS = {"names": "names", "reworded": "reworded", "other_words": "other words"}
ARMS = {
    "closed_book": "SmolLM2 alone",
    "retrieved": "with retrieved passages",
    "right": "with the right passage",
}
KINDS = {"year": "year", "director": "director", "cast": "cast"}
POLICIES = {"rules": "the tools' patterns", "model": "likelihood of the names", "free": "JSON as the model writes it"}
INDEXES = {"exact": "FAISS, exact", "graph": "FAISS, HNSW", "milvus": "Milvus (lite), exact"}


def interval(row: dict[str, Any], name: str, digits: int = 3) -> str:
    """A mean with its interval in brackets."""
    return f"{row[name]:.{digits}f} ({row[name + '_low']:.{digits}f} to {row[name + '_high']:.{digits}f})"


def retrieval_markdown(rows: list[dict[str, Any]]) -> str:
    """Recall and MRR by set and method."""
    columns = ["questions", "words shared", "method", "recall@1", "recall@5", "MRR", "films"]
    lines = [
        [
            SETS[row["questions"]],
            f"{row['shared']:.0%}",
            METHODS[row["method"]],
            interval(row, "recall_1"),
            interval(row, "recall_5"),
            interval(row, "mrr"),
            str(row["films"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def answers_markdown(rows: list[dict[str, Any]]) -> str:
    """Exact match and F1 by arm, over all kinds of question."""
    columns = [
        "the model answers",
        "exact match",
        "F1",
        "names it",
        "it stands in its passages",
        "faithful",
        "questions",
    ]
    lines = [
        [
            ARMS[row["arm"]],
            interval(row, "exact"),
            interval(row, "f1"),
            f"{row['named']:.3f}",
            _share(row, "in_passages"),
            _share(row, "faithful"),
            str(row["questions"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def kinds_markdown(rows: list[dict[str, Any]]) -> str:
    """Exact match of each arm by kind of question."""
    columns = ["exact match", *KINDS.values()]
    lines = [
        [name, *(f"{row['exact']:.3f}" for kind in KINDS for row in rows if (row["arm"], row["kind"]) == (arm, kind))]
        for arm, name in ARMS.items()
    ]
    return markdown_table(columns, lines)


def refusal_markdown(rows: list[dict[str, Any]]) -> str:
    """How often each kind of question is refused."""
    names = {
        "answerable": "fact about a film in the index",
        "not indexed": "fact about a film that is not",
        "off topic": "something else (TREC)",
    }
    lines = [
        [
            names[row["questions"]],
            f"{row['refused']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
            "0" if row["questions"] == "answerable" else "1",
            str(row["count"]),
        ]
        for row in rows
    ]
    return markdown_table(["question", "refused", "ideal", "questions"], lines)


def routing_markdown(rows: list[dict[str, Any]]) -> str:
    """How often each policy names the right tool."""
    columns = ["the tool is chosen by", "decision parses", "right tool", "right tool and arguments", "requests"]
    lines = [
        [
            POLICIES[row["policy"]],
            f"{row['parsed']:.3f}",
            interval(row, "right"),
            f"{row['usable']:.3f}",
            str(row["requests"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def growth_markdown(rows: list[dict[str, Any]]) -> str:
    """What an index costs as it grows."""
    columns = ["index", "vectors", "search, p50", "p95", "build", "save", "load", "memory", "file"]
    lines = [
        [
            INDEXES[row["arm"]],
            f"{row['vectors']:,}",
            f"{row['p50_ms']:.2f} ms",
            f"{row['p95_ms']:.2f} ms",
            f"{row['build_s']:.2f} s",
            f"{row['save_s']:.2f} s",
            f"{row['load_s']:.2f} s" if row["arm"] != "milvus" else "–",
            f"{row['memory_mb']:.0f} MB",
            f"{row['file_mb']:.0f} MB",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def recall_markdown(rows: list[dict[str, Any]]) -> str:
    """Recall@10 of the graph by size and by candidates."""
    candidates = sorted({row["ef_search"] for row in rows})
    lines = [
        [f"{size:,}", *(f"{_recall(rows, size, each):.3f}" for each in candidates)]
        for size in sorted({row["vectors"] for row in rows})
    ]
    return markdown_table(["vectors", *(f"efSearch {each:g}" for each in candidates)], lines)


def embedding_markdown(rows: list[dict[str, Any]]) -> str:
    """Sentences a second."""
    lines = [[row["how"], f"{row['per_second']:.1f}", f"{row['over_single']:.2f}"] for row in rows]
    return markdown_table(["sentences are embedded", "a second", "times one by one"], lines)


def _recall(rows: list[dict[str, Any]], size: int, candidates: float) -> float:
    return next(row["recall"] for row in rows if (row["vectors"], row["ef_search"]) == (size, candidates))


def _share(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f}" if row[name] != "" else "–"
