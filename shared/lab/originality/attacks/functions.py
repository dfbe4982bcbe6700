"""Disguises by regrouping: functions cut in two, functions joined, two donors in one file, a part in one's own file."""

import ast
from random import Random

from shared.lab.originality.attacks.insertion import after_imports, fresh
from shared.lab.originality.attacks.surface import without_docstrings
from shared.originality.names import FUNCTIONS

Function = ast.FunctionDef


def split(text: str, rng: Random) -> str:
    """The second half of a longer function becomes a function of its own that the first half calls."""
    tree = without_docstrings(ast.parse(text))
    helpers: list[ast.stmt] = []
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if len(function.body) >= 4 and _regular(function):
            cut = rng.randint(2, len(function.body) - 2)
            tail = function.body[cut:]
            passed = _passed(function, cut)
            if passed is not None:
                helper = ast.parse(f"def {fresh(rng)}({', '.join(passed)}):\n    pass").body[0]
                assert isinstance(helper, ast.FunctionDef)
                helper.body = tail
                call = ast.parse(f"return {helper.name}({', '.join(passed)})").body[0]
                function.body = [*function.body[:cut], call]
                helpers.append(helper)
    place = after_imports(tree)
    tree.body[place:place] = helpers  # before the file's own statements call anything
    return ast.unparse(ast.fix_missing_locations(tree))


def _regular(function: ast.AST) -> bool:
    """Without what would mean something else in another function."""
    odd = (ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal, ast.Lambda, *FUNCTIONS, ast.ClassDef)
    for node in ast.walk(function):
        if node is not function and isinstance(node, odd):
            return False
        if isinstance(node, ast.Name) and node.id in ("super", "locals", "__class__"):
            return False
        if isinstance(node, ast.Attribute) and node.attr.startswith("__") and not node.attr.endswith("__"):
            return False
    return True


