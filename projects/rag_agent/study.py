"""`make results-rag_agent`: what is measured behind the README's tables but for speeds, and what is shown of it.

A cell is a run with one line of its log a question, request or setting. A finished one is not measured again, so the
command can be stopped and started at will. Constants are chosen on one part of the films, numbers come from the other.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from tyro.conf import Suppress

from projects.rag_agent import measure
from projects.rag_agent.agents.build import module_of
from projects.rag_agent.agents.routing import REQUESTS, route
from projects.rag_agent.analysis import plots
from projects.rag_agent.config import Config
from projects.rag_agent.corpus import vectors_of
from projects.rag_agent.evaluate import best_confidence, share_below
from projects.rag_agent.measure import Arm, Bench
from projects.rag_agent.questions import FACTS, SEARCHES, Question
from projects.rag_agent.retriever import crash
from projects.rag_agent.retriever.faiss_index import EF_CONSTRUCTION, NEIGHBOURS
from projects.rag_agent.retriever.growth import graph_recall
from shared import study
from shared.devices import describe_environment
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint.citations import pooled
from shared.fingerprint.origin import data_digest
from shared.report import put_tables, read_csv
from shared.study import Column, Done, Group, Item, Table, bounds, mean, only_shown, origin, plain

RESULTS = Path("projects/rag_agent/results")
WEIGHTS, CONSTANTS = tuple(tenths / 10 for tenths in range(1, 10)), (1.0, 10.0, 60.0)
GRID = [("bm25", 0.5, 10.0), ("vectors", 0.5, 10.0), *(("hybrid", weight, 10.0) for weight in WEIGHTS)]
GRID += [("rrf", weight, constant) for constant in CONSTANTS for weight in WEIGHTS]
COSINE_SHARES = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0)
READINGS = (("answer", 1), ("answer_turns", 1), ("answer_turns", 2))  # template, passages
SIZES = {"tune": 24, "test": 50}  # fact questions of each kind
GROWN = (1_000, 10_000, 100_000)  # vectors in an index whose graph is compared with exact search
EF_SEARCH, QUERIES, NEAREST = (16, 32, 64, 128, 256), 500, 10
STEPS = 50  # of the threshold in the curve of what is refused
SCORES = {
    "exact": ("exact match", "acierto exacto"),
    "f1": ("F1", "F1"),
    "named": ("names it", "la nombra"),
    "in_passages": ("it stands in its passages", "está en sus pasajes"),
    "faithful": ("faithful", "fiel"),
}
SPANISH = {
    "names": "nombres", "reworded": "reformuladas", "other words": "otras palabras", "vectors": "vectores",
    "both, ranks fused (RRF)": "ambos, rangos fusionados (RRF)", "both, scores fused": "ambos, puntuaciones fusionadas",
    "SmolLM2 alone": "SmolLM2 solo", "with retrieved passages": "con los pasajes recuperados",
    "with the right passage": "con el pasaje correcto", "something else (TREC)": "otra cosa (TREC)",
    "fact about a film in the index": "dato de una película del índice",
    "fact about a film that is not": "dato de una que no está", "the tools' patterns": "patrones de las herramientas",
    "likelihood of the names": "verosimilitud de los nombres", ", exact": ", exacta",
    "JSON as the model writes it": "JSON tal como lo escribe el modelo",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Config):
    """Measure everything behind the README's tables but speeds."""

    backend: Suppress[Literal["transformers", "engine"]] = "transformers"
    runs: Path = Path("runs/rag_agent/results")
    """Where cells and embeddings are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which cells


def measured(
    runs: Path, place: str, settings: dict[str, Any], data: Sequence[Any], take: Callable[[Any], Iterable[Item]]
) -> Done:
    """The finished cell of these settings on these questions, requests or texts."""
    digest = data_digest([asdict(each) if isinstance(each, Question) else each for each in data])
    folder, name = place.split("/")
    cell = measure.Cell(folder, name, settings)
    return study.log_items(runs / place, cell, lambda: take(data), project="rag_agent", data=digest)


def fusions_tried(bench: Bench, runs: Path) -> Done:
    """Every way of ranking on the tuning films."""
    fusions = [{"method": method, "weight": weight, "constant": constant} for method, weight, constant in GRID]
    settings = {"weights": WEIGHTS, "constants": CONSTANTS, "places": measure.PLACES}
    take = partial(measure.fusing, retriever=bench.retriever, fusions=fusions)
    return measured(runs, "retrieval/tune", settings, bench.of("tune", *SEARCHES), take)


def best_fusion(tried: Done, method: str) -> dict[str, Any]:
    """The setting of a method with the best mean reciprocal rank; of equals the first."""
    mine = [(mrr, kept) for mrr, kept in zip(tried.values("mrr"), tried.items, strict=True) if kept["method"] == method]
    return max(mine, key=lambda pair: pair[0])[1]


def searched(bench: Bench, runs: Path, kind: str, fusion: dict[str, Any]) -> Done:
    """A way of ranking on a set of the test films."""
    take = partial(measure.searching, retriever=bench.retriever, fusion=fusion, documents=bench.documents)
    settings = {"kind": kind, "places": measure.PLACES, **fusion}
    return measured(runs, f"retrieval/{kind}-{fusion['method']}", settings, bench.of("test", kind), take)


def refused(bench: Bench, runs: Path, k: int) -> list[Done]:
    """Refusals on the test films, by the share of the cosine and the threshold that are best on the tuning films."""

    def cells(part: str, take: Callable[[Any], Iterable[Item]], **chosen: float) -> list[Done]:
        settings = {"part": part, "k": k, **bench.ranking, **chosen}
        asked = {kind: bench.of(part, *(FACTS if kind == "answerable" else (kind,))) for kind in plots.REFUSED}
        return [
            measured(runs, f"refusal/{part}-{kind.replace(' ', '_')}", {"kind": kind, **settings}, questions, take)
            for kind, questions in asked.items()
        ]

    tried = cells("tune", partial(measure.confidences, retriever=bench.retriever, k=k, shares=COSINE_SHARES))
    scores = {share: values(tried, f"share_{share:g}") for share in COSINE_SHARES}
    answerable = [done.config.settings["kind"] == "answerable" for done in tried for _ in done.items]
    share, threshold = best_confidence(scores, answerable)
    take = partial(measure.refusing, retriever=bench.retriever, k=k, share=share, threshold=threshold)
    return cells("test", take, cosine_share=share, threshold=threshold)


def answered(bench: Bench, runs: Path, config: Config, arm: Arm, part: str, reading: tuple[str, int]) -> list[Done]:
    """An arm on each kind of fact."""
    template, k = "closed_book_turns" if arm == "closed_book" else reading[0], reading[1]
    settings = {"arm": arm, "part": part, "template": template, "k": k, **bench.ranking}
    settings |= {"tokens": config.answer_tokens, "budget": config.budget}
    module = module_of(config, bench.retriever, bench.generator, template)
    take = partial(measure.answering, module=module, arm=arm, k=k)
    asked = {kind: bench.drawn(part, kind, SIZES[part]) for kind in FACTS}
    return [
        measured(runs, f"answers/{part}-{arm}-{kind}-{template}-k{k}", {"kind": kind, **settings}, questions, take)
        for kind, questions in asked.items()
    ]


def grown(runs: Path, size: int) -> Done:
    """Recall of the graph among so many vectors, for queries that are not among those of any size."""
    texts, vectors = vectors_of(max(GROWN) + QUERIES, runs / "sentences.sqlite")
    take = partial(graph_recall, vectors[:size], vectors[max(GROWN) :], EF_SEARCH, NEAREST)
    settings = {"size": size, "k": NEAREST, "m": NEIGHBOURS, "ef_construction": EF_CONSTRUCTION, "queries": QUERIES}
    return measured(runs, f"growth/hnsw-{size}", settings, texts[:size], lambda _: take())


def killed(runs: Path) -> Done:
    """State of an index whose process was killed while it saved."""
    config = crash.CrashConfig()
    take = lambda _: (({k: v for k, v in row.items() if k != "error"}, row) for row in crash.main(config))  # noqa: E731
    return measured(runs, "crash/kills", asdict(config), [], take)


# ---------------------------------------------------------------- what is shown of them


@dataclass(frozen=True)
class Line(Done):
    """A row that is one line of a cell's log, or one point of a curve over all of them."""

    number: int = 0


