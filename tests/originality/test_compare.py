"""Whole sets: copies are found, base code and common fragments are not, and nothing depends on any order."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from shared.lab.originality.attacks import apply, functions
from shared.originality import background, base, profiles, reading, tokens
from shared.originality.alignment import REACH
from shared.originality.compare import clustered, compare

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(os.__file__).parent


def of(owner: str, text: str, name: str = "work.py") -> reading.Source:
    return reading.from_text(text, owner, name)


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    """Functions of the standard library, in a fixed shuffle: raw material for submissions."""
    names = (
        "argparse.py",
        "shutil.py",
        "textwrap.py",
        "statistics.py",
        "zipfile.py",
        "mailbox.py",
        "cgitb.py",
        "plistlib.py",
    )
    found = [
        piece for name in names if (LIBRARY / name).exists() for piece in functions.pieces((LIBRARY / name).read_text())
    ]
    found = [piece for piece in found if 6 <= piece.count("\n") <= 40]
    Random(0).shuffle(found)
    assert len(found) > 150
    return found


@pytest.fixture(scope="module")
def classroom(pieces) -> list[reading.Source]:
    """Twelve submissions with nothing in common, but for the last two, which disguise parts of the first two."""
    texts = ["\n".join(pieces[n * 8 : n * 8 + 8]) for n in range(12)]
    rng = Random(1)
    texts[10] = functions.partial(texts[0], texts[10], rng, share=0.4)
    texts[11] = apply(("temporaries", "rename"), texts[1], rng)
    texts[10] = apply(("rename", "for and while"), texts[10], rng)
    return [of(f"s{n:02}", text) for n, text in enumerate(texts)]


def test_copies_are_found_and_nobody_else(classroom):
    found = compare(classroom)
    assert {(item.one, item.two) for item in found.owners if item.best.evidence >= 1.5} == {
        ("s00", "s10"),
        ("s01", "s11"),
    }
    assert found.clusters == [["s00", "s10"], ["s01", "s11"]]
    assert found.compared == 66
    assert all(pair.p_value <= 1e-4 for pair in found.above)


def test_order_of_files_changes_nothing(classroom):
    def result(sources):
        found = compare(sources)
        return [(pair.titles, pair.evidence, pair.score) for pair in found.pairs], found.clusters

    assert result(classroom) == result(classroom[::-1]) == result(sorted(classroom, key=lambda s: hash(s.text)))


def test_hash_seed_changes_nothing(tmp_path, classroom):
    for source in classroom[:3] + classroom[10:]:
        (tmp_path / "class" / source.owner).mkdir(parents=True)
        (tmp_path / "class" / source.owner / "x.py").write_text(source.text)
    reports = []
    for seed in ("0", "1"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "shared.originality", "--class-folder", str(tmp_path / "class")]
        done = subprocess.run(
            [*command, "--out", str(out)], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, check=False
        )
        assert done.returncode == 1
        reports.append([(out / name).read_bytes() for name in ("report.html", "pairs.csv", "report.json")])
    assert reports[0] == reports[1]


def test_files_of_one_owner_are_not_compared(program):
    found = compare([of("ana", program, "a.py"), of("ana", program, "b.py"), of("eva", "x = 1\n")])
    assert found.compared == 2 and not found.above


def test_references_are_not_compared_with_one_another(program):
    other = apply(("rename",), program, Random(0))
    found = compare([of("ana", "x = [1, 2]\n")], [of("one", program), of("two", other)], within=False)
    assert found.compared == 2 and not found.above


# -------------------------------------------------------------------- base code

TEMPLATE = """
def load(path, limit=None):
    rows = []
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            if limit is not None and number >= limit:
                break
            fields = [field.strip() for field in line.split(";")]
            rows.append({"name": fields[0], "value": float(fields[1]) * 1.75, "tags": fields[2:]})
    return sorted(rows, key=lambda row: (-row["value"], row["name"]))

def report(rows, width=72):
    longest = max(len(row["name"]) for row in rows)
    for row in rows:
        bar = "#" * int(row["value"] / rows[0]["value"] * (width - longest - 12))
        print(f"{row['name']:<{longest}} {row['value']:>10.2f} {bar}")

def solve(rows):
    raise NotImplementedError("your part")
"""
EDITED = (
    TEMPLATE.replace("limit is not None and number >= limit", "limit is not None and number > limit + 1")
    .replace("* 1.75", "* 1.8 + 0.25")
    .replace('(-row["value"], row["name"])', '(row["value"], row["name"], len(row))')
    .replace("width - longest - 12", "width - longest - 14 - len(rows)")
)


def answer(body: str, template: str = TEMPLATE) -> str:
    return template.replace('    raise NotImplementedError("your part")\n', body)


OWN = [
    """    best = {}
    for row in rows:
        for tag in row["tags"]:
            best[tag] = max(best.get(tag, 0), row["value"])
    return best
""",
    """    total = sum(row["value"] for row in rows)
    return [round(100 * row["value"] / total, 3) for row in rows if "x" in row["tags"]]
