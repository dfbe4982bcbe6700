"""Disguises by adding: code that never runs, code that runs for nothing, statements twice, wrappings."""

import ast
from collections.abc import Iterator
from random import Random

from shared.lab.originality.attacks.surface import without_docstrings
from shared.originality.names import FUNCTIONS


def dead_code(text: str, rng: Random, *, share: float) -> str:
    """Code that never runs: unused functions, branches that are never taken, statements after a return.

    Args:
        text: What is disguised.
        rng: Draws the code and its places.
        share: Lines added, as a share of the lines there were (0.25, 0.5, 1.0).
    """
    tree = without_docstrings(ast.parse(text))
    budget = int(len(ast.unparse(tree).splitlines()) * share)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    while budget > 0:
        block = [invented(rng) for _ in range(rng.randint(2, 5))]
        kind = rng.random()
        if kind < 0.3 or not bodies:
            function = ast.parse(f"def {fresh(rng)}({fresh(rng)}, {fresh(rng)}=1):\n    pass").body[0]
            function.body = [*block, invented(rng), ast.Return(ast.Name(fresh(rng), ast.Load()))]  # type: ignore[attr-defined]
            tree.body.insert(rng.randint(after_imports(tree), len(tree.body)), function)
            budget -= len(block) + 4
        else:
            body = rng.choice(bodies)
            if kind < 0.5 and isinstance(body[-1], ast.Return):
                body.extend(block)
            else:
                test = rng.choice(["False", "0", "len('') > 3", "1 > 2", "isinstance(0, str)", "not True"])
                branch = ast.parse(f"if {test}:\n    pass").body[0]
                branch.body = block  # type: ignore[attr-defined]
                body.insert(rng.randint(0, len(body)), branch)
            budget -= len(block) + 1
    return ast.unparse(ast.fix_missing_locations(tree))


def live_noise(text: str, rng: Random) -> str:
    """Statements that run and change nothing: counters nobody reads, true assertions, sizes that are thrown away."""
    tree = without_docstrings(ast.parse(text))
    for body in list(blocks(tree)):
        place = 0
        while place <= len(body):
            if rng.random() < 0.35:
                body.insert(place, _harmless(rng))
                place += 1
            place += 1
    return ast.unparse(ast.fix_missing_locations(tree))


def _harmless(rng: Random) -> ast.stmt:
    name, number, other = fresh(rng), rng.randrange(50), rng.randrange(1, 50)
    forms = (
        f"{name} = {number} * {other} - {rng.randrange(9)}",
        f"assert {number} < {number + other}",
        f"{name} = [{number}, {other}].count({rng.randrange(50)})",
        f"{name} = '{fresh(rng)}'.upper()",
        f"{name} = sorted(({other}, {number}))[0] + len('{fresh(rng)}')",
        f"{name} = {{'{fresh(rng)}': {number}}}.get('{fresh(rng)}', {other})",
    )
    return ast.parse(rng.choice(forms)).body[0]


def duplication(text: str, rng: Random) -> str:
    """Statements that may run twice do, and some functions stand twice under two names."""
    tree = without_docstrings(ast.parse(text))
    for body in list(blocks(tree)):
        for place in range(len(body) - 1, -1, -1):
            if _idempotent(body[place]) and rng.random() < 0.6:
                body.insert(place, body[place])
    for function in [item for item in tree.body if isinstance(item, ast.FunctionDef)]:
        if rng.random() < 0.3:
            twin = ast.parse(ast.unparse(function)).body[0]
            twin.name = fresh(rng)  # type: ignore[attr-defined]
            tree.body.insert(tree.body.index(function), twin)
    return ast.unparse(tree)


def _idempotent(statement: ast.stmt) -> bool:
    """`x = expression` without a call, a yield, or x itself on the right."""
    if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], (ast.Name, ast.Attribute))):
        return False
    target = ast.unparse(statement.targets[0])
    inside = list(ast.walk(statement.value))
    calls = any(isinstance(node, (ast.Call, ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr)) for node in inside)
    return not calls and all(
        ast.unparse(node) != target for node in inside if isinstance(node, (ast.Name, ast.Attribute))
    )


def wrapping(text: str, rng: Random) -> str:
    """Bodies of functions inside try, with or a branch that is always taken."""
    tree = without_docstrings(ast.parse(text))
    used = False
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and rng.random() < 0.85 and not _has_scope_statement(node):
            kind = rng.randrange(3)
            used = used or kind == 1
            header = (
                "try:\n    pass\nexcept Exception as problem:\n    raise problem",
                "with contextlib.nullcontext():\n    pass",
                "if len('on') == 2:\n    pass",
            )[kind]
            wrapper = ast.parse(header).body[0]
            wrapper.body = node.body  # type: ignore[attr-defined]
            node.body = [wrapper]
    if used:
        tree.body.insert(after_imports(tree), ast.parse("import contextlib").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _has_scope_statement(node: ast.AST) -> bool:
    return any(isinstance(inner, (ast.Global, ast.Nonlocal)) for inner in ast.walk(node))


def invented(rng: Random) -> ast.stmt:
    """A statement that looks like work; it needs no name to exist as long as it is never run."""
    a, b, c = fresh(rng), fresh(rng), fresh(rng)
    number = rng.randrange(100)
    forms = (
        f"{a} = [{b} * {number} for {b} in range({rng.randrange(20)}) if {b} % {rng.randrange(2, 9)}]",
        f"{a} = {b}({c}, {number}) if {c} else {number}",
        f"for {a} in {b}.{c}():\n    {c}.append({a} + {number})",
        f"if {a} > {number} and {b}:\n    {c} = {a} - {b}\nelse:\n    {c} = {b}[{number}]",
        f"{a}.{b} = {c}.{fresh(rng)}({number}, key='{fresh(rng)}')",
        f"while {a} < {number}:\n    {a} += {rng.randrange(1, 9)}",
        f"{a}['{b}'] = max({c}, {number}) / ({number} + 1)",
        f"raise ValueError('{a} {b}: %s' % {c})",
        f"{a}, {b} = {c}.split('{fresh(rng)[:2]}', 1)",
    )
    return ast.parse(rng.choice(forms)).body[0]


def fresh(rng: Random) -> str:
    """A name that nobody uses."""
    return "".join(rng.choice("abcdefghijklmnoprstuvwz") for _ in range(6)) + str(rng.randrange(100))


def blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every block inside a function, the function's own first."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            for inner in ast.walk(node):
                for part in ("body", "orelse", "finalbody"):
                    block = getattr(inner, part, None)
                    if isinstance(block, list) and block and not isinstance(inner, (ast.ClassDef, ast.Lambda)):
                        yield block


def after_imports(tree: ast.Module) -> int:
    """Where the first statement after the imports stands."""
    places = [i for i, item in enumerate(tree.body) if isinstance(item, (ast.Import, ast.ImportFrom))]
    return places[-1] + 1 if places else 0
