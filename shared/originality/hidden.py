"""Code hidden in strings that are run: found, flagged, and read as code; never run here either."""

import ast
import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from shared.originality.names import walk
from shared.originality.text import parse

RUNNERS = frozenset({"exec", "eval", "compile", "runsource", "runcode", "run_path", "run_module", "execfile"})
MAX_STRINGS = 200  # looked at in one file
MAX_NESTING = 3  # exec inside exec inside exec


@dataclass(frozen=True)
class Hidden:
    """A string that is code.

    Attributes:
        line: Where the string starts in the file.
        text: The code.
        tree: The code, parsed.
        how: `exec string` or `base64 string`.
    """

    line: int
    text: str
    tree: ast.Module
    how: str


def may_run_text(text: str) -> bool:
    """A look at the text that saves a walk over most trees; outside ASCII, names can be spelt in several ways."""
    return not text.isascii() or any(word in text for word in (*RUNNERS, "getattr"))


def runners(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and name of everything that runs text as code, called, aliased or reached through getattr."""
    found = []
    for node in walk(tree):
        if isinstance(node, ast.Name) and node.id in ("exec", "eval", "execfile"):
            found.append((node.lineno, node.id))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "compile":
            found.append((node.lineno, "compile"))
        elif isinstance(node, ast.Attribute) and node.attr in RUNNERS and _is_runtime_module(node.value):
            found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call) and _named(node.func, "getattr") and len(node.args) > 1:
            wanted = literal_text(node.args[1])
            if wanted in RUNNERS:
                found.append((node.lineno, f"getattr(…, {wanted!r})"))
    return sorted(set(found))


def _is_runtime_module(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _named(node.func, "__import__")
    return isinstance(node, ast.Name) and node.id in ("builtins", "__builtins__", "runpy", "code")


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def hidden_code(tree: ast.Module, nesting: int = 0) -> Iterator[Hidden]:
    """Strings of a file that are code, if the file runs strings at all; code inside that code as well."""
    if nesting >= MAX_NESTING or not runners(tree):
        return
    looked = 0
    inside: set[int] = set()
    for node in ast.walk(tree):
        text = literal_text(node) if id(node) not in inside else None
        if text is None or looked >= MAX_STRINGS:
            continue
        inside.update(id(part) for part in ast.walk(node))
        looked += 1
        line = getattr(node, "lineno", 1)
        for code, how in ((text, "exec string"), (_decoded(text), "base64 string")):
            found = _code(code)
            if found is not None:
                yield Hidden(line, code, found, how)
                for deeper in hidden_code(found, nesting + 1):
                    yield Hidden(line, deeper.text, deeper.tree, deeper.how)


def literal_text(node: ast.AST) -> str | None:
    """Text of a constant, of constants added or joined, of an f-string (its fields as names); None for the rest."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return node.value.decode("latin-1")
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = literal_text(node.left), literal_text(node.right)
        return left + right if left is not None and right is not None else None
    if isinstance(node, ast.JoinedStr):
        return "".join(literal_text(part) or "field" for part in node.values)
    is_join = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"
    if is_join and len(node.args) == 1 and isinstance(node.args[0], (ast.List, ast.Tuple)):  # type: ignore[attr-defined]
        glue = literal_text(node.func.value)  # type: ignore[attr-defined]
        parts = [literal_text(part) for part in node.args[0].elts]  # type: ignore[attr-defined]
        if glue is not None and all(part is not None for part in parts):
            return glue.join(part for part in parts if part is not None)
    return None


def _code(text: str) -> ast.Module | None:
    """The tree of a text that does something; words and expressions that happen to parse are not code."""
    if len(text) < 20 or not any(mark in text for mark in "=(:"):
        return None
    tree, _ = parse(text)
    if tree is None or not any(
        not isinstance(item, ast.Expr) or isinstance(item.value, ast.Call) for item in tree.body
    ):
        return None
    return tree


def _decoded(text: str) -> str:
    if len(text) < 20 or len(text) % 4:
        return ""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
