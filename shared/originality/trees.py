"""The tree channel: normalised fragments of the syntax tree of every function.

A fragment is a node with what stands below it, down to a few levels. Before hashing, these are normalised away:
names that the file may choose, definition order (a file is a set of functions, a function a set of fragments), dead
code, temporaries (a name that is assigned once stands for its value), the direction of comparisons and negation,
`x += y`, comprehension or loop, how text is formatted, annotations and docstrings.

Source: Baxter et al. 1998, "Clone Detection Using Abstract Syntax Trees", §3 (hashing subtrees, commutative operands);
Chilowicz, Duris and Roussel 2009, "Syntax tree fingerprinting", §3. Departs from both in resolving temporaries and in
cutting fragments at a depth, so that an edit spoils only the fragments around it.
"""

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.originality.hashing import mix
from shared.originality.names import BUILTINS, FUNCTIONS, FileNames, dotted, file_names, live, temporaries
from shared.originality.nodes import RAW_DEPTHS, RESOLVED_DEPTHS, Node

MAX_HOPS = 50  # of a chain of temporaries
RUN = 3  # constants in a row whose very values count

_COMMUTATIVE = (ast.Add, ast.Mult, ast.BitOr, ast.BitAnd, ast.BitXor)
_NAMES_FOR = {
    **dict.fromkeys((ast.Eq, ast.NotEq), "equal"),
    **dict.fromkeys((ast.Lt, ast.Gt, ast.LtE, ast.GtE), "order"),
    **dict.fromkeys((ast.Is, ast.IsNot), "is"),
    **dict.fromkeys((ast.In, ast.NotIn), "in"),
}


@dataclass(slots=True)
class Unit:
    """A function, a class's own statements, or a file's own statements.

    Attributes:
        fragments: Hash -> (first line, last line) of its first appearance.
    """

    name: str
    line: int
    end: int
    fragments: dict[int, tuple[int, int]] = field(default_factory=dict)


def units(tree: ast.Module) -> list[Unit]:
    """Every function, class and the module itself as sets of fragments; empty ones are left out.

    Raises:
        RecursionError: If the tree is nested too deep to walk.
    """
    names = file_names(tree)
    found: list[Unit] = []
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, scope = pending.pop(0)
        title = f"{prefix}{getattr(scope, 'name', '')}" or "(module)"
        reader = _Reader(names, title, scope)
        found.append(reader.read())
        below = "" if isinstance(scope, ast.Module) else f"{title}."
        pending.extend((below, inner) for inner in reader.inner)
    return [unit for unit in found if unit.fragments]


