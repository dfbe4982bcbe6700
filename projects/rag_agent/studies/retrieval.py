"""Which way of searching finds the film that a question means? And which questions have no answer in the documents?"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from projects.rag_agent.config import Method
from projects.rag_agent.data import Document
from projects.rag_agent.evaluate import (
    balanced_accuracy,
    best_threshold,
    bootstrap,
    reciprocal_rank,
    resampled_means,
)
from projects.rag_agent.models.rag_module import RagRetriever, confidence
from projects.rag_agent.questions import SEARCHES, SPLITS, Question, shared_words, split_of, unanswerable_questions
from projects.rag_agent.studies.cells import Cell, Done, Item, complete
from shared.assets.splits import assign
from shared.fingerprint.origin import data_digest
from shared.fingerprint.results import Row

METHODS: tuple[Method, ...] = ("bm25", "vectors", "rrf", "hybrid")
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CONSTANTS = (1.0, 10.0, 60.0)
COSINE_SHARES = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0)
PLACES = 50  # passages of a ranking that are looked at


@dataclass(frozen=True)
class Fusion:
    """How a method is set: chosen on the films for tuning."""

    method: Method
    weight: float = 0.5
    constant: float = 10.0


@dataclass(frozen=True)
class Bench:
    """What the studies share: documents, their retriever, the questions, and where runs are kept."""

    runs: Path
    documents: list[Document]
    retriever: RagRetriever
    searches: list[Question]
    facts: list[Question]

    @property
    def split(self) -> dict[str, str]:
        """Film → tune or test."""
        return split_of(self.documents)

    def of(self, kind: str, part: str) -> list[Question]:
        """The questions of one kind on the films of one part."""
        split = self.split
        return [q for q in (*self.searches, *self.facts) if q.kind == kind and split[q.film] == part]

    def ranked(self, fusion: Fusion, questions: Sequence[Question]) -> list[list[str]]:
        """For each question the films in the order of their best passage."""
        retriever = self.retriever
        retriever.method, retriever.weight, retriever.constant = fusion.method, fusion.weight, fusion.constant
        found = retriever.search_many([question.text for question in questions], PLACES)
        return [list(dict.fromkeys(each.passage.title for each in hits)) for hits in found]


def digest(questions: Sequence[Question]) -> str:
    """What a run says of its data."""
    return data_digest([asdict(question) for question in questions])


def candidates() -> list[Fusion]:
    """Every setting that is tried on the films for tuning."""
    scores = [Fusion("hybrid", weight) for weight in WEIGHTS]
    return scores + [Fusion("rrf", weight, constant) for constant in CONSTANTS for weight in WEIGHTS]


def tuned(bench: Bench) -> tuple[dict[str, Fusion], Done]:
    """Of each fusion the setting with the best mean reciprocal rank, averaged over the three sets, on tuning films."""
    sets = {kind: bench.of(kind, "tune") for kind in SEARCHES}

    def measure() -> Iterator[Item]:
        for fusion in (Fusion("bm25"), Fusion("vectors"), *candidates()):
            ranks = {
                kind: statistics.mean(
                    reciprocal_rank(films, q.film)
                    for q, films in zip(questions, bench.ranked(fusion, questions), strict=True)
                )
                for kind, questions in sets.items()
            }
            numbers = {f"mrr_{kind}": round(value, 6) for kind, value in ranks.items()}
            mean = round(statistics.mean(ranks.values()), 6)
            yield {"mrr": mean, "weight": fusion.weight, "constant": fusion.constant, **numbers}, asdict(fusion)

    settings = {"weights": WEIGHTS, "constants": CONSTANTS, "places": PLACES}
    everything = digest([q for questions in sets.values() for q in questions])
    done = complete(bench.runs, Cell("retrieval", "tune", settings), everything, measure)
    tried = [Fusion(**each) for each in done.details]
    best = {}
    for method in ("rrf", "hybrid"):
        scored = [
            (mrr, fusion) for mrr, fusion in zip(done.values("mrr"), tried, strict=True) if fusion.method == method
        ]
        best[method] = max(scored, key=lambda pair: pair[0])[1]
    return {"bm25": Fusion("bm25"), "vectors": Fusion("vectors"), **best}, done


def measured(bench: Bench, chosen: dict[str, Fusion]) -> list[Done]:
    """Every method on every set of the test films."""
    found = []
    for kind in SEARCHES:
        questions = bench.of(kind, "test")
        for method in METHODS:
            cell = Cell("retrieval", f"{kind}-{method}", {"kind": kind, "places": PLACES, **asdict(chosen[method])})
            found.append(complete(bench.runs, cell, digest(questions), partial(_search, bench, cell, questions)))
    return found


def _search(bench: Bench, cell: Cell, questions: Sequence[Question]) -> Iterator[Item]:
    fusion = Fusion(*(cell.settings[name] for name in ("method", "weight", "constant")))
    texts = {document.title: document for document in bench.documents}
    for question, films in zip(questions, bench.ranked(fusion, questions), strict=True):
        rank = reciprocal_rank(films, question.film)
        numbers = {"recall_1": float(rank == 1), "recall_5": float(rank >= 0.2), "mrr": rank}
        shared = shared_words(question, texts[question.film])
        yield {**numbers, "shared": shared}, {"film": question.film, "question": question.text, "first": films[:1]}


def table(done: Sequence[Done]) -> tuple[list[dict[str, Any]], list[Row]]:
    """One row a set and method, with intervals over films; and where each number comes from."""
    rows, cited = [], []
    for each in done:
        films = [detail["film"] for detail in each.details]
        row: dict[str, Any] = {"questions": each.cell.settings["kind"], "method": each.cell.settings["method"]}
        row |= {name: each.cell.settings[name] for name in ("weight", "constant")}
        row |= {"films": len(set(films))}
        cells = {}
        for name in ("recall_1", "recall_5", "mrr", "shared"):
            row[name], cells[name] = each.mean(name)
        for name in ("recall_1", "recall_5", "mrr"):
            low, high = bootstrap(each.values(name), films)
            row |= {f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}
        rows.append({**row, **each.source.columns()})
        cited.append(Row([each.source], cells))
    return rows, cited


def differences(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Of each set the hybrid's MRR minus each other method's, film by film, with its interval."""
    by = {(each.cell.settings["kind"], each.cell.settings["method"]): each for each in done}
    rows = []
    for kind in SEARCHES:
        hybrid = by[kind, "hybrid"]
        films = [detail["film"] for detail in hybrid.details]
        for method in ("bm25", "vectors", "rrf"):
            gaps = [a - b for a, b in zip(hybrid.values("mrr"), by[kind, method].values("mrr"), strict=True)]
            low, high = bootstrap(gaps, films)
            mean = round(statistics.mean(gaps), 4)
            better = round(float((resampled_means(gaps, films) >= 0).mean()), 4)
            rows.append(
                {
                    "questions": kind,
                    "minus": method,
                    "mrr": mean,
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "not_worse": better,
                }
            )
    return rows