def lines(done: Done, metric: str) -> list[list[Done]]:
    """A row's cells for each line that has a metric."""
    found = [number for number, record in enumerate(done.source.log.records) if metric in record]
    return [[Line(**vars(done), number=number)] for number in found]


def on_line(name: str) -> Column:
    """Value of a row's line, or else what was kept of its item."""

    def cited(group: Sequence[Any]) -> list[Any]:
        (line,) = group
        record = line.source.log.records[line.number]
        logged = line.source.window(name, line.number, line.number, "value")
        return [logged if name in record else line.items[record["step"]][name]]

    return Column((name,), cited)


def said(name: str, labels: dict[str, str] | None = None, setting: str = "", cell: int = 0, **shown: Any) -> Column:
    """A setting of one of a row's cells; `labels`: what the README calls its values."""
    show = {"show": lambda row, _: labels[row[name]]} if labels else {}
    return plain(name, lambda group: group[cell].config.settings[setting or name], **shown, **show)


def pooled_mean(name: str, show: str = "", **shown: Any) -> Column:
    """Mean over the items of all cells of a row, "" if they lack the metric: the README has a dash then."""

    def cited(group: Group) -> list[Any]:
        return [pooled([done.mean(name) for done in group], "mean", digits=6) if group[0].values(name) else ""]

    return Column((name,), cited, show=show or (lambda row, _: f"{row[name]:.3f}" if row[name] != "" else "–"), **shown)