class _Reader:
    """Reads one scope into a Unit; scopes inside it are put aside in `inner`."""

    def __init__(self, names: FileNames, title: str, scope: ast.AST) -> None:
        self.names = names
        self.scope = scope
        self.unit = Unit(title, getattr(scope, "lineno", 1), getattr(scope, "end_lineno", 1) or 1)
        self.inner: list[ast.AST] = []
        self.nodes: list[tuple[Node, int, int]] = []
        self.values: dict[str, Node] = {}
        self.here = (1, 1)

    def read(self) -> Unit:
        body: list[ast.stmt] = self.scope.body  # type: ignore[attr-defined]
        parameters = _parameters(self.scope)
        self.definitions = {} if isinstance(self.scope, ast.ClassDef) else temporaries(body, parameters)
        for decorator in getattr(self.scope, "decorator_list", []):
            self._place(decorator)
            self._expression(decorator)
        for base in getattr(self.scope, "bases", []):
            self._place(base)
            self._expression(base)
        if isinstance(self.scope, FUNCTIONS):
            for default in (*self.scope.args.defaults, *filter(None, self.scope.args.kw_defaults)):
                self._place(default)
                self._expression(default)
        self._block(body)
        for node, first, last in self.nodes:
            self._emit(node, (first, last))
        return self.unit

    # ------------------------------------------------------------------ statements

    def _block(self, body: list[ast.stmt]) -> None:
        constants: list[ast.expr] = []
        for statement in live(body):
            self._place(statement)
            self._statement(statement)
            value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
            constants = [*constants[-(RUN - 1) :], value] if isinstance(value, ast.Constant) else []
            self._table(constants)

    def _table(self, values: Sequence[ast.expr | None]) -> None:
        """Constants in a row are what a file of settings consists of: a fragment with their very values."""
        if len(values) >= RUN and all(isinstance(value, ast.Constant) for value in values):
            text = ",".join(repr(value.value) for value in values if isinstance(value, ast.Constant))
            self._add("values", [Node("values:" + text)])

    def _place(self, node: ast.AST) -> None:
        first = getattr(node, "lineno", 1)
        body = getattr(node, "body", None)
        last = (getattr(node, "end_lineno", first) or first) if not isinstance(body, list) else first
        self.here = (first, last)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self.inner.append(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)):
            return
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            self._assignment(node)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._expression(node.iter)
            self._block(node.body)
            self._block(node.orelse)
        elif isinstance(node, (ast.If, ast.While)):
            self._test(node.test)
            self._block(node.body)
            self._block(node.orelse)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                self._expression(item.context_expr)
            self._block(node.body)
        elif isinstance(node, ast.Expr):
            self._expression(node.value)
        else:
            self._other(node)

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        if node.value is None:
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        value = self._expression(node.value)
        if isinstance(node, ast.AugAssign):
            value = self._binary(node.op, self._expression(node.target), value)
        for target in targets:
            if isinstance(target, ast.Name) and target.id in self.definitions:
                self.values[target.id] = value
            else:
                self._add("assign", [self._expression(target), value])

    def _test(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Constant):
            self._add("test", [self._expression(test)])

    def _other(self, node: ast.AST) -> None:
        """Any other statement: its expressions under its own name, its blocks in turn."""
        kids = [self._expression(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if kids:
            self._add(type(node).__name__, kids)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.expr, ast.stmt, ast.expr_context)):
                self._other(child)
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list):
                self._block(block)

    # ------------------------------------------------------------------ expressions

    def _add(self, text: str, kids: Iterable[Node], *, commutes: bool = False) -> Node:
        node = Node(text, kids, commutes=commutes)
        self.nodes.append((node, *self.here))
        return node

    def _expression(self, node: ast.AST) -> Node:
        reader = _EXPRESSIONS.get(type(node))
        if reader is not None:
            return reader(self, node)
        kids = [self._expression(child) for child in ast.iter_child_nodes(node) if not isinstance(child, _SILENT)]
        return self._add(type(node).__name__, kids)

    def _name(self, node: ast.Name) -> Node:
        if node.id in self.definitions:
            return Node("v", name=node.id)
        if node.id in self.names.imported:
            return Node("i:" + self.names.imported[node.id])
        if _is_builtin(node.id, self.names):
            return Node("b:" + node.id)
        return Node("v")

    def _attribute(self, node: ast.Attribute) -> Node:
        library = dotted(node, self.names.imported)
        if library:
            return Node("i:" + library)
        free = node.attr in self.names.defined and not node.attr.startswith("__")
        return self._add("." if free else "." + node.attr, [self._expression(node.value)])

    def _call(self, node: ast.Call) -> Node:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format" and _is_text(node.func.value):
            return self._add("text", [self._expression(item) for item in node.args], commutes=True)
        kids = [self._expression(node.func), *(self._expression(item) for item in node.args)]
        kids.extend(self._expression(item) for item in sorted(node.keywords, key=lambda item: item.arg or ""))
        return self._add("call", kids)

    def _keyword(self, node: ast.keyword) -> Node:
        name = "k" if node.arg is None or node.arg in self.names.defined else "k:" + node.arg
        return Node(name, [self._expression(node.value)])

    def _constant(self, node: ast.Constant) -> Node:
        value = node.value
        if value is None or isinstance(value, bool) or value is ...:
            return Node(repr(value))
        if isinstance(value, int) and abs(value) <= 2:
            return Node(f"n:{value}")
        return Node("S" if isinstance(value, (str, bytes)) else "N")

    def _unary(self, node: ast.UnaryOp) -> Node:
        operand = self._expression(node.operand)
        return operand if isinstance(node.op, ast.Not) else self._add(type(node.op).__name__, [operand])

    def _binary_node(self, node: ast.BinOp) -> Node:
        if isinstance(node.op, ast.Mod) and _is_text(node.left):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            return self._add("text", [self._expression(item) for item in values], commutes=True)
        return self._binary(node.op, self._expression(node.left), self._expression(node.right))

    def _binary(self, operator: ast.operator, left: Node, right: Node) -> Node:
        return self._add(type(operator).__name__, [left, right], commutes=isinstance(operator, _COMMUTATIVE))

    def _boolean(self, node: ast.BoolOp) -> Node:
        return self._add("bool", [self._expression(item) for item in node.values], commutes=True)

    def _compare(self, node: ast.Compare) -> Node:
        kids = [self._expression(item) for item in (node.left, *node.comparators)]
        name = "compare:" + ",".join(_NAMES_FOR[type(operator)] for operator in node.ops)
        return self._add(name, kids, commutes=not isinstance(node.ops[0], (ast.In, ast.NotIn)))

    def _text(self, node: ast.JoinedStr) -> Node:
        fields = [self._expression(item.value) for item in node.values if isinstance(item, ast.FormattedValue)]
        return self._add("text", fields, commutes=True) if fields else Node("S")

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Node:
        """What a loop would leave: the element, the sequence and the tests by themselves, and an empty collection."""
        for part in node.generators:
            self._expression(part.iter)
            for test in part.ifs:
                self._test(test)
        if isinstance(node, ast.DictComp):
            self._add(
                "assign", [Node("Subscript", [Node("v"), self._expression(node.key)]), self._expression(node.value)]
            )
            return Node("Dict")
        self._expression(node.elt)
        return Node("List")

    def _collection(self, node: ast.List | ast.Tuple | ast.Set) -> Node:
        self._table(node.elts)  # the targets of an assignment are no constants
        return self._add(type(node).__name__, [self._expression(item) for item in node.elts])

    def _dictionary(self, node: ast.Dict) -> Node:
        self._table(node.values)
        kids = [self._expression(item) for item in (*node.keys, *node.values) if item is not None]
        return self._add("Dict", kids)

    def _lambda(self, node: ast.Lambda) -> Node:
        self._add("Return", [self._expression(node.body)])
        return Node("v")

    # ------------------------------------------------------------------ fragments

    def _emit(self, node: Node, place: tuple[int, int]) -> None:
        if not node.kids:
            return
        fragments = self.unit.fragments
        for depth in RAW_DEPTHS:
            fragments.setdefault(node.raw[min(depth, len(node.raw) - 1)], place)
        for depth in RESOLVED_DEPTHS:
            fragments.setdefault(self._resolved(node, depth), place)

    def _resolved(self, node: Node, depth: int) -> int:
        hops = 0
        while node.name and node.name in self.values and hops < MAX_HOPS:
            node, hops = self.values[node.name], hops + 1
        if not node.kids or depth == 0:
            return node.label
        known = node.memo.get(depth)
        if known is None:
            below = [self._resolved(kid, depth - 1) for kid in node.kids]
            known = node.memo[depth] = mix(node.label, sorted(below) if node.sorted else below)
        return known


