"""Disguises of the surface: layout, names, the order of definitions, literals."""

import ast
import builtins
from random import Random

from shared.originality.names import BUILTINS

_REMARKS = (
    "adjusted after review",
    "see the notes",
    "keep in step with the caller",
    "tested by hand",
    "could be faster",
)
_SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "je",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "qui",
    "ro",
    "su",
    "ta",
    "ve",
    "wi",
    "xo",
    "yu",
    "za",
    "bre",
    "cli",
    "dro",
    "fle",
    "gri",
    "plo",
    "stu",
    "tra",
    "vro",
]
_METHODS = frozenset(name for kind in (str, bytes, list, dict, set, int, float) for name in dir(kind))


def comments_and_format(text: str, rng: Random) -> str:
    """Other comments, no docstrings, other blank lines and layout."""
    lines = []
    for line in ast.unparse(without_docstrings(ast.parse(text))).splitlines():
        if rng.random() < 0.15 and line.strip():
            lines.append(f"{line[: len(line) - len(line.lstrip())]}# {rng.choice(_REMARKS)} {rng.randrange(100)}")
        lines.append(line)
        if rng.random() < 0.1 and not line.rstrip().endswith("\\") and '"""' not in line:
            lines.append("")
    candidate = "\n".join(lines) + "\n"
    return candidate if _same(candidate, text) else ast.unparse(without_docstrings(ast.parse(text)))


def _same(candidate: str, text: str) -> bool:
    """Whether inserting lines left the program alone (it does not inside a string of several lines)."""
    try:
        return ast.dump(ast.parse(candidate)) == ast.dump(without_docstrings(ast.parse(text)))
    except SyntaxError:
        return False


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without docstrings; a body of nothing else gets `pass`."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return ast.fix_missing_locations(tree)


def rename(text: str, rng: Random) -> str:
    """Every name that the file defines gets another: variables, parameters, functions, classes, attributes, aliases."""
    tree = without_docstrings(ast.parse(text))
    fresh = _renaming(tree, rng)
    _Renamer(fresh).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


def _renaming(tree: ast.Module, rng: Random) -> dict[str, str]:
    defined, external = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            defined.add(node.name)
        elif isinstance(node, ast.alias):
            external.add((node.asname or node.name).split(".")[0])
    free = defined - external - BUILTINS - _METHODS - set(dir(builtins))
    taken = defined | external | BUILTINS
    fresh: dict[str, str] = {}
    for name in sorted(name for name in free if not name.startswith("__")):
        while (word := _word(rng)) in taken:
            pass
        taken.add(word)
        fresh[name] = ("_" if name.startswith("_") else "") + (word.title() if name[:1].isupper() else word)
    return fresh


def _word(rng: Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3))) + rng.choice(["", "", "_of", "_in", "2"])


class _Renamer(ast.NodeTransformer):
    def __init__(self, fresh: dict[str, str]) -> None:
        self.fresh = fresh

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for part in ("name", "id", "attr", "arg", "rest"):
            value = getattr(node, part, None)
            if isinstance(value, str) and value in self.fresh and not isinstance(node, ast.alias):
                setattr(node, part, self.fresh[value])
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self.fresh.get(name, name) for name in node.names]
        return node


def shuffle(text: str, rng: Random) -> str:
    """Functions of the file, and methods of each class, in another order, never past a statement that may call them."""
    tree = without_docstrings(ast.parse(text))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef)):
            for places in _runs(node.body):
                items = [node.body[place] for place in places]
                rng.shuffle(items)
                for place, item in zip(places, items, strict=True):
                    node.body[place] = item
    return ast.unparse(tree)


def _runs(body: list[ast.stmt]) -> list[list[int]]:
    """Places of functions between which there are only definitions."""
    runs: list[list[int]] = [[]]
    for place, item in enumerate(body):
        if _movable(item):
            runs[-1].append(place)
        elif not isinstance(item, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _movable(item: ast.stmt) -> bool:
    return isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and not item.decorator_list


def literals(text: str, rng: Random) -> str:
    """Messages reworded, numbers written as a sum."""
    tree = without_docstrings(ast.parse(text))
    _Literals(rng).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


class _Literals(ast.NodeTransformer):
    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if (
            isinstance(node.value, str)
            and " " in node.value.strip()
            and "%" not in node.value
            and "{" not in node.value
        ):
            return ast.Constant(" ".join(_word(self.rng) for _ in node.value.split()))
        if type(node.value) is int and node.value > 2:
            part = self.rng.randint(1, node.value - 1)
            return ast.BinOp(ast.Constant(part), ast.Add(), ast.Constant(node.value - part))
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        return node


def annotations(text: str, rng: Random) -> str:
    """Annotations removed where there are any, added where there are none."""
    tree = without_docstrings(ast.parse(text))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None if node.returns else ast.Constant("object")
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                argument.annotation = (
                    None if argument.annotation else ast.Constant(rng.choice(["object", "int", "str"]))
                )
    return ast.unparse(ast.fix_missing_locations(tree))
