"""What the tree channel normalises away, and what it does not."""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.lab.originality.attacks import ATTACKS, apply
from shared.originality import reading, trees

SEEDS = range(5)


@pytest.mark.parametrize("attack", ["comments and format", "rename", "shuffle", "conditions", "annotations"])
def test_these_disguises_leave_every_fragment_as_it_was(attack, program, fragments):
    for seed in SEEDS:
        disguised = apply((attack,), program, Random(seed))
        assert disguised != program
        assert fragments(disguised) == fragments(program)


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_most_of_every_disguised_program_is_still_seen(attack, program, score):
    whole = score(program, program).trees
    for seed in SEEDS:
        kept = score(program, apply((attack,), program, Random(seed))).trees / whole
        assert kept > 0.5, f"seed {seed}: {kept:.2f} of the score is left"


SAME = {
    "direction": ("if a < b:\n    c(1)", "if b > a:\n    c(1)"),
    "negation": ("if a == b:\n    c(1)\nelse:\n    d(2)", "if not a == b:\n    d(2)\nelse:\n    c(1)"),
    "inequality": ("x.y = a != b", "x.y = not b == a"),
    "commuting": ("x.y = a.b + c(1)", "x.y = c(1) + a.b"),
    "augmented": ("x.y += a.b", "x.y = x.y + a.b"),
    "alias": ("import numpy as np\nx.y = np.dot(a, b)", "from numpy import dot as product\nx.y = product(a, b)"),
    "dotted": ("import torch.nn as nn\nx.y = nn.Linear(1)", "import torch\nx.y = torch.nn.Linear(1)"),
    "formats": ("x.y = f'{a.b} of {c(1)}'", "x.y = '{} von {}'.format(c(1), a.b)"),
    "percent": ("x.y = f'{a.b} of {c(1)}'", "x.y = '%s: %s' % (a.b, c(1))"),
    "temporary": ("def f(a):\n    return g(h(a) + 1)", "def f(a):\n    t = h(a)\n    return g(t + 1)"),
    "dead": (
        "def f(a):\n    return g(a, 1)",
        "def f(a):\n    if False:\n        print(a, 5)\n    return g(a, 1)\n    h(a)",
    ),
    "pass": ("def f(a):\n    return g(a, 1)", "def f(a):\n    'Text.'\n    pass\n    return g(a, 1)"),
    "duplicate": (
        "def f(a):\n    t = a.b\n    return g(t, 1)",
        "def f(a):\n    t = a.b\n    t = a.b\n    return g(t, 1)",
    ),
    "annotation": (
        "def f(a: int) -> str:\n    t: int = g(a)\n    return h(t)",
        "def f(a):\n    t = g(a)\n    return h(t)",
    ),
    "wrapping": ("def f(a):\n    g(a, 1)", "def f(a):\n    try:\n        g(a, 1)\n    finally:\n        pass"),
}


@pytest.mark.parametrize("name", sorted(SAME))
def test_same_after_normalisation(name, fragments):
    one, two = (fragments(text) for text in SAME[name])
    # A temporary adds the fragments of what reads it by name; nothing of the other side is lost.
    assert one and (one <= two if name in ("temporary",) else one == two)


DIFFERENT = {
    "operator": ("x.y = a.b + c(1)", "x.y = a.b - c(1)"),
    "order of operands": ("x.y = a.b - c(1)", "x.y = c(1) - a.b"),
    "library function": ("import math\nx.y = math.sin(a)", "import math\nx.y = math.cos(a)"),
    "method": ("x.y = a.split(b)", "x.y = a.strip(b)"),
    "small number": ("x.y = a(1)", "x.y = a(2)"),
    "membership": ("x.y = a.b in c(1)", "x.y = c(1) in a.b"),
    "order or equality": ("x.y = a.b < c(1)", "x.y = a.b == c(1)"),
    "arguments": ("x.y = a(b.c, d(1))", "x.y = a(d(1), b.c)"),
    "reassigned": (
        "def f(a):\n    t = g(a)\n    return h(t)",
        "def f(a):\n    t = g(a)\n    t = k()\n    return h(t, 1)",
    ),
    "constants": ("A = 11\nB = 12\nC = 13", "A = 11\nB = 12\nC = 14"),
}


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_different_after_normalisation(name, fragments):
    one, two = (fragments(text) for text in DIFFERENT[name])
    assert one != two


@pytest.mark.parametrize(
    "text",
    [
        "def f(a):\n    a = g(a, 1)\n    return h(a)",
        "def f(b):\n    for a in g(b, 1):\n        a = g(b, 1)\n    return h(a)",
        "def f(b):\n    global a\n    a = g(b, 1)\n    return h(a)",
    ],
)
def test_a_name_that_may_hold_something_else_is_no_temporary(text, fragments):
    inlined = fragments("def f(b):\n    return h(g(b, 1))")
    assert not inlined <= fragments(text)
    assert inlined <= fragments("def f(b):\n    a = g(b, 1)\n    return h(a)")


def test_a_comprehension_is_in_the_loop(fragments):
    made = fragments("def f(rows):\n    return [g(row, 1) for row in rows.items() if row.ok]")
    loop = fragments(
        "def f(rows):\n    out = []\n    for row in rows.items():\n        if row.ok:\n"
        "            out.append(g(row, 1))\n    return out"
    )
    assert made <= loop


def test_units_are_functions_classes_and_the_file():
    text = (
        "x = f(1)[2]\nclass A(B.c):\n    y = g(2)[1]\n    def m(self):\n        def inner():\n"
        "            return h(1)[0]\n        return inner() + 1\n"
    )
    tree, _ = reading.parse(text)
    assert tree is not None
    assert [unit.name for unit in trees.units(tree)] == ["(module)", "A", "A.m", "A.m.inner"]
    for unit in trees.units(tree):
        assert all(
            unit.line <= first <= last <= unit.end or unit.name == "(module)" for first, last in unit.fragments.values()
        )


NAMES = st.sampled_from(["a", "b", "c", "d"])
EXPRESSIONS = st.recursive(
    NAMES | st.sampled_from(["1", "len(a)", "'text'"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "<", "==", "and"]), inner).map(" ".join).map("({})".format)
        | st.tuples(NAMES, inner, inner).map(lambda parts: "{}({}, {})".format(*parts))
    ),
    max_leaves=8,
)
STATEMENTS = st.tuples(NAMES, EXPRESSIONS).map(lambda parts: "{} = {}".format(*parts)) | EXPRESSIONS.map(
    "return {}".format
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STATEMENTS, min_size=1, max_size=8), st.permutations(["p", "q", "r", "s"]))
def test_any_consistent_renaming_leaves_every_fragment(body, order):
    """Whatever the program: swapping names for others, even crosswise, changes nothing."""
    text = "def f(a, b):\n" + "\n".join(f"    {line}" for line in body)
    table = dict(zip("abcd", order, strict=True))
    renamed = "".join(table.get(piece, piece) for piece in _words(text))
    one, two = (reading.parse(item)[0] for item in (text, renamed))
    assert one is not None and two is not None
    assert [unit.fragments for unit in trees.units(one)] == [unit.fragments for unit in trees.units(two)]


def _words(text: str) -> list[str]:
    return re.split(r"\b", text)