def values(group: Group, metric: str) -> list[float]:
    """A metric of every item of some cells."""
    return [value for done in group for value in done.values(metric)]


def kept(group: Group, what: str) -> list[str]:
    """What was kept of every item of some cells."""
    return [item[what] for done in group for item in done.items]


def spread_of(name: str, by: str = "film") -> Column:
    """The interval of a mean over a row's items, where those about one film are not independent."""
    return bounds(name, lambda group: (values(group, name), kept(group, by)))


def gap(group: Group) -> list[Any]:
    """The MRR of a row's first cell less that of its second, film by film, with its interval and P(not worse)."""
    gaps = [ours - theirs for ours, theirs in zip(*(done.values("mrr") for done in group), strict=True)]
    films = kept(group[:1], "film")
    not_worse = round(float((study.resampled_means(gaps, films) >= 0).mean()), 4)
    return [round(statistics.mean(gaps), 4), *bounds("mrr", lambda _: (gaps, films)).of(group), not_worse]


def right_of(tool: str, group: Group) -> float:
    """How often the requests for one tool get it."""
    pairs = zip(values(group, "right"), kept(group, "tool"), strict=True)
    return round(statistics.mean(right for right, each in pairs if each == tool), 4)


within = "{{{0}:.3f}} ({{{0}_low:.3f}} to {{{0}_high:.3f}})".format  # a mean with its interval


def crossed(name: str, first: Column, fields: dict[str, tuple[str, str]]) -> Table:
    """A view of what `across` gives: field → its two headings."""
    return Table(name, (first, *(only_shown(*heads, f"{{{field}:.3f}}") for field, heads in fields.items())))


