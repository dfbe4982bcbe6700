"""Scores equal their definitions; p-values are honest on pairs that nobody calibrated on."""

import itertools
import math
from random import Random

import pytest

from shared.errors import UserError
from shared.lab.originality import calibrate, counting
from shared.lab.originality.attacks import apply
from shared.originality import background, evidence, oddities, profiles, reading, tokens
from shared.originality.evidence import DENSITY, HALF, MAX_PLACES, SLACK, Score, Weighted, Weights


@pytest.fixture(scope="module")
def weights():
    return Weights(background.load())


def ready(text: str, weights: Weights, owner: str = "ana") -> Weighted:
    return Weighted(profiles.profile(reading.from_text(text, owner, "x.py")), weights)


def test_tree_score_equals_its_definition(program, weights):
    """By double loop over functions, from the docstring's formula."""
    one, two = ready(program, weights), ready(apply(("temporaries", "dead code 50 %"), program, Random(4)), weights)
    everywhere = {
        side: {f: [n for n, u in enumerate(item.profile.units) if f in u.fragments] for f in item.where}
        for side, item in (("one", one), ("two", two))
    }

    def weight(unit):
        return sum(weights("fragments", fragment) for fragment in unit.fragments)

    def value(left, right):
        shared = sum(
            weights("fragments", fragment)
            for fragment in left.fragments.keys() & right.fragments.keys()
            if fragment in one.where
            and len(everywhere["one"][fragment]) * len(everywhere["two"][fragment]) <= MAX_PLACES
        )
        return shared * (shared / (min(weight(left), weight(right)) + SLACK)) ** DENSITY

    table = [[value(left, right) for right in two.profile.units] for left in one.profile.units]
    expected = min(sum(map(max, table)), sum(map(max, zip(*table, strict=True))))
    assert evidence.tree_score(one, two, weights) == pytest.approx(expected, rel=1e-9)
    assert expected > 100


def test_token_score_of_a_text_with_itself_is_one_run(program, weights):
    one, two = ready(program, weights), ready(program, weights, "eva")
    places, _ = tokens.fingerprints(tokens.lex(program))
    weight = sum(weights("grams", gram) for gram in places)
    assert evidence.token_score(one, two, weights) == pytest.approx(weight**2 / (weight + HALF))
    assert weight > 1000


def test_what_stands_around_a_stolen_part_changes_nothing(program, weights):
    """A part is judged by itself: the same evidence in one's own short file as in a long one."""
    stolen = program[program.index("    def scores") : program.index("def best")]
    others = [f"def f{n}(x):\n    y[x.a{n} ** {n}].b(c=~x, d=[x < {n}, {{x}}])\n" for n in range(40)]
    donor = ready(program, weights)
    short, long = (
        ready(text, weights, "eva") for text in (f"class A:\n{stolen}{''.join(others[:n])}" for n in (1, 40))
    )
    found = [evidence.token_score(donor, item, weights) for item in (short, long)]
    assert found[0] == pytest.approx(found[1], rel=0.02) and found[0] > 3 * HALF


def test_scores_are_symmetric(program, weights):
    one, two = ready(program, weights), ready(apply(("rename", "duplicated statements"), program, Random(0)), weights)
    assert evidence.score(one, two, weights) == evidence.score(two, one, weights)


def test_many_functions_like_one_count_once(weights):
    body = (
        "def f{}(rows, limit):\n    for row in rows.values():\n        if row.size * 3 > limit - row.rest:\n"
        "            yield row.first(limit, key=row.name)\n"
    )
    once = ready(body.format(0), weights)
    often = ready("".join(body.format(n) for n in range(5)), weights)
    assert evidence.tree_score(once, often, weights) <= evidence.tree_score(once, once, weights)


def test_weight_falls_with_the_owners_that_have_it():
    """n owners of which h have it: ln((n - 1)/(h - 2)), the two that are compared left out; never above the table's."""
    table = background.load()
    rare = 1 << 63
    assert rare >> 32 not in table.counts["fragments"]

    def weight(owners, having):
        return Weights(table, owners, {"fragments": {rare: having}})("fragments", rare)

    assert weight(100, 2) == Weights(table)("fragments", rare) == pytest.approx(math.log(table.files))
    assert weight(100, 5) == pytest.approx(math.log(99 / 3))
    assert weight(10**9, 3) == weight(100, 2), "rare in a class of a milliard, but not that rare in code at large"
    assert weight(100, 2) > weight(100, 5) > weight(100, 20) > weight(100, 100) > 0
    assert weight(4, 4) == pytest.approx(math.log(3 / 2)), "in a small class too, what all have is the assignment's"


def test_common_idioms_weigh_little(weights):
    fragments = ready("def f(x):\n    for i in range(len(x)):\n        print(i)\n", weights).where
    rare = ready("def f(x):\n    for i in x.quarter(len(x), turn=-7):\n        x.bind(i ** 0.5)\n", weights).where
    assert max(weights("fragments", f) for f in fragments) < max(weights("fragments", f) for f in rare)


