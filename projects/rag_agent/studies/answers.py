"""How good are the answers to questions of fact, and is it retrieval or reading that they lack?

closed_book   the model alone
retrieved     with the passages that the retriever brings: the system as it is
right         with the passage of the right film that states the answer: what a perfect retriever would give
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from projects.rag_agent.config import Config
from projects.rag_agent.evaluate import bootstrap, exact_match, f1, holds
from projects.rag_agent.models.generator import BATCH, Generator
from projects.rag_agent.models.rag_module import Found, RagModule, citations
from projects.rag_agent.prompts import TEMPLATES, Message
from projects.rag_agent.questions import FACTS, Question
from projects.rag_agent.studies.cells import Cell, Done, Item, complete
from projects.rag_agent.studies.retrieval import Bench, digest
from shared.assets.splits import shuffled
from shared.fingerprint.results import Row

ARMS = ("closed_book", "retrieved", "right")
TUNED_ON, TESTED_ON = 24, 50  # questions of each kind


@dataclass(frozen=True)
class Reading:
    """How the model is asked: chosen on the films for tuning."""

    template: str
    k: int


READINGS = (Reading("answer", 1), *(Reading("answer_turns", k) for k in (1, 2)))


def sample(bench: Bench, kind: str, part: str, size: int) -> list[Question]:
    """So many questions of a kind, drawn without regard to anything but the titles' digests."""
    return sorted(bench.of(kind, part), key=lambda question: shuffled(question.text))[:size]


def tuned(bench: Bench, generator: Generator, config: Config) -> tuple[Reading, list[Done]]:
    """The prompt and the number of passages with the best F1 on the films for tuning."""
    scores: dict[Reading, float] = {}
    cells = []
    for reading in READINGS:
        done = [
            _cell(bench, generator, config, reading, "retrieved", kind, "tune", TUNED_ON, name="tune") for kind in FACTS
        ]
        scores[reading] = statistics.mean(each.mean("f1")[0] for each in done)
        cells += done
    return max(scores, key=lambda reading: scores[reading]), cells


def measured(bench: Bench, generator: Generator, config: Config, reading: Reading) -> list[Done]:
    """Every arm on every kind of question about the test films."""
    return [
        _cell(bench, generator, config, reading, arm, kind, "test", TESTED_ON, name="test")
        for arm in ARMS
        for kind in FACTS
    ]


def _cell(
    bench: Bench,
    generator: Generator,
    config: Config,
    reading: Reading,
    arm: str,
    kind: str,
    part: str,
    size: int,
    *,
    name: str,
) -> Done:
    questions = sample(bench, kind, part, size)
    template = "closed_book_turns" if arm == "closed_book" else reading.template
    settings = {
        "arm": arm,
        "kind": kind,
        "part": part,
        "template": template,
        "k": reading.k,
        "tokens": config.answer_tokens,
    }
    settings |= {"budget": config.budget, "weight": bench.retriever.weight, "method": bench.retriever.method}
    cell = Cell("answers", f"{name}-{arm}-{kind}-{template}-k{reading.k}", settings)
    return complete(bench.runs, cell, digest(questions), lambda: _ask(bench, generator, config, cell, questions))


def _ask(
    bench: Bench, generator: Generator, config: Config, cell: Cell, questions: Sequence[Question]
) -> Iterator[Item]:
    module = RagModule(bench.retriever, generator, config, TEMPLATES[cell.settings["template"]])
    given = [_given(bench, cell, question) for question in questions]
    prompts = [_prompt(module, cell, question, found) for question, found in zip(questions, given, strict=True)]
    answers: list[str] = []
    for start in range(0, len(prompts), BATCH):
        answers += generator.answer(prompts[start : start + BATCH], max_tokens=config.answer_tokens)
    for question, found, text in zip(questions, given, answers, strict=True):
        stands = holds(" ".join(each.passage.searched for each in found), question.answers)
        numbers = {"exact": exact_match(text, question.answers), "f1": f1(text, question.answers)}
        numbers |= {"named": float(holds(text, question.answers))}
        if cell.settings["arm"] != "closed_book":
            numbers |= {"in_passages": float(stands), "faithful": float(bool(citations(text, found, question.text)))}
        kept = {"question": question.text, "film": question.film, "answer": text, "right": list(question.answers)}
        yield numbers, kept


def _given(bench: Bench, cell: Cell, question: Question) -> list[Found]:
    arm, k = cell.settings["arm"], cell.settings["k"]
    if arm == "closed_book":
        return []
    found = bench.retriever.search(question.text, 50)
    if arm == "retrieved":
        return found[:k]
    own = [each for each in found if each.passage.document == question.film]
    return [each for each in own if holds(each.passage.text, question.answers)][:1] or found[:1]


def _prompt(module: RagModule, cell: Cell, question: Question, found: Sequence[Found]) -> list[Message]:
    if cell.settings["arm"] == "closed_book":
        return module.template.messages(question=question.text)
    return module.prompt(question.text, found)[0]


def table(done: Sequence[Done]) -> tuple[list[dict[str, Any]], list[Row]]:
    """One row an arm and kind; with passages also how often a right answer stands in them, and the given one does."""
    rows, cited = [], []
    for each in done:
        films = [detail["film"] for detail in each.details]
        row: dict[str, Any] = {"arm": each.cell.settings["arm"], "kind": each.cell.settings["kind"]}
        row |= {"questions": len(films), "k": each.cell.settings["k"], "template": each.cell.settings["template"]}
        cells = {}
        for name in ("exact", "f1", "named", "in_passages", "faithful"):
            if each.values(name):
                row[name], cells[name] = each.mean(name)
            else:
                row[name] = ""
        for name in ("exact", "f1"):
            low, high = bootstrap(each.values(name), films)
            row |= {f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}
        rows.append({**row, **each.source.columns()})
        cited.append(Row([each.source], cells))
    return rows, cited


def overall(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Each arm over all kinds of question, with intervals over films."""
    rows = []
    for arm in ARMS:
        mine = [each for each in done if each.cell.settings["arm"] == arm]
        films = [detail["film"] for each in mine for detail in each.details]
        row: dict[str, Any] = {"arm": arm, "questions": len(films)}
        for name in ("exact", "f1", "named", "in_passages", "faithful"):
            values = [value for each in mine for value in each.values(name)]
            row[name] = round(statistics.mean(values), 6) if values else ""
            low, high = bootstrap(values, films) if values else ("", "")
            row |= {f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}
        rows.append(row)
    return rows


def _rounded(value: float | str) -> float | str:
    return round(value, 4) if isinstance(value, float) else value
