"""Tools: what they compute, what they refuse, and how the agent survives them."""

import math
import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.rag_agent.tools import tool_stub
from projects.rag_agent.tools.arithmetic import evaluate, expression_in
from projects.rag_agent.tools.tool_stub import TOOLS, ToolError, calculator, calendar_day, tool, web_search
from shared.errors import UserError


@pytest.fixture(autouse=True)
def _a_day(monkeypatch):
    monkeypatch.setattr(tool_stub, "today", lambda: date(2026, 11, 22))


expressions = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | inner.map(lambda e: f"-{e}")
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(expressions)
def test_arithmetic_is_pythons(expression):
    assert evaluate(expression) == eval(expression)  # the oracle; the text is ours


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("2 ** -1", 0.5),
        ("sqrt(16)", 4.0),
        ("round(2.5)", 2),
        ("pi", math.pi),
        ("1e3", 1000.0),
        ("1e5*2", 200_000),
        ("max(5,100,2)", 100),
        ("+".join(map(str, range(1, 41))), 820),
        ("1" + "+1" * 99, 100),
        ("round(1234.567, -2)", 1200),
        ("round(2.5, 0)", 2.0),
        ("round(7, -200)", 0),
    ],
)
def test_the_rest_of_arithmetic(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "10**201",
        "1" * 201,
        "(" * 60 + "1" + ")" * 60 + "*" + "9" * 150,
        "2**99999999",
        "(-8)**0.5",
        "1/0",
        "1e400",
        "1e308*10",
        "__import__('os').system('true')",
        "open('x')",
        "(1).__class__",
        "'a' * 10**9",
        "[1] * 3",
        "True + 1",
        "lambda: 1",
        "x",
        "sqrt(-1)",
        "round(1, ndigits=2)",
        "round(7, -10000000)",
        "round(7, 201)",
        "round(7, 1.5)",
        "round(1, 2, 3)",
        "1+(" * 49 + "1" + ")" * 49,
        "1 if 2 else 3",
        "",
        "1 +",
        "\0",
        "-" * 40 + "1",
        "1j",
    ],
)
def test_what_is_no_arithmetic_or_too_much_is_one_line_at_once(text):
    started = time.perf_counter()
    with pytest.raises(UserError) as caught:
        evaluate(text)
    assert time.perf_counter() - started < 0.5 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("What is 12 * 7?", "12*7"),
        ("How much is 1,250 divided by 8?", "1250/8"),
        ("15% of 240 please", "15/100*240"),
        ("2 to the power of 10", "2**10"),
        ("6 x 4", "6*4"),
        ("Who directed 2001: A Space Odyssey?", None),
        ("Which weekday is 2027-01-01?", None),
        ("In which year was 12 Angry Men released?", None),
        ("the 1960s and the 1970s", None),
        ("max(5,100,2)", "max(5,100,2)"),
        ("min((1,200 + 3), 4)", "min((1,200+3),4)"),
        ("What is (1,200 + 3) * 1,000?", "(1200+3)*1000"),
        ("1e5*2", "1e5*2"),
        ("what is 2.5e-3 + 1?", "2.5e-3+1"),
        ("1e5", None),
        ("+".join(map(str, range(1, 41))), "+".join(map(str, range(1, 41)))),
        ("1914-1918", None),
        ("Who fought in 1914–1918?", None),
        ("Call 555-1234", None),
        ("Call 1-800-555-1234", None),
        ("the plate 007-006", None),
        ("Who fought in the war (1914-1918)?", None),
        ("WW2 1939–1945", None),
        ("Call (555) 123-4567 or +1-555-123-4567", None),
        ("Who directed 8 1/2?", None),
        ("Open on 12/25/2020?", None),
        ("Open 9:30-10:30?", None),
        ("What is (2 + 3) * 4?", "(2+3)*4"),
        ("(9-4)", "(9-4)"),
        ("1999-1958", "1999-1958"),
        ("5 - 10", "5-10"),
        ("What is 5 minus 10?", "5-10"),
        ("-5-10", "-5-10"),
        ("Is Cinema Aurora open 24/7?", None),
        ("Which film is about 9/11?", None),
        ("What is 9/11 about?", None),
        ("What does 24/7 mean?", None),
        ("Who scored when Spain won 3-2?", None),
        ("Who won the final (3–2)?", None),
        ("Is 50/50 a film?", None),
        ("Tell me about 9/11, please", None),
        ("24/7", "24/7"),
        ("3-2 = ?", "3-2"),
        ("9/3 please", "9/3"),
        ("What is 24/7?", "24/7"),
        ("what's 3-2", "3-2"),
        ("How much is 9/11, please?", "9/11"),
        ("What is the result of (9/3)?", "(9/3)"),
        ("What does 9/3 equal?", "9/3"),
        ("Compute 24/7", "24/7"),
        ("Can you work out 9/11 for me?", "9/11"),
        ("Is it 24/7*2?", "24/7*2"),
        ("Take 9 / 11 and tell me", "9/11"),
        ("I have 3-2+1 of them", "3-2+1"),
        ("9/11 divided by 2", "9/11/2"),
    ],
)
def test_arithmetic_is_found_in_a_message(message, found):
    assert expression_in(message) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"day": "today"}, "2026-11-22 is a Sunday."),
        ({"day": "2026-11-22", "until": "2026-12-25"}, "2026-11-22 is a Sunday; 2026-12-25 is 33 days later."),
        ({"day": "tomorrow", "until": "today"}, "2026-11-23 is a Monday; 2026-11-22 is 1 day earlier."),
        ({"day": "2000-02-29"}, "2000-02-29 is a Tuesday."),
    ],
)
def test_the_calendar(arguments, said):
    assert calendar_day.call(arguments) == said


