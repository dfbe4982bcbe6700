"""What the names of a file stand for: which can be renamed freely, which are a library's, which are temporaries."""

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("__"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)


@dataclass(slots=True)
class FileNames:
    """Names of one file.

    Attributes:
        imported: Local alias -> dotted origin, so that `nn.Linear`, `torch.nn.Linear` and an alias are one thing.
        defined: Attributes, methods, parameters and functions that the file itself defines: free to rename.
        shadowed: Builtins that the file gives another meaning.
    """

    imported: dict[str, str] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    shadowed: set[str] = field(default_factory=set)


def children(node: ast.AST) -> list[ast.AST]:
    """What stands directly below a node, as `ast.iter_child_nodes` but several times as fast; contexts left out."""
    found: list[ast.AST] = []
    for part in node._fields:
        value = getattr(node, part, None)
        if value.__class__ is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and part != "ctx":
            found.append(value)
    return found


def walk(tree: ast.AST) -> list[ast.AST]:
    """Every node of a tree in the order of `ast.walk`, contexts left out."""
    found = [tree]
    for node in found:  # grows as it is walked
        found.extend(children(node))
    return found


def file_names(tree: ast.Module) -> FileNames:
    """Collect the names of a file in one pass over its tree."""
    names = FileNames()
    for node in walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.imported[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                for alias in node.names:
                    names.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.defined.add(node.name)
        elif isinstance(node, ast.arg):
            names.defined.add(node.arg)
        elif isinstance(node, ast.Attribute):
            if not isinstance(node.ctx, ast.Load):
                names.defined.add(node.attr)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.defined.add(node.id)
    names.shadowed = names.defined & BUILTINS
    for name in names.defined & names.imported.keys():
        del names.imported[name]  # rebound: no longer surely the library's
    return names


def dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    """`torch.nn.Linear` for an attribute chain on an imported name; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in imported:
        return None
    return ".".join([imported[node.id], *reversed(parts)])


def temporaries(body: Iterable[ast.stmt], parameters: Iterable[str]) -> dict[str, ast.expr]:
    """Local names that one plain assignment defines: each can be replaced by its value and back.

    A second assignment of the very same value (a duplicated statement) and `x = x` do not count as another.
    """
    opaque = set(parameters)
    values: dict[str, ast.expr] = {}
    for name, value in _bindings(body):
        if isinstance(value, ast.Name) and value.id == name:
            continue
        if value is None or (name in values and ast.dump(values[name]) != ast.dump(value)):
            opaque.add(name)
        else:
            values[name] = value
    return {name: value for name, value in values.items() if name not in opaque}


def _bindings(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """Every binding of a local name in a body, nested scopes left out; None where the value is not one expression."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, SCOPES):
            continue
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
            stack.append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.value is not None:
                yield node.target.id, node.value
                stack.append(node.value)
        elif isinstance(node, ast.NamedExpr):
            yield node.target.id, node.value
            stack.append(node.value)
        else:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id, None
            elif isinstance(node, ast.ExceptHandler) and node.name:
                yield node.name, None
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                yield from ((name, None) for name in node.names)
            stack.extend(children(node))


def live(body: list[ast.stmt]) -> list[ast.stmt]:
    """A block without what can never run or does nothing: docstrings, `pass`, `if False`, code after a return."""
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            continue
        if isinstance(statement, (ast.If, ast.While)) and isinstance(statement.test, ast.Constant):
            if not statement.test.value:
                kept.extend(live(statement.orelse))
                continue
            if isinstance(statement, ast.If):
                kept.extend(live(statement.body))
                continue
        kept.append(statement)
        if isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            break
    return kept
