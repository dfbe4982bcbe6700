"""Why two files match: which functions, which statements of them, and what was different on the surface."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from shared.originality import evidence, tokens
from shared.originality.compare import Comparison, Pair
from shared.originality.evidence import DENSITY, SLACK, Weighted, Weights
from shared.originality.profiles import Place
from shared.originality.trees import Unit

LEAST = 0.02  # evidence of a function match that is worth showing
LEAST_RUN = 20.0  # nats of a run that is worth showing
MOST_UNITS = 25  # function matches shown of one pair of files
MOST_ODDITIES = 40


@dataclass(frozen=True)
class Statement:
    """Two statements that share fragments.

    Attributes:
        weight: Nats of what they share.
        how: `identical`, `renamed` (same tokens, other names) or `structure` (same only after normalising the tree).
    """

    left: Place
    right: Place
    weight: float
    how: str


@dataclass(frozen=True)
class UnitMatch:
    """Two functions (classes, files' own statements) that match.

    Attributes:
        share: Shared weight over the weight of the smaller one, 0 to 1.
        fragments: How many fragments both have.
        adds: What the match adds to the evidence.
        names: Names that stand in the same place: (left, right), most frequent first.
        touched: Lines of either side that share a fragment with some line of the other.
    """

    left: Unit
    right: Unit
    share: float
    fragments: int
    adds: float
    statements: tuple[Statement, ...]
    names: tuple[tuple[str, str], ...]
    touched: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Run:
    """Lines of a run of grams that both files have."""

    left: Place
    right: Place
    grams: int


@dataclass(frozen=True)
class SharedOddity:
    """A literal, number, comment or word that both have: its kind, text and lines."""

    kind: str
    text: str
    left: int
    right: int


@dataclass(frozen=True)
class Explanation:
    """Everything that the evidence of a pair rests on, and what each channel adds to it."""

    shares: dict[str, float]
    units: tuple[UnitMatch, ...]
    runs: tuple[Run, ...]
    oddities: tuple[SharedOddity, ...]


def explain(pair: Pair, comparison: Comparison) -> Explanation:
    """Find again, with places, what the score of a pair counted."""
    return Explanation(
        comparison.calibration.shares(pair.score),
        _unit_matches(pair, comparison),
        _runs(pair.one, pair.two, comparison.weights),
        _oddities(pair.one, pair.two, comparison.weights),
    )


def _unit_matches(pair: Pair, comparison: Comparison) -> tuple[UnitMatch, ...]:
    one, two, weights = pair.one, pair.two, comparison.weights
    scale = comparison.calibration.highest / evidence.COUNTS["trees"]
    ranked = []
    for (i, j), shared in evidence.unit_matches(one, two, weights).items():
        smaller = min(one.unit_weights[i], two.unit_weights[j])
        adds = shared * (shared / (smaller + SLACK)) ** DENSITY / scale
        ranked.append((adds, i, j, shared / smaller))
    ranked.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    chosen: list[UnitMatch] = []
    lefts, rights = set(), set()
    for adds, i, j, share in ranked:
        if adds >= LEAST and i not in lefts and j not in rights and len(chosen) < MOST_UNITS:
            lefts.add(i)
            rights.add(j)
            chosen.append(_unit_match(pair, i, j, (share, adds), weights))
    return tuple(sorted(chosen, key=lambda match: -match.adds))


def _unit_match(pair: Pair, i: int, j: int, value: tuple[float, float], weights: Weights) -> UnitMatch:
    left, right = pair.one.profile.units[i], pair.two.profile.units[j]
    shared = [f for f in left.fragments.keys() & right.fragments.keys() if weights("fragments", f) > 0]
    together: dict[tuple[Place, Place], float] = defaultdict(float)
    for fragment in shared:
        together[left.fragments[fragment], right.fragments[fragment]] += weights("fragments", fragment)
    statements, names = [], Counter[tuple[str, str]]()
    taken_left, taken_right = set(), set()
    for (here, there), weight in sorted(together.items(), key=lambda entry: (-entry[1], entry[0])):
        if here not in taken_left and there not in taken_right:
            taken_left.add(here)
            taken_right.add(there)
            how, pairs = _difference(_tokens(pair.one, here), _tokens(pair.two, there))
            names.update(pairs)
            statements.append(Statement(here, there, weight, how))
    statements.sort(key=lambda item: item.left)
    common = tuple(name for name, _ in names.most_common(8))
    touched = (_covered(here for here, _ in together), _covered(there for _, there in together))
    return UnitMatch(left, right, value[0], len(shared), value[1], tuple(statements), common, touched)


def _covered(places: Iterable[Place]) -> tuple[int, ...]:
    return tuple(sorted({line for first, last in places for line in range(first, last + 1)}))


def _tokens(side: Weighted, place: Place) -> list[tokens.Token]:
    text = "\n".join(side.profile.source.text.split("\n")[place[0] - 1 : place[1]])
    return [token for token in tokens.lex(text) if token.kind not in ("comment", "newline")]


def _difference(left: list[tokens.Token], right: list[tokens.Token]) -> tuple[str, list[tuple[str, str]]]:
    if [token.text for token in left] == [token.text for token in right]:
        return "identical", []
    if tokens.normalise(left)[0] != tokens.normalise(right)[0]:
        return "structure", []
    both = zip(left, right, strict=False)
    return "renamed", [(a.text, b.text) for a, b in both if a.kind == b.kind == "name" and a.text != b.text]


def _runs(one: Weighted, two: Weighted, weights: Weights) -> tuple[Run, ...]:
    """The runs that count, in the order of the one file."""
    found = evidence.token_runs(one, two, weights)
    return tuple(
        Run(one.profile.gram_lines(*run.left), two.profile.gram_lines(*run.right), run.matches)
        for run in found
        if run.weight >= LEAST_RUN
    )


def _oddities(one: Weighted, two: Weighted, weights: Weights) -> tuple[SharedOddity, ...]:
    found = []
    for odd in one.odd & two.odd:
        here, there = one.profile.odd[odd], two.profile.odd[odd]
        found.append(SharedOddity(evidence.odd_kind(one, odd, weights), here.text, here.line, there.line))
    order = {"misspelling": 0, "comment": 1, "literal": 2, "number": 3, "rare word": 4}
    found.sort(key=lambda item: (order[item.kind], item.left, item.text))
    return tuple(found[:MOST_ODDITIES])