ITEMS = plain("questions", lambda group: len(kept(group, "film")), head="questions", es="preguntas")
SET = said("questions", plots.SETS, "kind", head="questions", es="preguntas")
TUNED = ("constant", "method", "weight", "mrr", *(f"mrr_{kind}" for kind in SEARCHES))
TUNING = Table("tuning", (*map(on_line, TUNED),), keep_logs=True)
RETRIEVAL = Table(
    "retrieval",
    (
        SET,
        said("method", plots.METHODS, head="method", es="método"),
        *map(said, ("weight", "constant")),
        plain("films", lambda group: len(set(kept(group, "film"))), head="films", es="películas"),
        mean("recall_1", head="recall@1", show=within("recall_1")),
        mean("recall_5", head="recall@5", show=within("recall_5")),
        mean("mrr", head="MRR", show=within("mrr")),
        mean("shared", head="words shared", es="palabras compartidas", show="{shared:.0%}"),
        *map(spread_of, ("recall_1", "recall_5", "mrr")),
        origin(),
    ),
    "Retrieval, test films",
    order=("questions", "words shared", "method", "recall@1", "recall@5", "MRR", "films"),
    keep_logs=True,
)
DIFFERENCES = Table(
    "differences",
    (
        SET,
        said("minus", plots.METHODS, "method", 1, head="scores fused minus", es="fusión de puntuaciones menos"),
        Column(("mrr", "low", "high", "not_worse"), gap, "MRR", show="{mrr:+.3f} ({low:+.3f} to {high:+.3f})"),
    ),
    made_from=("retrieval",),
)
REFUSAL = Table(
    "refusal",
    (
        said("questions", plots.REFUSED, "kind", head="question", es="pregunta"),
        replace(ITEMS, names=("count",)),
        mean("refused", head="refused", es="rechazadas", show="{refused:.3f} ({low:.3f} to {high:.3f})"),
        replace(spread_of("refused"), names=("low", "high")),
        *map(said, ("cosine_share", "threshold")),
        only_shown("ideal", "ideal", lambda row, _: "0" if row["questions"] == "answerable" else "1"),
    ),
    order=("question", "refused", "ideal", "questions"),
    keep_logs=True,
)
CURVE = Table(
    "refusal_curve",
    (
        said("questions", setting="kind"),
        plain("threshold", lambda group: group[0].number / STEPS),  # type: ignore[attr-defined]
        plain("refused", lambda group: share_below(values(group, "confidence"), group[0].number / STEPS)),  # type: ignore[attr-defined]
    ),
    made_from=("refusal",),
)
ANSWERS = Table(
    "answers",
    (
        *map(said, ("arm", "kind")),
        ITEMS,
        *map(said, ("k", "template")),
        *map(mean, SCORES),
        *map(spread_of, ("exact", "f1")),
        origin(),
    ),
    keep_logs=True,
)
OVERALL = Table(
    "answers_overall",
    (
        said("arm", plots.ARMS, head="the model answers", es="el modelo contesta"),
        ITEMS,
        *(
            column
            for name, (head, es) in SCORES.items()
            for column in (
                pooled_mean(name, head=head, es=es, show=within(name) if name in ("exact", "f1") else ""),
                spread_of(name),
            )
        ),
    ),
    "Answers, test films",
    order=("the model answers", *(head for head, _ in SCORES.values()), "questions"),
    made_from=("answers",),
)
KINDS = crossed(
    "kinds",
    only_shown("exact match", "acierto exacto", lambda row, _: plots.ARMS[row["arm"]]),
    {"year": ("year", "año"), "director": ("director", "director"), "cast": ("cast", "reparto")},
)
ROUTING = Table(
    "routing",
    (
        said("policy", plots.POLICIES, head="the tool is chosen by", es="elige la herramienta"),
        plain("requests", lambda group: len(group[0].items), head="requests", es="peticiones"),
        mean("parsed", head="decision parses", es="decisión legible", show="{parsed:.3f}"),
        mean("right", head="right tool", es="herramienta correcta", show=within("right")),
        mean("usable", head="right tool and arguments", es="herramienta y argumentos correctos", show="{usable:.3f}"),
        spread_of("right", "request"),
        *(plain(f"right_{tool}", partial(right_of, tool)) for tool in dict.fromkeys(tool for tool, _, _ in REQUESTS)),
        origin(),
    ),
    order=("the tool is chosen by", "decision parses", "right tool", "right tool and arguments", "requests"),
    keep_logs=True,
)
RECALL = Table("recall", (said("vectors", setting="size"), on_line("ef_search"), on_line("recall")), keep_logs=True)
CRASH = Table("crash", (*map(on_line, ("round", "loads", "version", "new", "rubbish", "error")),), keep_logs=True)
FOUND = crossed(
    "recall",
    only_shown("vectors", "vectores", "{vectors:,}"),
    {f"ef_{number}": (f"efSearch {number}", "") for number in EF_SEARCH},
)
BENCH = Table(
    "bench",
    (
        only_shown("index", "índice", lambda row, _: plots.INDEXES[row["arm"]]),
        only_shown("vectors", "vectores", "{vectors:,}"),
        only_shown("search, p50", "búsqueda, p50", "{p50_ms:.2f} ms"),
        only_shown("p95", "p95", "{p95_ms:.2f} ms"),
        only_shown("build", "construir", "{build_s:.2f} s"),
        only_shown("save", "guardar", "{save_s:.2f} s"),
        only_shown("load", "cargar", lambda row, _: "–" if row["arm"] == "milvus" else f"{row['load_s']:.2f} s"),
        only_shown("memory", "memoria", "{memory_mb:.0f} MB"),
        only_shown("file", "archivo", "{file_mb:.0f} MB"),
    ),
    spanish=SPANISH,
)


