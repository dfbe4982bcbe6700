"""Disguises by rewriting: loops and comprehensions, temporaries and inlining, conditions turned round."""

import ast
from random import Random
from typing import Any

from shared.lab.originality.attacks.insertion import blocks, fresh
from shared.lab.originality.attacks.surface import without_docstrings
from shared.originality.names import FUNCTIONS


def loops(text: str, rng: Random) -> str:
    """`for` becomes `while` over an iterator or an index, `while` becomes `for` over an endless iterator."""
    tree = without_docstrings(ast.parse(text))
    for body in list(blocks(tree)):
        for place in range(len(body) - 1, -1, -1):
            item = body[place]
            if isinstance(item, ast.For) and not item.orelse:
                body[place : place + 1] = _while_from_for(item, rng)
            elif isinstance(item, ast.While) and not item.orelse:
                leave = ast.If(ast.UnaryOp(ast.Not(), item.test), [ast.Break()], [])
                forever = ast.parse("iter(int, 1)", mode="eval").body
                body[place] = ast.For(ast.Name(fresh(rng), ast.Store()), forever, [leave, *item.body], [], None)
    return ast.unparse(ast.fix_missing_locations(tree))


def _while_from_for(loop: ast.For, rng: Random) -> list[ast.stmt]:
    call = loop.iter
    simple = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    if simple and isinstance(loop.target, ast.Name) and len(call.args) == 1:  # type: ignore[attr-defined]
        index, end = fresh(rng), fresh(rng)
        made = ast.parse(f"{end} = None\n{index} = 0\nwhile {index} < {end}:\n    x = {index}\n    {index} += 1").body
        made[0].value = call.args[0]  # type: ignore[attr-defined]
    else:
        source, nothing = fresh(rng), fresh(rng)
        made = ast.parse(
            f"{source} = iter(None)\n{nothing} = object()\nwhile True:\n    x = next({source}, {nothing})\n"
            f"    if x is {nothing}:\n        break"
        ).body
        made[0].value.args = [call]  # type: ignore[attr-defined]
        got = fresh(rng)
        loop_body: Any = made[2]
        loop_body.body[0].targets = [ast.Name(got, ast.Store())]
        loop_body.body[1].test.left = ast.Name(got, ast.Load())
        loop_body.body.append(ast.Assign([loop.target], ast.Name(got, ast.Load())))
    head: Any = made[2]
    if simple and isinstance(loop.target, ast.Name) and len(call.args) == 1:  # type: ignore[attr-defined]
        head.body[0].targets = [loop.target]
    head.body.extend(loop.body)
    return made


def comprehensions(text: str, rng: Random) -> str:
    """A comprehension that is assigned or returned becomes a loop; a loop that only appends becomes a comprehension."""
    tree = without_docstrings(ast.parse(text))
    for body in list(blocks(tree)):
        for place in range(len(body) - 1, -1, -1):
            item = body[place]
            if isinstance(item, (ast.Assign, ast.Return)) and isinstance(item.value, (ast.ListComp, ast.DictComp)):
                body[place : place + 1] = _loop_from_comprehension(item, rng)
            elif isinstance(item, ast.For) and (found := _comprehension_from_loop(item)) is not None:
                body[place] = found
    return ast.unparse(ast.fix_missing_locations(tree))


def _loop_from_comprehension(statement: ast.Assign | ast.Return, rng: Random) -> list[ast.stmt]:
    made, name = statement.value, fresh(rng)
    assert isinstance(made, (ast.ListComp, ast.DictComp))
    if isinstance(made, ast.ListComp):
        inner: ast.stmt = ast.parse(f"{name}.append(0)").body[0]
        inner.value.args = [made.elt]  # type: ignore[attr-defined]
        start = ast.parse(f"{name} = []").body[0]
    else:
        inner = ast.parse(f"{name}[0] = 0").body[0]
        inner.targets[0].slice, inner.value = made.key, made.value  # type: ignore[attr-defined]
        start = ast.parse(f"{name} = {{}}").body[0]
    for part in reversed(made.generators):
        for test in reversed(part.ifs):
            inner = ast.If(test, [inner], [])
        inner = ast.For(part.target, part.iter, [inner], [], None)
    statement.value = ast.Name(name, ast.Load())
    return [start, inner, statement]


