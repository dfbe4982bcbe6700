"""Formulas as text, interpreted node by node: what comes from outside is never run.

Numbers, variables, + - * / // % **, comparisons, `a if condition else b`, and the functions of FUNCTIONS.
"""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from shared.errors import UserError

LONGEST = 400  # characters
LARGEST = 1e100  # an exponent may not build a number that fills the memory

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def rounded(value: float, digits: int = 0) -> float:
    """Python's `round` to at most a hundred digits: with so many before the point it would fill the memory.

    Raises:
        ValueError: If there are more digits.
    """
    if abs(digits) > 100:
        raise ValueError("too many digits")
    return round(value, digits) if digits else round(value)


FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "hypot": math.hypot,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": rounded,
    "abs": abs,
    "min": min,
    "max": max,
}


def evaluate(text: str, variables: dict[str, float]) -> float:
    """The value of a formula.

    >>> evaluate("r * (d + 2) if r > 1 else sqrt(d)", {"r": 3, "d": 4})
    18

    Raises:
        UserError: If it is too long, no expression, uses a name that is not a variable, or has no finite value.
    """
    if len(text) > LONGEST:
        raise UserError(f"la expresión pasa de {LONGEST} caracteres")
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body, variables)
        finite = math.isfinite(value)  # refuses complex numbers too, and whole ones beyond a float
    except (SyntaxError, RecursionError, MemoryError):
        raise UserError(f"{text[:40]!r} no es una expresión") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UserError(f"{text[:40]!r} no tiene valor: {error}") from None
    if not finite:
        raise UserError(f"{text[:40]!r} no tiene un valor finito")
    return value


def _value(node: ast.expr, variables: dict[str, float]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in variables:
            return variables[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(operand, variables))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, variables), _value(right, variables))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _bounded(OPERATORS[type(op)](_value(left, variables), _value(right, variables)))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, variables), _value(right, variables))
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _value(test, variables) else otherwise, variables)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(arg, variables) for arg in args))
        case ast.Name(id=name):
            known = ", ".join(sorted({*variables, *FUNCTIONS}))
            raise UserError(f"el nombre {name!r} no está definido; hay: {known}")
    raise UserError(f"no se admite {ast.unparse(node)[:40]!r}: solo números, variables y operaciones")


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > 1000 or (abs(base) > 1 and exponent * math.log(abs(base)) > math.log(LARGEST)):
        raise UserError("una potencia es demasiado grande")
    value = base**exponent
    if isinstance(value, complex):
        raise UserError("una raíz par de un número negativo no es un número real")
    return _bounded(value)


def _bounded(value: float) -> float:
    """Whole numbers have no largest of their own: a product of products would fill the memory."""
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"un número entero pasa de {LARGEST:g}")
    return value
