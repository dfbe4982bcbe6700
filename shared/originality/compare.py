"""Comparison of whole sets: submissions with one another and with references, base code out, clusters drawn."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.originality import background, base, evidence
from shared.originality.evidence import Calibration, Score, Weighted, Weights
from shared.originality.profiles import Profile, profile
from shared.originality.reading import Source


@dataclass(frozen=True)
class Pair:
    """Two files of different owners and what was found.

    Attributes:
        evidence: 1.0 is the most alike pair of those known to be independent.
        p_value: Share of independent pairs that reach the evidence.
    """

    one: Weighted
    two: Weighted
    score: Score
    evidence: float
    p_value: float

    @property
    def titles(self) -> tuple[str, str]:
        """Both files as shown."""
        return self.one.profile.source.title, self.two.profile.source.title


@dataclass(frozen=True)
class OwnerPair:
    """Two owners, by their most alike files.

    Attributes:
        adjusted: The best pair's p-value times the number of file pairs of these owners, at most 1 (Bonferroni).
    """

    one: str
    two: str
    best: Pair
    pairs: int
    adjusted: float


@dataclass(frozen=True)
class Comparison:
    """What came out: every pair of files with any evidence, owners, and clusters of owners above the threshold."""

    profiles: list[Profile]
    pairs: list[Pair]
    compared: int
    owners: list[OwnerPair]
    clusters: list[list[str]]
    threshold: float
    weights: Weights
    calibration: Calibration

    @property
    def above(self) -> list[Pair]:
        """Pairs of files at or above the threshold, strongest first."""
        return [pair for pair in self.pairs if pair.evidence >= self.threshold]


def compare(
    submissions: Iterable[Source],
    references: Iterable[Source] = (),
    templates: Iterable[Source] = (),
    *,
    threshold: float = evidence.THRESHOLD,
    within: bool = True,
) -> Comparison:
    """Compare every submission with every reference and, with `within`, with every other submission.

    Args:
        submissions: Files with their owners; files of one owner are not compared with one another.
        references: External solutions; they are not compared with one another.
        templates: Base code that everybody was given.
        threshold: Evidence from which a pair counts as above.
        within: Whether submissions are compared with one another.
    """
    table, calibration = background.load(), evidence.load()
    own = _in_order(profile(source) for source in submissions)
    others = _in_order(profile(source) for source in references)
    given = base.gather(profile(source) for source in templates)
    if given.grams or given.fragments:
        for item in (*own, *others):
            base.remove(item, given, table)
    weights = Weights(table, len({item.owner for item in (*own, *others)}), spread([*own, *others]))
    one, two = [Weighted(item, weights) for item in own], [Weighted(item, weights) for item in others]
    couples = itertools.chain(itertools.combinations(one, 2) if within else (), itertools.product(one, two))
    scored: list[Pair] = []
    files: Counter[tuple[str, str]] = Counter()
    for left, right in couples:
        if left.profile.owner != right.profile.owner:
            files[left.profile.owner, right.profile.owner] += 1
            pair = _pair(left, right, weights, calibration)
            if pair.evidence > 0:
                scored.append(pair)
    scored.sort(key=lambda pair: (-pair.evidence, pair.titles))
    owners = _owners(scored, files)
    clusters = clustered(owners, threshold)
    return Comparison([*own, *others], scored, sum(files.values()), owners, clusters, threshold, weights, calibration)


def _in_order(profiles: Iterable[Profile]) -> list[Profile]:
    """By name, so that the order in which files were given changes nothing."""
    return sorted(profiles, key=lambda item: (item.owner, item.source.name))


def _pair(one: Weighted, two: Weighted, weights: Weights, calibration: Calibration) -> Pair:
    found = evidence.score(one, two, weights)
    value = calibration.evidence(found)
    return Pair(one, two, found, value, calibration.p_value(value))


def spread(profiles: Sequence[Profile]) -> dict[str, dict[int, int]]:
    """Kind -> fragment -> how many owners have it, where more than two do."""
    counts: dict[str, Counter[int]] = {kind: Counter() for kind in background.KINDS}
    by_owner: dict[str, list[Profile]] = defaultdict(list)
    for item in profiles:
        by_owner[item.owner].append(item)
    for items in by_owner.values():
        counts["fragments"].update({f for item in items for unit in item.units for f in unit.fragments})
        counts["grams"].update({gram for item in items for gram in item.grams})
        counts["oddities"].update({odd for item in items for odd in item.odd})
    return {kind: {fragment: n for fragment, n in table.items() if n > 2} for kind, table in counts.items()}


def _owners(pairs: Iterable[Pair], files: Counter[tuple[str, str]]) -> list[OwnerPair]:
    best: dict[tuple[str, str], Pair] = {}
    for pair in pairs:  # strongest first
        best.setdefault((pair.one.profile.owner, pair.two.profile.owner), pair)
    return [
        OwnerPair(one, two, pair, files[one, two], min(1.0, pair.p_value * files[one, two]))
        for (one, two), pair in best.items()
    ]


def clustered(owners: Iterable[OwnerPair], threshold: float) -> list[list[str]]:
    """Groups of owners that evidence at or above the threshold ties together, largest first (single linkage)."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for item in owners:
        if item.best.evidence >= threshold:
            leader[find(item.one)] = find(item.two)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(leader):
        groups[find(name)].append(name)
    return sorted(groups.values(), key=lambda group: (-len(group), group))
