"""Every table of the results, declared: what the README shows of a row of its CSV, in English and in Spanish."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from projects.qa_api.evaluate import expected_calibration_error, interval, no_answer_f1
from projects.qa_api.measure import serving
from shared.report import Views
from shared.study import (
    REPEATS,
    Column,
    Done,
    Group,
    bootstrap,
    bounds,
    mean,
    mean_sd,
    plain,
    setting,
    table,
    written,
)

TASKS = {
    "en": "English descriptions",
    "es": "Spanish descriptions",
    "across": "Spanish descriptions, English documents",
    "questions en": "English questions",
    "questions es": "Spanish questions",
}
METHODS = {"words": "BM25", "vectors": "e5 vectors", "ranks": "reciprocal ranks", "merge": "taught merge"}
READERS = {"rules": "by rules", "minilm": "MiniLM", "e5": "multilingual e5"}
LANGUAGES = {"en": "English", "es": "Spanish"}
SPANISH = {
    "Spanish descriptions, English documents": "descripciones en español, documentos en inglés",
    "English descriptions": "descripciones en inglés",
    "Spanish descriptions": "descripciones en español",
    "English questions": "preguntas en inglés",
    "Spanish questions": "preguntas en español",
    "e5 vectors": "vectores de e5",
    "reciprocal ranks": "rangos recíprocos",
    "taught merge": "fusión aprendida",
    "by rules": "por reglas",
    "multilingual e5": "e5 multilingüe",
    "English": "inglés",
    "Spanish": "español",
    "none": "ninguna",
    "answer": "respuesta",
    "clear": "clara",
}


def named(name: str, names: dict[str, str], **shown: Any) -> Column:
    """A setting by its name in tables."""
    return plain(name, lambda group: names[getattr(group[0].config, name)], **shown)


def first_mean(name: str, **shown: Any) -> tuple[Column, Column]:
    """Mean over the queries of a row's first cell, and its interval."""

    def low_high(group: Group) -> list[float]:
        return [round(bound, 4) for bound in bootstrap(group[0].values(name))]

    one = Column((name,), lambda group: [group[0].mean(name)], **shown)
    return one, Column((f"{name}_low", f"{name}_high"), low_high)


