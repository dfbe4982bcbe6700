"""Who should choose the tool? Patterns, the model by the likelihood of names, or the model writing JSON freely.

The requests were written by hand, with traps: numbers and dates in questions for the documents, arithmetic in words.
The tools' patterns were written before them by the same authors and changed for none of them; still, authors of both
know what they have in mind, so the patterns' accuracy flatters them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from projects.rag_agent.agents.agent import DOCUMENTS, DecisionError, Policy, parse, policy_of
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.tools.tool_stub import ToolError, calculator

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
    """Outcome of one request.

    Attributes:
        chosen: The tool, or "" where the decision could not be parsed.
        right: Whether it is the right one.
        value: For the calculator, whether the arguments give the right number; 1.0 elsewhere.
    """

    chosen: str
    right: bool
    value: bool


def route(
    requests: Sequence[tuple[str, str, str]], name: str, generator: Generator
) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    """Whether a policy's decision on each request parses, names the right tool, and (calculator) the right value."""
    policy = policy_of(name, generator)
    for tool, request, value in requests:
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