_SILENT = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_EXPRESSIONS: dict[type[ast.AST], Callable[[_Reader, Any], Node]] = {
    ast.Name: _Reader._name,
    ast.Attribute: _Reader._attribute,
    ast.Call: _Reader._call,
    ast.keyword: _Reader._keyword,
    ast.Constant: _Reader._constant,
    ast.UnaryOp: _Reader._unary,
    ast.BinOp: _Reader._binary_node,
    ast.BoolOp: _Reader._boolean,
    ast.Compare: _Reader._compare,
    ast.JoinedStr: _Reader._text,
    ast.ListComp: _Reader._comprehension,
    ast.SetComp: _Reader._comprehension,
    ast.GeneratorExp: _Reader._comprehension,
    ast.DictComp: _Reader._comprehension,
    ast.Lambda: _Reader._lambda,
    ast.List: _Reader._collection,
    ast.Tuple: _Reader._collection,
    ast.Set: _Reader._collection,
    ast.Dict: _Reader._dictionary,
}


def _is_builtin(name: str, names: FileNames) -> bool:
    return name in BUILTINS and name not in names.shadowed


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _parameters(scope: ast.AST) -> list[str]:
    if not isinstance(scope, FUNCTIONS):
        return []
    given = scope.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [argument.arg for argument in every]
