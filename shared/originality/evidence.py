"""From what two files share to evidence: how much rarer it is than what independent files share.

Every shared fragment weighs its inverse document frequency, in code at large or in the class. In the tree channel
weights add up per pair of functions and count by how dense they are: a copied function shares most of its fragments,
independent ones share a scatter. In the token channel they add up per run of matches. The three channels are added as
COUNTS says, and the sum is read against the sums of pairs that are known to be independent: 1.0 is the highest of
those, and the p-value is empirical.

Source: Spärck Jones 1972 (inverse document frequency); Davison and Hinkley 1997, §4.2 (empirical p-value, with one
added above and below so that it is never zero).
"""

import bisect
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from shared.errors import UserError
from shared.originality import oddities
from shared.originality.alignment import Run, added_up, aligned_runs
from shared.originality.background import Background
from shared.originality.profiles import Profile

TABLE = Path(__file__).with_name("calibration.json")
COUNTS = {"trees": 0.2, "tokens": 1.0, "oddities": 5.0}  # what one nat, or one point of oddities, counts in the sum
DENSITY = 2.0  # exponent: how strongly a scatter of common fragments counts for less than a dense match
SLACK = 40.0  # nats added to a function's weight, so that very short functions never match fully
HALF = 100.0  # nats of a run of grams that counts half; one that two innocents share by chance has less
MAX_PLACES = 36  # pairs of places of one fragment; one with more of them is an idiom of both files
MOST_FROM_ODDITIES = 1.0  # of the evidence: names of constants and messages of a protocol are shared without copying
COMMONPLACE = math.log(4)  # nats: a literal or word that more than a quarter of the others have is the assignment's
THRESHOLD = 1.5  # evidence above which the check fails: half as much again as any independent pair


class Weights:
    """Weights of fragments in one comparison: rare in code at large, and rare among these owners.

    Args:
        background: Document frequencies of code at large.
        owners: How many owners take part.
        spread: Kind -> fragment -> how many owners have it; fragments of one or two owners may be left out.
    """

    def __init__(
        self, background: Background, owners: int = 2, spread: dict[str, dict[int, int]] | None = None
    ) -> None:
        self.background = background
        self.owners = owners
        self.spread = spread or {}
        self.known: dict[str, dict[int, float]] = defaultdict(dict)

    def __call__(self, kind: str, fragment: int) -> float:
        """Weight in nats, at least 0: the inverse document frequency in code at large or among the others of the class.

        The smaller of the two counts, for what the assignment dictates is common here and rare elsewhere. The two
        that are compared do not count as having it: n owners of which h have it weigh ln((n - 1)/(h - 2)).
        """
        known = self.known[kind]
        weight = known.get(fragment)
        if weight is None:
            weight = known[fragment] = self._weight(kind, fragment)
        return weight

    def _weight(self, kind: str, fragment: int) -> float:
        rarity = self.background.weight(kind, fragment)
        beside = self.spread.get(kind, {}).get(fragment, 2) - 2  # owners that have it beside the two compared
        return min(rarity, math.log((self.owners - 1) / beside)) if beside > 0 else rarity


class Weighted:
    """A profile ready for comparison: what weighs nothing is gone, functions know their weight.

    Attributes:
        where: Fragment -> numbers of the units that have it.
        unit_weights: Sum of the weights of each unit's fragments, in nats.
    """

    __slots__ = ("grams", "odd", "profile", "unit_weights", "where")

    def __init__(self, profile: Profile, weights: Weights) -> None:
        self.profile = profile
        where: dict[int, list[int]] = {}
        self.unit_weights = []
        for number, unit in enumerate(profile.units):
            total = 0.0
            for fragment in unit.fragments:
                weight = weights("fragments", fragment)
                if weight > 0:
                    where.setdefault(fragment, []).append(number)
                    total += weight
            self.unit_weights.append(total)
        self.where = where
        self.grams = {gram for gram in profile.grams if weights("grams", gram) > 0}
        self.odd = {odd for odd in profile.odd if not _is_commonplace(odd, weights)}


def _is_commonplace(odd: int, weights: Weights) -> bool:
    return odd >> 32 in weights.background.counts["oddities"] or weights("oddities", odd) < COMMONPLACE


def unit_matches(one: Weighted, two: Weighted, weights: Weights) -> dict[tuple[int, int], float]:
    """Pairs of units -> weight of what they share, in nats."""
    shared: dict[tuple[int, int], float] = defaultdict(float)
    known = weights.known["fragments"]
    here, there = (one.where, two.where) if len(one.where) <= len(two.where) else (two.where, one.where)
    for fragment in here.keys() & there.keys():
        left, right = one.where[fragment], two.where[fragment]
        if len(left) * len(right) <= MAX_PLACES:
            weight = known[fragment]
            for i in left:
                for j in right:
                    shared[i, j] += weight
    return shared