def across(table: Path, row_of: str, field: str, value: str) -> list[dict[str, Any]]:
    """A row for each value of a field, whose fields are named by another (format `field`)."""
    found: dict[Any, dict[str, Any]] = {}
    for row in read_csv(table):
        found.setdefault(row[row_of], {row_of: row[row_of]})[field.format(**row)] = row[value]
    return list(found.values())


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows; the benchmark's where there has been one."""
    blocks = {"retrieval": RETRIEVAL, "answers": OVERALL, "refusal": REFUSAL, "routing": ROUTING}
    blocks |= {"differences": DIFFERENCES}
    blocks |= {"bench": BENCH} if (out / "bench.csv").exists() else {}
    found = {block: (table, read_csv(out / f"{table.name}.csv")) for block, table in blocks.items()}
    found["kinds"] = KINDS, across(out / "answers.csv", "arm", "{kind}", "exact")
    found["recall"] = FOUND, across(out / "recall.csv", "vectors", "ef_{ef_search:g}", "recall")
    return {block: (replace(table, spanish=SPANISH), rows) for block, (table, rows) in found.items()}


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Choose constants on one part of the films, measure retrieval, refusal and answers on the other."""
    base, runs, out = config.base, config.runs, config.out
    for folder in (runs, out):
        refuse_unwritable(folder)
    bench = measure.open_bench(base, runs / "embeddings.sqlite")
    write = partial(study.publish, out=out, project="rag_agent")
    tried = fusions_tried(bench, runs)
    write(TUNING, lines(tried, "mrr"))
    fusions = {method: best_fusion(tried, method) for method in plots.METHODS}
    found = [[searched(bench, runs, kind, fusions[method]) for method in plots.METHODS] for kind in SEARCHES]
    RETRIEVAL.print(write(RETRIEVAL, [[done] for cells in found for done in cells]))
    write(DIFFERENCES, [[hybrid, other] for *others, hybrid in found for other in others])
    bench.retriever.rank_by(**fusions[base.method])
    tested = refused(bench, runs, base.k)
    chosen = write(REFUSAL, [[done] for done in tested])[0]
    write(CURVE, [[Line(**vars(done), number=cut)] for done in tested for cut in range(STEPS + 1)])
    readings = {each: answered(bench, runs, base, "retrieved", "tune", each) for each in READINGS}
    reading = max(READINGS, key=lambda each: statistics.fmean(values(readings[each], "f1")))
    asked = [answered(bench, runs, base, arm, "test", reading) for arm in get_args(Arm)]
    write(ANSWERS, [[done] for cells in asked for done in cells])
    OVERALL.print(write(OVERALL, asked))
    routed = {name: partial(route, name=name, generator=bench.generator) for name in plots.POLICIES}
    write(ROUTING, [[measured(runs, f"routing/{n}", {"policy": n}, REQUESTS, take)] for n, take in routed.items()])
    write(RECALL, [row for size in GROWN for row in lines(grown(runs, size), "recall")])
    write(CRASH, lines(killed(runs), "loads"))
    constants = {"weight": fusions["hybrid"]["weight"], "template": reading[0], "k": reading[1]}
    write_json(out / "chosen.json", constants | {name: chosen[name] for name in ("cosine_share", "threshold")})
    write_json(out / "environment.json", describe_environment())
    plots.main(plots.PlotConfig(results=out))
    put_tables(out, views(out))


if __name__ == "__main__":
    command(main, StudyConfig)
