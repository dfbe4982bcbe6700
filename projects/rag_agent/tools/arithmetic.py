"""Arithmetic as text, walked node by node: nothing is run, and nothing may grow beyond bounds."""

import ast
import math
import operator
import re
from collections.abc import Callable
from itertools import pairwise

from shared.errors import UserError

Value = int | float
LONGEST = 200  # characters of an expression
MOST_DIGITS = 200  # of a whole number on the way
DEEPEST = 30  # brackets, signs and powers inside each other

_BINARY: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Value], Value]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "round": lambda number, *digits: _round(number, *digits),
    "min": min,
    "max": max,
    "log": math.log,
    "exp": math.exp,
}
_NAMES = {"pi": math.pi, "e": math.e}

# How people write: signs and words.
_SPELLED = (
    (re.compile(r"[×·]|(?<=[\d)]) *x *(?=[\d(])|\b(?:multiplied by|times)\b"), "*"),
    (re.compile(r"÷|\bdivided by\b|\bover\b"), "/"),
    (re.compile(r"[−–]|\bminus\b"), "-"),
    (re.compile(r"\bplus\b"), "+"),
    (re.compile(r"\^|\b(?:raised )?to the power of\b"), "**"),
    (re.compile(r"\bsquared\b"), "**2"),
    (re.compile(r"\b(?:the )?square root of (\d+(?:\.\d+)?)"), r"sqrt(\1)"),
    (re.compile(r"(\d+(?:\.\d+)?) ?(?:%|percent|per cent) of (?=\d)"), r"\1/100*"),
)
_CALL = r"(?:sqrt|abs|round|min|max|log|exp)"
_RUN = re.compile(rf"(?:(?:{_CALL}|pi)\b|\d+(?:\.\d+)?e[-+]?\d+|[\d.()+\-*/%, ])+")
_DATE = re.compile(r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{4}|\d{1,2}:\d{2})\b")  # or a time of day
_OPERATION = re.compile(rf"\d\)* *(?:\*\*|//|[-+*/%]) *[-+(]*(?:\d|{_CALL}|pi)|\b{_CALL}\(")
_THOUSANDS = re.compile(rf"(?P<call>{_CALL})?\(|\)|(?<=\d),(?=\d{{3}}(?!\d))")
_HYPHENATED = re.compile(r"[\d.]+(?:-[\d.]+)+")
# What asks for a value: a verb anywhere, or these words right before the expression and nothing of weight after it.
_VERB = re.compile(r"\b(?:calculate|compute|evaluate|solve|work out)\b")
_ASKS = re.compile(
    r"(?:\bwhat(?:['’]s| is| are| does)|\bhow (?:much|many) (?:is|are|does)|=)"
    r"(?: the (?:value|result|difference|quotient) of)? *[+(]*"
)
_ENDS = re.compile(r"[)\s,]*(?:(?:equal|make|give|come to|please)\b)?[\s?.!,=]*")
_LABEL = re.compile(r"[\d.]+(?:[-/][\d.]+)+")
_LEADING_ZERO = re.compile(r"(?<![\d.])0\d")
_APART = re.compile(r"[\d.] +[\d.]|\) *\d")


def evaluate(text: str) -> Value:
    """The value of an expression.

    >>> evaluate("2 * (3 + 4) ** 2")
    98

    Raises:
        UserError: If it is too long, no arithmetic, too large, or has no value.
    """
    if len(text) > LONGEST:
        raise UserError(f"the expression has {len(text)} characters, at most {LONGEST} are taken")
    try:
        return _bounded(_value(ast.parse(text.strip(), mode="eval").body, 0))
    except (SyntaxError, MemoryError, RecursionError):
        raise UserError(f"{text[:40]!r} is no arithmetic") from None
    except ZeroDivisionError:
        raise UserError(f"{text[:40]!r} divides by zero") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UserError(f"{text[:40]!r} has no value: {error}") from None