def gain(name: str) -> Column:
    """How far a row's first cell is above the better of its others, paired, with its interval."""

    def paired(group: Group) -> list[float | str]:
        better = max(group[1:], key=lambda done: statistics.fmean(done.values(name)))
        apart = [a - b for a, b in zip(group[0].values(name), better.values(name), strict=True)]
        return [round(value, 4) for value in (statistics.fmean(apart), *bootstrap(apart))]

    fields = (f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high")
    shown = f"{{{fields[0]}:+.3f}} ({{{fields[1]}:+.3f}} to {{{fields[2]}:+.3f}})"
    return Column(
        fields, paired, head="recall@10 above the better part", es="recall@10 sobre la mejor parte", show=shown
    )


def ranged(name: str) -> str:
    """A value with its interval."""
    return f"{{{name}:.3f}} ({{{name}_low:.3f}} to {{{name}_high:.3f}})"


SEARCH = table(
    "search",
    named("task", TASKS, head="queries", es="consultas"),
    named("method", METHODS, head="search", es="búsqueda"),
    plain("queries", lambda group: len(group[0].values("first")), head="n"),
    *first_mean("first", head="recall@1", show=ranged("first")),
    *first_mean("ten", head="recall@10", show=ranged("ten")),
    *first_mean("mrr", head="MRR@10", show="{mrr:.3f}"),
    gain("ten"),
    title="Which search finds the document",
    spanish=SPANISH,
)


def mean_of(name: str, head: str, es: str) -> tuple[Column, Column]:
    """Mean over questions and seeds; its interval is over questions, each the mean of the seeds."""

    def items(group: Group) -> tuple[Sequence[float], Sequence[str]]:
        each = [statistics.fmean(values) for values in zip(*(done.values(name) for done in group), strict=True)]
        return each, [str(at) for at in range(len(each))]

    return mean(name, head=head, es=es, show=ranged(name)), bounds(name, items)


def over_questions(name: str, of: Callable[[Done, Any], float], head: str, es: str) -> Column:
    """A measure that is no mean over questions: its mean over seeds, and an interval over questions."""

    def found(group: Group) -> list[float]:
        count = len(group[0].values("chance"))

        def measure(rows: Any) -> float:
            return statistics.fmean(of(done, rows) for done in group)

        return [round(value, 4) for value in (measure(np.arange(count)), *interval(measure, count))]

    return Column((name, f"{name}_low", f"{name}_high"), found, head=head, es=es, show=ranged(name))


def none_f1(done: Done, rows: Any) -> float:
    """F1 of "not in them" over some of the questions."""
    said, kinds = np.array(done.values("said_none"))[rows], np.array([one["kind"] for one in clear_or_none(done)])[rows]
    return no_answer_f1((said > 0).tolist(), (kinds == "none").tolist())


def calibration_error(done: Done) -> float:
    """Calibration error of the best candidate's chance."""
    return expected_calibration_error(np.array(done.values("chance")), np.array(done.values("right")))


def clear_or_none(done: Done) -> list[dict[str, Any]]:
    """What was said to the questions that are not ambiguous."""
    return [one for one in done.items if one["kind"] != "ambiguous"]


ANSWERS = table(
    "answers",
    named("reader", READERS, head="reader", es="lector"),
    named("language", LANGUAGES, head="questions", es="preguntas"),
    REPEATS,
    *mean_of("exact", "exact", "exacta"),
    *mean_of("f1", "F1", "F1"),
    *mean_of("given_f1", "F1, document given", "F1, documento dado"),
    mean("given_exact"),
    *mean_of("found", "document read", "documento leído"),
    over_questions("none_f1", none_f1, "F1 of “not in them”", "F1 de «no está»"),
    mean("overall", head="F1 overall", es="F1 total", show="{overall:.3f}"),
    title="Questions by hand, end to end",
    spanish=SPANISH,
)


def share(value: float | str) -> str:
    """A share, "–" of nothing."""
    return "–" if value == "" else f"{value:.3f}"


SURE = table(
    "sure",
    named("reader", READERS, head="reader", es="lector"),
    plain("seeds", lambda group: len({done.config.seed for done in group}), head="seeds", es="semillas"),
    mean("covered", head="answered when sure", es="contestadas con seguridad", show="{covered:.3f}"),
    mean("wrong", head="of these wrong", es="de ellas mal", show=lambda row, _: share(row["wrong"])),
    plain("calibration_error", lambda group: round(statistics.fmean(map(calibration_error, group)), 4),
          head="calibration error", es="error de calibración", show="{calibration_error:.3f}"),
    title="What a chance is worth",
    spanish=SPANISH,
)  # fmt: skip
CLARIFY = table(
    "clarify",
    named("reader", READERS, head="reader", es="lector"),
    named("language", LANGUAGES, head="questions", es="preguntas"),
    *mean_of("asked_ambiguous", "asks back, ambiguous", "repregunta, ambiguas"),
    *mean_of("asked_clear", "asks back, clear", "repregunta, claras"),
    title="Questions back",
    spanish=SPANISH,
)
READERS_TABLE = table(
    "readers",
    setting("model", head="reader", es="lector"),
    REPEATS,
    plain("examples", lambda group: int(group[0].last("examples")), head="made questions", es="preguntas hechas"),
    mean_sd("validation_f1", head="F1 on validation", es="F1 en validación"),
    mean_sd("answered", head="answered", es="contestadas"),
    title="Readers, on made questions of validation titles",
)
ERRORS = table(
    "errors",
    *(plain(name, lambda _: "", head=head, es=es) for name, head, es in (
        ("question", "question", "pregunta"), ("answer", "said", "dicho"), ("document", "from", "de"),
        ("right", "right", "correcto"), ("chance", "chance", "probabilidad"))),
    title="The five surest errors",
)  # fmt: skip
COVERAGE = table("coverage", *(plain(name, lambda _: "") for name in ("reader", "seed", "coverage", "wrong", "chance")))
TABLES = (SEARCH, READERS_TABLE, ANSWERS, SURE, CLARIFY, ERRORS, COVERAGE)


def worst(group: Group, most: int = 5) -> list[dict[str, Any]]:
    """The wrong answers that were surest, of the first seed."""
    found = []
    for done in [done for done in group if done.config.seed == group[0].config.seed]:
        chances = iter(zip(done.values("chance"), done.values("right"), strict=True))
        for one in clear_or_none(done):
            chance, right = next(chances)
            if not right:
                told = " / ".join(one["right"]) or "not in them"
                found.append({**{name: one[name] for name in ("question", "answer", "document")},
                              "right": told, "chance": round(chance, 3)})  # fmt: skip
    return sorted(found, key=lambda row: -row["chance"])[:most]


def covered(done: Done, steps: int = 50) -> list[dict[str, Any]]:
    """The share of wrong answers at every coverage, from the surest down."""
    chances, right = np.array(done.values("chance")), np.array(done.values("right"))
    order, found = np.argsort(-chances, kind="stable"), []
    who = {"reader": READERS[done.config.reader], "seed": done.config.seed}
    for step in range(1, steps + 1):
        first = order[: max(round(len(order) * step / steps), 1)]
        wrong = round(1 - float(right[first].mean()), 4)
        found.append({**who, "coverage": step / steps, "wrong": wrong, "chance": round(float(chances[first[-1]]), 4)})
    return found


def views(out: Path) -> Views:
    """Tables that have been written."""
    return written(out, *(each for each in (*TABLES, *serving.TABLES) if each is not COVERAGE))