def _comprehension_from_loop(loop: ast.For) -> ast.stmt | None:
    """`for x in xs: out.append(f(x))` as `out.extend([f(x) for x in xs])`."""
    if loop.orelse or len(loop.body) != 1 or not isinstance(loop.body[0], ast.Expr):
        return None
    call = loop.body[0].value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append"):
        return None
    if len(call.args) != 1 or call.keywords or any(isinstance(n, (ast.Yield, ast.Await)) for n in ast.walk(call)):
        return None
    made = ast.ListComp(call.args[0], [ast.comprehension(loop.target, loop.iter, [], 0)])
    return ast.Expr(ast.Call(ast.Attribute(call.func.value, "extend", ast.Load()), [made], []))


def temporaries(text: str, rng: Random) -> str:
    """Calls, operations and indexings inside a statement are computed before it, under names of their own."""
    tree = without_docstrings(ast.parse(text))
    for body in list(blocks(tree)):
        for place in range(len(body) - 1, -1, -1):
            item = body[place]
            if isinstance(item, (ast.Return, ast.Assign, ast.Expr)) and item.value is not None:
                before: list[ast.stmt] = []
                item.value = _flatten(item.value, before, rng, top=True)
                body[place:place] = before
    return ast.unparse(ast.fix_missing_locations(tree))


def _flatten(node: ast.expr, before: list[ast.stmt], rng: Random, *, top: bool = False) -> ast.expr:
    """Replace the parts of an expression, in the order in which they are evaluated."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
            node.func.value = _flatten(node.func.value, before, rng)
        node.args = [arg if isinstance(arg, ast.Starred) else _flatten(arg, before, rng) for arg in node.args]
    elif isinstance(node, ast.BinOp):
        node.left, node.right = _flatten(node.left, before, rng), _flatten(node.right, before, rng)
    elif isinstance(node, ast.Subscript) and not isinstance(node.slice, (ast.Slice, ast.Tuple)):
        node.value, node.slice = _flatten(node.value, before, rng), _flatten(node.slice, before, rng)
    else:
        return node
    if top or rng.random() < 0.2 or _is_super(node):
        return node
    name = fresh(rng)
    before.append(ast.Assign([ast.Name(name, ast.Store())], node))
    return ast.Name(name, ast.Load())


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("super", "locals")


def inlining(text: str, _: Random) -> str:
    """A name that is assigned once and read once, by the next statement, gives way to its value."""
    tree = without_docstrings(ast.parse(text))
    for function in [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]:
        uses = _uses(function)
        for body in list(blocks(ast.Module([function], []))):
            place = 0
            while place + 1 < len(body):
                if not _inline(body, place, uses):
                    place += 1
    return ast.unparse(ast.fix_missing_locations(tree))


def _uses(function: ast.AST) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            counts.setdefault(node.id, [0, 0])[isinstance(node.ctx, ast.Load)] += 1
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                counts.setdefault(name, [0, 0])[0] += 9
    return counts


def _inline(body: list[ast.stmt], place: int, uses: dict[str, list[int]]) -> bool:
    item, following = body[place], body[place + 1]
    if not (isinstance(item, ast.Assign) and len(item.targets) == 1 and isinstance(item.targets[0], ast.Name)):
        return False
    if uses.get(item.targets[0].id) != [1, 1] or not isinstance(following, (ast.Return, ast.Assign, ast.Expr)):
        return False
    swap = _Swap(item.targets[0].id, item.value)
    if following.value is None:
        return False
    following.value = swap.visit(following.value)
    if swap.done:
        del body[place]
    return swap.done


class _Swap(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value, self.done = name, value, False

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.name and isinstance(node.ctx, ast.Load):
            self.done = True
            return self.value
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node


def conditions(text: str, rng: Random) -> str:
    """Comparisons read from the other side; branches change places under the negated test."""
    tree = without_docstrings(ast.parse(text))
    _Conditions(rng).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


_MIRROR = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq}


class _Conditions(ast.NodeTransformer):
    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        mirror = _MIRROR.get(type(node.ops[0]))
        if len(node.ops) == 1 and mirror and self.rng.random() < 0.8:
            return ast.Compare(node.comparators[0], [mirror()], [node.left])
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if node.orelse and self.rng.random() < 0.8:
            return ast.If(ast.UnaryOp(ast.Not(), node.test), node.orelse, node.body)
        return node