def _passed(function: ast.FunctionDef, cut: int) -> list[str] | None:
    """Names that the tail reads and the head surely has; None if it reads one that the head may not have."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    sure = {item.arg for item in [*given, *filter(None, (arguments.vararg, arguments.kwarg))]}
    maybe: set[str] = set()
    for statement in function.body[:cut]:
        stored = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        (sure if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)) else maybe).update(stored)
    tail = ast.Module(function.body[cut:], [])
    read = {n.id for n in ast.walk(tail) if isinstance(n, ast.Name)}
    return None if read & (maybe - sure) else sorted(read & sure)


def merge(text: str, rng: Random) -> str:
    """Pairs of functions, or of methods of a class, become one function that is told which of the two to be."""
    tree = without_docstrings(ast.parse(text))
    for scope in [node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef))]:
        fit = [item for item in scope.body if isinstance(item, ast.FunctionDef) and _mergeable(item)]
        rng.shuffle(fit)
        for one, two in zip(fit[::2], fit[1::2], strict=False):
            _merge(scope, one, two, rng)
    return ast.unparse(ast.fix_missing_locations(tree))


def _mergeable(function: ast.FunctionDef) -> bool:
    arguments = function.args
    plain = not (arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs)
    return plain and not function.decorator_list and _regular(function) and not function.name.startswith("__")


def _merge(scope: ast.Module | ast.ClassDef, one: ast.FunctionDef, two: ast.FunctionDef, rng: Random) -> None:
    first, second = [item.arg for item in one.args.args], [item.arg for item in two.args.args]
    method = isinstance(scope, ast.ClassDef)
    if method and (first[:1] != ["self"] or second[:1] != ["self"]):
        return
    every = list(dict.fromkeys([*first, *second]))
    name, mode = fresh(rng), fresh(rng)
    heads = ["self"] if method else []
    rest = [item for item in every if item not in heads]
    merged = ast.parse(
        f"def {name}({', '.join([*heads, mode, *rest])}):\n    if {mode}:\n        pass\n    else:\n        pass"
    )
    function = merged.body[0]
    assert isinstance(function, ast.FunctionDef) and isinstance(function.body[0], ast.If)
    function.body[0].body, function.body[0].orelse = one.body, two.body
    for item, own, flag in ((one, first, True), (two, second, False)):
        values = ", ".join([str(flag), *(arg if arg in own else "None" for arg in rest)])
        item.body = ast.parse(f"return {'self.' if method else ''}{name}({values})").body
    scope.body.insert(scope.body.index(one), function)


def lines_of(item: ast.AST) -> int:
    """Lines of a statement, written out."""
    return len(ast.unparse(item).splitlines())


def definitions(text: str) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """Imports and the other statements of a file, documentation left out."""
    tree = without_docstrings(ast.parse(text))
    imports: list[ast.stmt] = [item for item in tree.body if isinstance(item, (ast.Import, ast.ImportFrom))]
    return imports, [item for item in tree.body if item not in imports]


def mosaic(one: str, two: str, rng: Random) -> str:
    """Half of the definitions of each of two donors, interleaved."""
    halves = [_portion(text, len(text.splitlines()) // 2, rng) for text in (one, two)]
    imports = [item for half in halves for item in half[0]]
    body = [item for half in halves for item in half[1]]
    rng.shuffle(body)
    return ast.unparse(ast.fix_missing_locations(ast.Module([*imports, *body], [])))


def partial(donor: str, host: str, rng: Random, *, share: float) -> str:
    """One's own file in which a share of the lines is a donor's functions.

    Args:
        donor: What is stolen from.
        host: One's own code.
        rng: Draws which functions are taken and where they are put.
        share: Stolen lines as a share of all lines of the result.
    """
    imports, body = definitions(host)
    lines = sum(lines_of(item) for item in body)
    wanted = int(lines * share / (1 - share))
    taken_imports, taken = _portion(donor, wanted, rng, pieces=True)
    for item in taken:
        body.insert(rng.randint(0, len(body)), item)
    return ast.unparse(ast.fix_missing_locations(ast.Module([*imports, *taken_imports, *body], [])))


def pieces(text: str) -> list[str]:
    """Every function of a file, methods taken out of their classes, as a text of its own."""
    _, body = definitions(text)
    flat = [inner for item in body for inner in (item.body if isinstance(item, ast.ClassDef) else [item])]
    return [ast.unparse(item) for item in flat if isinstance(item, FUNCTIONS)]


def _portion(text: str, lines: int, rng: Random, *, pieces: bool = False) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """Imports, and definitions of about so many lines; `pieces` takes single methods, to hit the number."""
    imports, body = definitions(text)
    if pieces:
        flat: list[ast.stmt] = []
        for item in body:
            flat.extend(item.body if isinstance(item, ast.ClassDef) else [item])
        body = [item for item in flat if isinstance(item, FUNCTIONS)] or body
    rng.shuffle(body)
    taken: list[ast.stmt] = []
    left = lines
    for item in body:
        size = lines_of(item)
        if size <= left * 1.2 or not (taken or pieces):
            taken.append(item)
            left -= size
        if left <= 0:
            break
    if not taken and body:
        taken = [_excerpt(body[0], lines, rng)]
    return imports, taken


def _excerpt(function: ast.stmt, lines: int, rng: Random) -> ast.stmt:
    """Statements in a row, of about so many lines, as a function of its own: where every function is too long."""
    runs: list[tuple[int, list[ast.stmt]]] = []
    for node in ast.walk(function):
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list):
                sizes = [lines_of(item) for item in block]
                spans = [(start, end) for start in range(len(block)) for end in range(start + 1, len(block) + 1)]
                runs += [(abs(sum(sizes[start:end]) - lines), block[start:end]) for start, end in spans]
    if not runs:
        return function
    nearest = min(distance for distance, _ in runs)
    chosen = rng.choice([run for distance, run in runs if distance <= nearest + 1])
    made = ast.parse(f"def {fresh(rng)}():\n    pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.body = chosen
    if isinstance(function, FUNCTIONS):
        made.args = function.args
    return made