def tree_score(one: Weighted, two: Weighted, weights: Weights) -> float:
    """Weight of matching functions, by density: Σ s·(s/(smaller function + slack))^2 over each one's best partner.

    The sum is taken from both sides and the smaller one counts: many functions like one are one function.
    """
    best_left: dict[int, float] = {}
    best_right: dict[int, float] = {}
    left, right = one.unit_weights, two.unit_weights
    for (i, j), shared in unit_matches(one, two, weights).items():
        density = shared / (min(left[i], right[j]) + SLACK)
        value = shared * density**DENSITY
        if value > best_left.get(i, 0.0):
            best_left[i] = value
        if value > best_right.get(j, 0.0):
            best_right[j] = value
    return min(math.fsum(best_left.values()), math.fsum(best_right.values()))


def token_runs(one: Weighted, two: Weighted, weights: Weights) -> list[Run]:
    """Grams that both have, joined to runs."""
    known, here, there = weights.known["grams"], one.profile.grams, two.profile.grams
    return aligned_runs((here[gram], there[gram], known[gram]) for gram in one.grams & two.grams)


def token_score(one: Weighted, two: Weighted, weights: Weights) -> float:
    """Weight of the runs of grams that both have; a short run counts for little."""
    return added_up(token_runs(one, two, weights), HALF)


def odd_score(one: Weighted, two: Weighted, weights: Weights) -> float:
    """Weight of the oddities that both have; the i-th of a kind counts 1/√i, for they come in families."""
    kinds: dict[str, int] = defaultdict(int)
    total = 0.0
    for odd in sorted(one.odd & two.odd):
        kind = odd_kind(one, odd, weights)
        kinds[kind] += 1
        total += oddities.WEIGHTS[kind] / math.sqrt(kinds[kind])
    return total


def odd_kind(one: Weighted, odd: int, weights: Weights) -> str:
    """The kind of an oddity; an uncommon word is looked up for a misspelling only once it is shared."""
    found = one.profile.odd[odd]
    if found.kind == "rare word" and oddities.misspells(found.text, weights.background.words):
        return "misspelling"
    return found.kind


@dataclass(frozen=True, slots=True)
class Score:
    """Raw scores of a pair, in nats (the oddities in points)."""

    trees: float
    tokens: float
    oddities: float


def score(one: Weighted, two: Weighted, weights: Weights) -> Score:
    """Compare two files in the three channels."""
    return Score(tree_score(one, two, weights), token_score(one, two, weights), odd_score(one, two, weights))


@dataclass(frozen=True)
class Calibration:
    """What pairs known to be independent reach.

    Attributes:
        pairs: How many such pairs there were.
        highest: Sum of channels, as COUNTS adds them up, that the highest pair reached.
        null: Evidence of independent pairs, ascending: every value of the upper part, a grid below.
        ranks: For each value of `null`, how many pairs reached it.
    """

    pairs: int
    highest: float
    null: list[float]
    ranks: list[int]

    def evidence(self, found: Score) -> float:
        """Evidence of a score: 1.0 is what the most alike of the independent pairs reached."""
        return sum(self.shares(found).values())

    def shares(self, found: Score) -> dict[str, float]:
        """What each channel adds to the evidence; oddities alone never add more than 1."""
        shares = {channel: count * getattr(found, channel) / self.highest for channel, count in COUNTS.items()}
        return shares | {"oddities": min(shares["oddities"], MOST_FROM_ODDITIES)}

    def p_value(self, evidence: float) -> float:
        """Share of independent pairs that reach the evidence, in [1/(pairs + 1), 1]; rounded up between grid points."""
        place = bisect.bisect_right(self.null, evidence + 1e-12)
        if place == len(self.null) and self.null and evidence > self.null[-1] + 1e-12:
            return 1 / (self.pairs + 1)
        reached = self.ranks[max(0, place - 1)]
        return (1 + reached) / (self.pairs + 1)


UPPER = 200  # values of the null distribution that are kept one by one


def calibrate(scores: Sequence[Score]) -> Calibration:
    """Null distribution from pairs known to be independent.

    Raises:
        UserError: If there are fewer than 100 pairs.
    """
    if len(scores) < 100:
        raise UserError(f"{len(scores)} independent pairs are too few for a null distribution; give at least 100")
    totals = sorted(sum(count * getattr(item, channel) for channel, count in COUNTS.items()) for item in scores)
    highest = totals[-1] or 1.0
    n = len(totals)
    places = sorted({*range(max(0, n - UPPER), n), *(round(i * (n - 1) / UPPER) for i in range(UPPER + 1))})
    values = [round(totals[place] / highest, 6) for place in places]
    return Calibration(n, highest, values, [n - bisect.bisect_left(totals, totals[place]) for place in places])


@lru_cache(maxsize=1)
def load(path: Path = TABLE) -> Calibration:
    """Read the calibration.

    Raises:
        UserError: If it is missing or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(data["pairs"], data["highest"], data["null"], data["ranks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read the calibration {path}: {error}; restore it from the repository") from None
