"""Who should choose the tool? Patterns, the model by the likelihood of names, or the model writing JSON freely.

The requests were written by hand, with traps: numbers and dates in questions for the documents, arithmetic in words.
The tools' patterns were written before them by the same authors and changed for none of them; still, authors of both
know what they have in mind, so the patterns' accuracy flatters them.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from projects.rag_agent.agents.agent import DOCUMENTS, DecisionError, FreePolicy, ModelPolicy, Policy, RulePolicy, parse
from projects.rag_agent.evaluate import bootstrap
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.studies.cells import Cell, Done, Item, complete
from projects.rag_agent.studies.retrieval import Bench
from projects.rag_agent.tools.tool_stub import ToolError, calculator
from shared.fingerprint.origin import data_digest
from shared.fingerprint.results import Row

POLICIES = ("rules", "model", "free")

# Tool and request; of the calculator also the value that has to come out.
REQUESTS: tuple[tuple[str, str, str], ...] = (
    ("calculator", "What is 12 * 7?", "84"),
    ("calculator", "How much is 1,250 divided by 8?", "156.25"),
    ("calculator", "15% of 240 please", "36"),
    ("calculator", "Compute (3 + 4) ** 2 - 1", "48"),
    ("calculator", "2 to the power of 10", "1024"),
    ("calculator", "What's the square root of 144 plus 6?", "18"),
    ("calculator", "If a ticket costs 6.50, what do 4 tickets cost? 6.50 x 4", "26"),
    ("calculator", "add 17 and 25", "42"),
    ("calculator", "How many minutes are 3 films of 95 minutes each?", "285"),
    ("calculator", "1999 - 1958", "41"),
    ("calculator", "what is seven times eight", "56"),
    ("calculator", "100 minus 37.5", "62.5"),
    ("calendar_day", "What day is it today?", ""),
    ("calendar_day", "Which weekday is 2027-01-01?", ""),
    ("calendar_day", "How many days until 2026-12-25?", ""),
    ("calendar_day", "What is the date tomorrow?", ""),
    ("calendar_day", "How many days are there between 2026-01-01 and 2026-03-01?", ""),
    ("calendar_day", "Was 1969-07-20 a Sunday?", ""),
    ("calendar_day", "Tell me the day of the week of 2000-02-29.", ""),
    ("calendar_day", "What's today's date?", ""),
    ("calendar_day", "On what day of the week does 2026-11-30 fall?", ""),
    ("calendar_day", "How long is it from today to 2027-06-01, in days?", ""),
    ("calendar_day", "Do we have Monday today?", ""),
    ("calendar_day", "days since 2020-02-02", ""),
    ("web_search", "Search the web for cinema programmes.", ""),
    ("web_search", "Look up nitrate film restoration on the web.", ""),
    ("web_search", "google film school admissions", ""),
    ("web_search", "Please search online for the Harbour Film Festival.", ""),
    ("web_search", "web search: projector frame rates", ""),
    ("web_search", "Find ticket prices on the internet.", ""),
    ("web_search", "What does the internet say about film festivals?", ""),
    ("web_search", "Search the internet for silent film nights", ""),
    ("web_search", "Can you look online whether Cinema Aurora is open on Mondays?", ""),
    ("web_search", "Look online for a film school.", ""),
    ("web_search", "Is there anything on the web about 35 mm projectors?", ""),
    ("web_search", "search for nitrate film online", ""),
    (DOCUMENTS, "Who directed Blade Runner?", ""),
    (DOCUMENTS, "In which year was 12 Angry Men released?", ""),
    (DOCUMENTS, "Name an actor in 2001: A Space Odyssey.", ""),
    (DOCUMENTS, "Which film is set on a single day in Brooklyn?", ""),
    (DOCUMENTS, "Who plays the searcher in The Searchers?", ""),
    (DOCUMENTS, "What day of the year does It's a Wonderful Life end on?", ""),
    (DOCUMENTS, "Which film tells of a web of spies in Vienna?", ""),
    (DOCUMENTS, "How many films are in the Three Colours trilogy?", ""),
    (DOCUMENTS, "What is The 400 Blows about?", ""),
    (DOCUMENTS, "Which film was released in 1958 and stars Kim Novak?", ""),
    (DOCUMENTS, "Who directed 8½ and in which year was it made?", ""),
    (DOCUMENTS, "Was Metropolis released before Sunrise?", ""),
)


@dataclass(frozen=True)
class Verdict:
    """What became of one request.

    Attributes:
        chosen: The tool, or "" where the decision could not be parsed.
        right: Whether it is the right one.
        value: For the calculator, whether the arguments give the right number; 1.0 elsewhere.
    """

    chosen: str
    right: bool
    value: bool


def measured(bench: Bench, generator: Generator) -> list[Done]:
    """Every policy on every request."""
    makers = {
        "rules": RulePolicy,
        "model": lambda: ModelPolicy(generator),
        "free": lambda: FreePolicy(generator),
    }
    digest = data_digest([list(each) for each in REQUESTS])
    done = []
    for name in POLICIES:
        cell = Cell("routing", name, {"policy": name})
        done.append(complete(bench.runs, cell, digest, lambda maker=makers[name]: _route(maker())))  # type: ignore[misc]
    return done


def _route(policy: Policy) -> Iterator[Item]:
    for tool, request, value in REQUESTS:
        verdict = judged(policy, tool, request, value)
        parsed = float(verdict.chosen != "")
        numbers = {"parsed": parsed, "right": float(verdict.right), "usable": float(verdict.right and verdict.value)}
        yield numbers, {"request": request, "tool": tool, "chosen": verdict.chosen}


def judged(policy: Policy, tool: str, request: str, value: str) -> Verdict:
    """Decide, parse strictly, and compute what a calculator was asked for."""
    try:
        action = parse(policy.decide(request))
    except DecisionError:
        return Verdict("", False, False)
    right = action.tool == tool
    if not (right and value):
        return Verdict(action.tool, right, True)
    try:
        return Verdict(action.tool, right, calculator.call(action.arguments) == value)
    except ToolError:  # whatever a tool raises arrives as this: the value did not come out
        return Verdict(action.tool, right, False)


def table(done: Sequence[Done]) -> tuple[list[dict[str, Any]], list[Row]]:
    """One row a policy: decisions that parse, name the right tool, and (calculator) give the right value."""
    rows, cited = [], []
    for each in done:
        row: dict[str, Any] = {"policy": each.cell.settings["policy"], "requests": len(each.details)}
        cells = {}
        for name in ("parsed", "right", "usable"):
            row[name], cells[name] = each.mean(name)
        low, high = bootstrap(each.values("right"), [detail["request"] for detail in each.details])
        row |= {"right_low": round(low, 4), "right_high": round(high, 4)}
        for tool in dict.fromkeys(detail["tool"] for detail in each.details):
            mine = [v for v, d in zip(each.values("right"), each.details, strict=True) if d["tool"] == tool]
            row[f"right_{tool}"] = round(statistics.mean(mine), 4)
        rows.append({**row, **each.source.columns()})
        cited.append(Row([each.source], cells))
    return rows, cited
