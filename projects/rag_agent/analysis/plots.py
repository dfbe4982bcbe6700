"""The figures, from the CSV files in results/: nothing is measured here.

python -m projects.rag_agent.analysis.plots
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.rag_agent.questions import FACTS
from shared.errors import command
from shared.plotting import COLOURS, MARKERS, figure, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
METHODS = {"bm25": "BM25", "vectors": "vectors", "rrf": "both, ranks fused (RRF)", "hybrid": "both, scores fused"}
SETS = {"names": "names", "reworded": "reworded", "other_words": "other words"}
ARMS = {
    "closed_book": "SmolLM2 alone",
    "retrieved": "with retrieved passages",
    "right": "with the right passage",
}
REFUSED = {
    "answerable": "fact about a film in the index",
    "not indexed": "fact about a film that is not",
    "off topic": "something else (TREC)",
}
POLICIES = {"rules": "the tools' patterns", "model": "likelihood of the names", "free": "JSON as the model writes it"}
INDEXES = {"exact": "FAISS, exact", "graph": "FAISS, HNSW", "milvus": "Milvus (lite), exact"}


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """Draw the figures from the CSV files."""

    results: Path = Path("projects/rag_agent/results")
    """Folder of the CSV files; the PNG files go there too."""


def main(config: PlotConfig) -> None:
    """Draw every figure."""
    read = {path.stem: read_csv(path) for path in config.results.glob("*.csv")}
    retrieval(read["retrieval"], config.results / "retrieval.png")
    answers(read["answers"], config.results / "answers.png")
    confidence(read["refusal_curve"], read["refusal"], config.results / "refusal.png")
    if "bench" in read:
        growth(read["bench"], read["recall"], config.results / "growth.png")


def retrieval(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean reciprocal rank by method, a panel a set; bars are 95 % intervals over films."""
    title, ylabel = "Which search finds the film? (test films)", "mean reciprocal rank (bars: 95 %)"
    with panels(path, len(SETS), title=title, xlabel="", ylabel=ylabel, size=(2.45, 3.2), words=WORDS) as drawn:
        for axes, (kind, name) in zip(drawn, SETS.items(), strict=True):
            mine = [row for row in rows if row["questions"] == kind]
            for place, row in enumerate(mine):
                _bar(axes, float(place), row, "mrr", place)
            axes.set_xticks(range(len(mine)), ["BM25", "vectors", "ranks\nfused", "scores\nfused"], fontsize=9)
            axes.set_title(f"{name}\n{mine[0]['shared']:.0%} of the words shared", fontsize=10)
            axes.set_ylim(0, 1.05)


def answers(rows: list[dict[str, Any]], path: Path) -> None:
    """Exact match by kind of question and arm, with the upper bound that the passages set."""
    title, ylabel = "How many facts are answered exactly? (test films)", "exact match (bars: 95 %)"
    with figure(path, title=title, xlabel="question about", ylabel=ylabel, size=(6.8, 4.2), words=WORDS) as axes:
        width = 0.26
        for index, (arm, name) in enumerate(ARMS.items()):
            for place, kind in enumerate(FACTS):
                row = next(row for row in rows if (row["arm"], row["kind"]) == (arm, kind))
                x = place + (index - 1) * width
                _bar(axes, x, row, "exact", index, width=width * 0.9, label=name if place == 0 else None)
                if arm == "retrieved":
                    bound = row["in_passages"]
                    axes.hlines(bound, x - width / 2, x + width / 2, color="#000000", linestyle="--", linewidth=1.4,
                                label="right answer is in the retrieved passages" if place == 0 else "_")  # fmt: skip
        axes.set_xticks(range(len(FACTS)), FACTS)
        axes.set_ylim(0, 1.0)
        legend_below(axes, columns=2)


def confidence(curve: list[dict[str, Any]], chosen: list[dict[str, Any]], path: Path) -> None:
    """Share refused by threshold for each kind of question, with the threshold that was chosen elsewhere."""
    threshold = chosen[0]["threshold"]
    title, xlabel = "What would each threshold refuse? (test films)", "threshold of the confidence"
    places = {"answerable": (0.79, 0.35), "not indexed": (0.36, 0.36), "off topic": (0.06, 0.62)}
    with figure(path, title=title, xlabel=xlabel, ylabel="share refused", words=WORDS) as axes:
        for index, kind in enumerate(dict.fromkeys(row["questions"] for row in curve)):
            mine = [row for row in curve if row["questions"] == kind]
            label = {
                "answerable": "film in\nthe index",
                "not indexed": "film\nnot in it",
                "off topic": "not about\nfilms",
            }
            axes.plot([row["threshold"] for row in mine], [row["refused"] for row in mine], color=COLOURS[index],
                      linestyle=("-", "--", ":")[index])  # fmt: skip
            axes.annotate(label[kind], places[kind], color=COLOURS[index], fontsize=9)
        axes.axvline(threshold, color="#000000", linewidth=1)
        axes.annotate(
            f"chosen: {threshold:.2f}", (threshold, 0.5), xytext=(4, 0), textcoords="offset points", fontsize=9
        )


def growth(bench: list[dict[str, Any]], recall: list[dict[str, Any]], path: Path) -> None:
    """Search time, building time and memory by the number of vectors."""
    measures = (("p50_ms", "search, p50 (ms)"), ("build_s", "building (s)"), ("memory_mb", "memory (MB)"))
    best = {row["vectors"]: row["recall"] for row in recall if row["ef_search"] == 64}
    title = f"What does an index cost as it grows? (HNSW still finds {best[max(best)]:.1%} of the exact ten)"
    with panels(path, len(measures), title=title, xlabel="vectors", size=(2.45, 3.2), words=WORDS) as drawn:
        for axes, (name, label) in zip(drawn, measures, strict=True):
            for index, arm in enumerate(INDEXES):
                mine = [row for row in bench if row["arm"] == arm]
                axes.plot([row["vectors"] for row in mine], [max(row[name], 1e-3) for row in mine], label=INDEXES[arm],
                          color=COLOURS[index], marker=MARKERS[index])  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_title(label, fontsize=10)
            axes.tick_params(labelleft=True)
        drawn[0].axhline(5, color="#000000", linestyle=":", linewidth=1)
        drawn[0].annotate("5 ms", (1000, 5), xytext=(0, 3), textcoords="offset points", fontsize=8)
        legend_below(drawn[-1], columns=3)


def _bar(
    axes: Any, x: float, row: dict[str, Any], name: str, index: int, *, width: float = 0.7, label: str | None = None
) -> None:
    low, high = row[name] - row[f"{name}_low"], row[f"{name}_high"] - row[name]
    axes.bar(x, row[name], width=width, color=COLOURS[index], label=label, hatch=("", "//", "..", "xx")[index],
             edgecolor="white", linewidth=0)  # fmt: skip
    axes.errorbar(x, row[name], yerr=[[max(0.0, low)], [max(0.0, high)]], color="#000000", capsize=3, linewidth=1)


if __name__ == "__main__":
    command(main, PlotConfig)