# -------------------------------------------------------------------- calibration


def synthetic(n: int) -> list[Score]:
    rng = Random(1)
    return [Score(rng.expovariate(1), rng.expovariate(0.1), rng.choice([0.0, 0.4, 2.5])) for _ in range(n)]


def test_p_value_is_the_empirical_one():
    scores = synthetic(500)
    made = evidence.calibrate(scores)
    values = [made.evidence(score) for score in scores]
    for value in values:
        exact = (1 + sum(other >= value - 1e-9 for other in values)) / 501
        assert exact - 1e-12 <= made.p_value(value) <= exact + 0.011, "exact above, rounded up on the grid below"
    top = sorted(values)[-100:]
    for value in top:
        rank = 1 + sum(other >= value - 1e-9 for other in values)
        assert rank / 501 <= made.p_value(value) <= (rank + 1) / 501, "the table keeps six digits and rounds p up"
    assert max(values) == pytest.approx(1.0)
    assert made.p_value(1.01) == 1 / 501 and made.p_value(0.0) <= 1.0
    assert made.p_value(10) <= made.p_value(0.5) <= made.p_value(0.1)


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match="at least 100"):
        evidence.calibrate(synthetic(99))


def test_damaged_tables_are_user_errors(tmp_path):
    for text in ("", "[]", '{"files": 3}', '{"pairs": 3}'):
        (tmp_path / "table.json").write_text(text)
        with pytest.raises(UserError, match="restore"):
            background.load.__wrapped__(tmp_path / "table.json")
        with pytest.raises(UserError, match="restore"):
            evidence.load.__wrapped__(tmp_path / "table.json")


def test_background_table_survives_writing(tmp_path):
    files = counting.library_files(each=12, seed=3)
    made = counting.count(files)
    counting.save(made, tmp_path / "table.json")
    back = background.load.__wrapped__(tmp_path / "table.json")
    assert back.files == made.files == 12
    for kind in background.KINDS:
        assert back.counts[kind].keys() == made.counts[kind].keys()
        assert all(n == made.counts[kind][key] for key, n in back.counts[kind].items() if n < 8)
    assert made.counts["fragments"] and made.counts["oddities"]


HELD_OUT = (
    "absl",
    "yaml",
    "filelock",
    "narwhals",
    "peft",
    "pluggy",
    "typeguard",
    "grpc",
    "idna",
    "sortedcontainers",
    "pathspec",
)


def test_p_values_on_independent_pairs_that_were_not_calibrated_on(weights):
    """Uniform, or larger: of these pairs about a tenth has p ≤ 0.1, and few have much less."""
    assert not set(HELD_OUT) & {*counting.PACKAGES, *calibrate.PACKAGES}
    made = [
        ready(file.read_text(encoding="utf-8"), weights, package)
        for package in HELD_OUT
        for file in counting.installed([package], 4, seed=1)
    ]
    null = evidence.load()
    p = [
        null.p_value(null.evidence(evidence.score(one, two, weights)))
        for one, two in itertools.combinations(made, 2)
        if one.profile.owner != two.profile.owner
    ]
    if len(p) < 300:
        pytest.skip(f"only {len(p)} pairs: the packages are not installed")
    share = {level: sum(value <= level for value in p) / len(p) for level in (0.5, 0.1, 0.01)}
    assert 0.3 < share[0.5] < 0.65 and 0.04 < share[0.1] < 0.16 and share[0.01] < 0.03, share
    assert max(null.evidence(evidence.score(one, two, weights)) for one, two in zip(made, made[4:], strict=False)) < 1.5


# -------------------------------------------------------------------- oddities


def odd(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in oddities.oddities(tokens.lex(text)).values():
        found.setdefault(item.kind, set()).add(item.text)
    return found


def test_oddities_are_literals_numbers_comments_and_words():
    found = odd('x = "an unusual message"  # as Müller says it\ny = 1013904223 + 0.1 + 1000\nz = "key"\n')
    assert found["literal"] == {"an unusual message"}
    assert found["number"] == {"1013904223"}
    assert found["comment"] == {"as Müller says it"}
    assert {"unusual", "message"} <= found["rare word"]


@pytest.mark.parametrize(
    ("word", "wrong"),
    [("paramter", True), ("retrun", True), ("seperate", True), ("parameter", False), ("zzyzx", False)],
)
def test_misspellings_are_one_edit_from_a_common_word(word, wrong):
    words = background.load().words
    known = oddities.key("w:" + word) in words
    assert (not known and oddities.misspells(word, words)) == wrong


def test_a_shared_misspelling_is_seen_and_commonplaces_are_not(score):
    one = "# we seperate the two halfs of the signal\ndef f(paramter):\n    return paramter\n"
    two = "# we seperate the two halfs of the signal\nclass G:\n    paramter = None\n"
    assert score(one, two).oddities > 4
    assert score("import os  # see the documentation\nvalue = 'utf-8'", "value = 'utf-8'\nimport os").oddities == 0