""",
]


def test_base_code_does_not_count():
    texts = [answer(body) for body in OWN]
    submissions = [of("ana", texts[0]), of("eva", apply(("rename", "shuffle"), texts[1], Random(0)))]
    assert compare(submissions).above
    found = compare(submissions, templates=[of("course", TEMPLATE)])
    assert not found.above and all(pair.evidence < 0.5 for pair in found.pairs)


def test_edited_base_code_does_not_count_either():
    """Both made the very same edits of given code: were they not seen as edits, they would be evidence."""
    submissions = [of("ana", answer(OWN[0], EDITED)), of("eva", answer(OWN[1], EDITED))]
    assert compare(submissions).above
    found = compare(submissions, templates=[of("course", TEMPLATE)])
    assert all(pair.evidence < 0.5 for pair in found.pairs), [pair.score for pair in found.pairs]


def test_base_code_does_not_count_where_nothing_parses():
    submissions = [of("ana", answer(OWN[0]) + "print 'two'\n"), of("eva", answer(OWN[1]) + "exec 'two'\n")]
    assert compare(submissions).pairs[0].score.tokens > 100
    found = compare(submissions, templates=[of("course", TEMPLATE)])
    assert all(pair.score.tokens < 21 for pair in found.pairs), "at most the grams that reach from given code into own"


def test_a_statement_that_is_mostly_the_templates_goes_as_a_whole():
    """One given statement, renamed and with an argument more, in a long function of one's own."""
    order = "key=lambda row: (-row.value * 7, row.name.lower(), len(row.tags))"
    given = f"def f(rows):\n    return sorted(rows.items(), {order})\n"
    mine = "        x.alpha(y.beta[3], z ** 5)\n        y = [x.gamma(z, q=2), z.delta // 9]\n" * 4
    text = (
        "def g(z, y, x):\n    for w in z:\n" + mine + "    return sorted(z.items(), key=lambda t: "
        "(-t.value * 7, t.name.lower(), len(t.tags)), reverse=bool(x.omega))\n"
    )
    item = profiles.profile(of("ana", text))
    last = text.count("\n")
    base.remove(item, base.gather([profiles.profile(of("course", given))]), background.load())
    assert item.dropped == {last}
    assert all(place[1] < last for unit in item.units for place in unit.fragments.values())
    assert any(unit.fragments for unit in item.units)


def test_a_copied_answer_inside_the_template_still_counts(pieces):
    part = "".join("    " + line + "\n" for line in "\n".join(pieces[100:103]).splitlines())
    submissions = [
        of("ana", answer(part + OWN[0])),
        of("eva", apply(("rename",), answer(part + OWN[1], EDITED), Random(2))),
    ]
    found = compare(submissions, templates=[of("course", TEMPLATE)])
    assert found.above
    dropped = found.above[0].one.profile.dropped
    assert dropped and len(dropped) < TEMPLATE.count("\n")


def test_what_everybody_has_does_not_count(pieces):
    """A helper from the blackboard, in all twelve submissions and given as no template."""
    common = "\n".join(pieces[120:124])
    texts = [common + "\n" + "\n".join(pieces[n * 4 : n * 4 + 4]) for n in range(12)]
    assert compare([of("s0", texts[0]), of("s1", texts[1])]).above
    assert not compare([of(f"s{n}", text) for n, text in enumerate(texts)]).above


def test_what_a_small_class_was_told_does_not_count(pieces):
    """The same in a class of six: what the others have as well says nothing about two of them."""
    common = "\n".join(pieces[120:123])
    texts = [common + "\n" + "\n".join(pieces[n * 4 : n * 4 + 4]) for n in range(6)]
    assert not compare([of(f"s{n}", text) for n, text in enumerate(texts)]).above


def test_three_who_share_are_found_in_a_class_of_ten(pieces):
    """Some of a class copying from one another must not make what they copied everybody's."""
    texts = ["\n".join(pieces[n * 6 : n * 6 + 6]) for n in range(10)]
    for n in (7, 8):
        texts[n] = apply(("rename", "shuffle"), functions.partial(texts[9], texts[n], Random(n), share=0.5), Random(n))
    found = compare([of(f"s{n}", text) for n, text in enumerate(texts)])
    assert found.clusters == [["s7", "s8", "s9"]]


# -------------------------------------------------------------------- the rest


def test_unparsable_copy_is_found_by_its_tokens(pieces):
    text = "\n".join(pieces[:12])
    broken = apply(("rename",), text, Random(0)) + "\nprint 'python 2'\n"
    found = compare([of("ana", text), of("eva", broken)])
    assert found.above and found.above[0].score.trees == 0
    assert [note.kind for note in found.above[0].two.profile.notes] == ["unparsed"]


def test_copy_hidden_in_exec_is_found(pieces):
    text = "\n".join(pieces[:6])
    hidden = f"x = 1\nexec({apply(('rename',), text, Random(0))!r})\n"
    found = compare([of("ana", text), of("eva", hidden)])
    assert found.above and found.above[0].score.trees > 0


def test_runs_of_hidden_code_say_its_lines_and_none_leads_into_it():
    body = "".join(f"    a{n} = b[{n}] + c.d\n" for n in range(9))
    source = of("eva", f"x = 1\nexec('''def f(b, c):\n{body}''')\n")
    item = profiles.profile(source)
    own, _ = tokens.fingerprints(tokens.lex(source.text))
    hidden = [place for gram, place in item.grams.items() if gram not in own]
    assert len(hidden) > 12 and {item.gram_lines(place, place)[0] for place in hidden} <= set(range(2, 12))
    assert min(hidden) > max(own.values(), default=0) + REACH


def test_clusters_are_joined_through_a_common_source(classroom):
    found = compare([*classroom, of("s12", apply(("shuffle", "conditions"), classroom[1].text, Random(5)))])
    assert found.clusters[0] == ["s01", "s11", "s12"]
    assert clustered([], 1.5) == []