# ---------------------------------------------------------------- refusing


def confidence_cells(bench: Bench, part: str, k: int) -> dict[str, Done]:
    """Cosine and coverage of fact questions and of both kinds of unanswerable ones, on one part of the films."""
    missing = unanswerable_questions(bench.documents)
    split = assign([question.film for question in missing], [""] * len(missing), SPLITS)
    groups = {
        "answerable": [q for q in bench.facts if bench.split[q.film] == part],
        "not indexed": [q for q in missing if q.kind == "not indexed" and split[q.film] == part],
        "off topic": [q for q in missing if q.kind == "off topic" and split[q.film] == part],
    }
    cells = {}
    for kind, questions in groups.items():
        cell = Cell(
            "refusal", f"{part}-{kind.replace(' ', '_')}", {"kind": kind, "part": part, "k": k, **_ranking(bench)}
        )
        cells[kind] = complete(bench.runs, cell, digest(questions), partial(_sure, bench, questions, k))
    return cells


def _ranking(bench: Bench) -> dict[str, Any]:
    return {"method": bench.retriever.method, "weight": bench.retriever.weight}


def _sure(bench: Bench, questions: Sequence[Question], k: int) -> Iterator[Item]:
    for question, found in zip(questions, bench.retriever.search_many([q.text for q in questions], k), strict=True):
        numbers = {f"share_{share:g}": confidence(found, share) for share in COSINE_SHARES}
        yield numbers, {"question": question.text, "film": question.film}


def choose_threshold(cells: dict[str, Done]) -> tuple[float, float]:
    """(share of the cosine, threshold) with the best balanced accuracy; both kinds of unanswerable count as one."""
    best = (-1.0, 0.0, 0.0)
    for share in COSINE_SHARES:
        scores, answerable = _scores(cells, share)
        cut = best_threshold(scores, answerable)
        best = max(best, (balanced_accuracy(scores, answerable, cut), share, cut))
    return best[1], best[2]


def refusal_rows(cells: dict[str, Done], share: float, threshold: float) -> list[dict[str, Any]]:
    """Of each kind of question the share that is refused, with an interval."""
    rows = []
    for kind, done in cells.items():
        refused = [float(value < threshold) for value in done.values(f"share_{share:g}")]
        low, high = bootstrap(refused, [detail["film"] for detail in done.details])
        mean = round(statistics.mean(refused), 4)
        rows.append(
            {"questions": kind, "count": len(refused), "refused": mean, "low": round(low, 4), "high": round(high, 4)}
        )
    scores, answerable = _scores(cells, share)
    accuracy = round(balanced_accuracy(scores, answerable, threshold), 4)
    return [{**row, "cosine_share": share, "threshold": threshold, "balanced_accuracy": accuracy} for row in rows]


def _scores(cells: dict[str, Done], share: float) -> tuple[list[float], list[bool]]:
    scores = [value for done in cells.values() for value in done.values(f"share_{share:g}")]
    answerable = [kind == "answerable" for kind, done in cells.items() for _ in done.details]
    return scores, answerable


def refusal_curve(cells: dict[str, Done], share: float) -> list[dict[str, Any]]:
    """Of each kind of question the share that each threshold from 0 to 1 refuses."""
    return [
        {
            "questions": kind,
            "threshold": cut / 50,
            "refused": round(_below(done.values(f"share_{share:g}"), cut / 50), 4),
        }
        for kind, done in cells.items()
        for cut in range(51)
    ]


def _below(values: Sequence[float], cut: float) -> float:
    return statistics.mean(float(value < cut) for value in values)


def tuning_table(done: Done) -> tuple[list[dict[str, Any]], list[Row]]:
    """Every setting that was tried on the tuning films, with its mean reciprocal ranks."""
    rows, cited = [], []
    seqs = [seq for seq, record in enumerate(done.source.log.records) if "mrr" in record]
    for seq, detail in zip(seqs, done.details, strict=True):
        record = done.source.log.records[seq]
        names = [name for name in record if name.startswith("mrr")]
        rows.append({**detail, **{name: record[name] for name in names}})
        cited.append(Row([done.source], {name: done.source.window(name, seq, seq, "value") for name in names}))
    return rows, cited


def use(bench: Bench, fusion: Fusion) -> None:
    """Set the retriever that all later studies share."""
    bench.retriever.method, bench.retriever.weight, bench.retriever.constant = (
        fusion.method,
        fusion.weight,
        fusion.constant,
    )