def test_the_search_is_simulated_says_so_and_repeats_itself():
    first = web_search.call({"query": "when does the film festival open"})
    assert first == web_search.call({"query": "when does the film festival open"})
    assert first.startswith("Simulated search: Festival news: The Harbour Film Festival")
    assert web_search.call({"query": "zebra"}) == "Simulated search: no page."


@pytest.mark.parametrize(
    ("which", "arguments", "said"),
    [
        (calculator, {}, "calculator needs the argument 'expression'"),
        (calculator, {"expression": 3}, "expression has to be text, not '3'"),
        (calculator, {"expression": "1", "x": 1}, "calculator has no argument 'x'"),
        (calculator, {"expression": "1" * 501}, "501 characters, at most 500"),
        (calculator, {"expression": "1/0"}, "divides by zero"),
        (calendar_day, {"day": "2026-02-30"}, "'2026-02-30' is no date"),
        (calendar_day, {"day": "soon"}, "'soon' is no date"),
        (web_search, {"query": " "}, "the query is empty"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(which, arguments, said):
    with pytest.raises(ToolError, match=said):
        which.call(arguments)


def test_a_tool_that_fails_or_never_ends_is_left_behind():
    @tool(lambda _: None, seconds=0.05)
    def sleeper(seconds: float) -> str:
        """Sleep."""
        time.sleep(seconds)
        return "awake"

    @tool(lambda _: None)
    def broken(text: str) -> str:
        """Fail."""
        raise RuntimeError(text)

    @tool(lambda _: None)
    def silent(count: int = 1) -> str:
        """Return something that is no text."""
        return count

    assert sleeper.call({"seconds": 0.0}) == "awake"
    with pytest.raises(ToolError, match=r"sleeper did not answer within 0.05 s"):
        sleeper.call({"seconds": 0.5})
    with pytest.raises(ToolError, match="broken failed: RuntimeError: no"):
        broken.call({"text": "no"})
    with pytest.raises(ToolError, match="silent failed"):
        silent.call({})
    with pytest.raises(ToolError, match="count has to be a whole number, not 'True'"):
        silent.call({"count": True})


def test_a_new_tool_is_one_function():
    @tool(lambda message: {"text": message[6:]} if message.startswith("shout ") else None)
    def shout(text: str) -> str:
        """Repeat a text in capitals."""
        return text.upper()

    assert shout.signature == "shout(text: text): Repeat a text in capitals."
    assert shout.call(shout.reads("shout hello")) == "HELLO"
    with pytest.raises(TypeError, match="annotated"):
        tool(lambda _: None)(lambda thing: thing)


def test_every_tool_has_a_line_for_the_model():
    assert all(each.description.endswith((".", ").")) and "\n" not in each.signature for each in TOOLS)


def test_a_tool_may_be_written_under_postponed_annotations():
    source = """
from __future__ import annotations

from projects.rag_agent.tools.tool_stub import tool


@tool(lambda message: None)
def shout(text: str, times: int = 1) -> str:
    \"\"\"Repeat a text in capitals.\"\"\"
    return text.upper() * times
"""
    made = {}
    exec(compile(source, "a user's file", "exec"), made)
    shout = made["shout"]
    assert shout.parameters == {"text": str, "times": int} and shout.required == {"text"}
    assert shout.call({"text": "a", "times": 2}) == "AA"
    with pytest.raises(TypeError, match="annotated as str"):
        exec(compile(source.replace("int = 1", "list = 1"), "a user's file", "exec"), made)


def test_every_answer_of_the_calculator_comes_within_its_time_in_truth():
    """A thread's time-out stops no operation of the interpreter: what takes long must not begin."""
    started = time.process_time()
    with pytest.raises(ToolError, match="whole number of digits"):
        calculator.call({"expression": "round(7, -10000000)"})
    assert time.process_time() - started < calculator.seconds