def _value(node: ast.expr, depth: int) -> Value:
    if depth > DEEPEST:
        raise UserError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=(int() | float()) as number):
            return _bounded(number)
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=sign, operand=inner) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(inner, depth + 1))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, depth + 1), _value(right, depth + 1))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:  # 1 + 2 + 3 nests to the left alone
            return _bounded(_BINARY[type(sign)](_value(left, depth), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=inner, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*(_value(each, depth + 1) for each in inner)))
    raise UserError(
        f"{ast.unparse(node)[:40]!r} is no arithmetic: numbers, + - * / // % ** and {', '.join(_FUNCTIONS)}"
    )


def _power(base: Value, exponent: Value) -> Value:
    """Refused before it is computed if it would not fit: 9**9**9 has 369 million digits."""
    if abs(base) > 1 and exponent * math.log10(abs(base)) > MOST_DIGITS:
        raise UserError(f"a power has more than {MOST_DIGITS} digits")
    if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) > 10_000:
        raise UserError("an exponent is larger than 10000")
    value = base**exponent
    if isinstance(value, complex):
        raise UserError("the root of a negative number is not real")
    return _bounded(value)


def _round(number: Value, digits: Value | None = None) -> Value:
    """Refused before it is computed if the digits do not fit: round(7, -10**7) makes a power of ten of as many."""
    if digits is None:
        return round(number)
    if not isinstance(digits, int) or abs(digits) > MOST_DIGITS:
        raise UserError(f"round takes a whole number of digits, at most {MOST_DIGITS}")
    return round(number, digits)


def _bounded(value: Value) -> Value:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError("the value is not finite")
    elif abs(value) >= 10**MOST_DIGITS:
        raise UserError(f"a number has more than {MOST_DIGITS} digits")
    return value


def expression_in(message: str) -> str | None:
    """The arithmetic that a message asks for, or None.

    >>> expression_in("What is 15 % of 200?")
    '15/100*200'
    >>> expression_in("Who directed 2001?") is None
    True
    >>> expression_in("Who fought in 1914-1918?") is None
    True
    >>> expression_in("Which film is set on 9/11?") is None
    True
    """
    if len(message) > 4 * LONGEST or _DATE.search(message):
        return None
    spelled = _without_thousands(message.lower())
    for pattern, sign in _SPELLED:
        spelled = pattern.sub(sign, spelled)
    runs = [run.strip(" ,.") for run in _RUN.findall(spelled)]
    found = [run for run in runs if _OPERATION.search(run) and not _names(run) and _asked_for(run, spelled)]
    return max(found, key=len).replace(" ", "") if found else None


def _without_thousands(text: str) -> str:
    """The text without the commas between thousands; inside a function's brackets a comma parts its arguments."""
    calls: list[bool] = []

    def mark(found: re.Match[str]) -> str:
        if found[0].endswith("("):
            calls.append(bool(found["call"]))
        elif found[0] == ")":
            del calls[-1:]
        elif not any(calls):
            return ""
        return found[0]

    return _THOUSANDS.sub(mark, text)


def _names(run: str) -> bool:
    """Whether it names something instead of asking for a difference: years from 1914-1918, a number like 555-1234.

    Told by a hyphen without spaces before a larger number, by a leading zero, or by two numbers with nothing but a
    space between them: the film 8 1/2, (555) 123-4567. "5 - 10" is a difference.
    """
    if _LEADING_ZERO.search(run) or _APART.search(run):
        return True
    run = run.strip("+()")
    if not _HYPHENATED.fullmatch(run):
        return False
    numbers = [float(part) for part in run.split("-") if part.count(".") < 2 and part != "."]
    return any(left < right for left, right in pairwise(numbers))


def _asked_for(run: str, message: str) -> bool:
    """Whether a message wants the value of this run.

    Numbers with nothing but a slash or a hyphen between them are a name as often as a calculation: open 24/7, the
    attacks of 9/11, a score of 3-2. They count only where the message says nothing else or asks for a value ("what is
    9/3?", "compute 24/7"). Other arithmetic (spaces, other signs, words) always counts.
    """
    if not _LABEL.fullmatch(run.strip("+()")):
        return True
    before, _, after = message.partition(run)
    alone = not re.search(r"\w", before) and bool(_ENDS.fullmatch(after))
    asked = re.search(rf"{_ASKS.pattern}$", before) and _ENDS.fullmatch(after)
    return alone or bool(asked) or bool(_VERB.search(message))
