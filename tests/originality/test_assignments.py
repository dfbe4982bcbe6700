"""Classes of one assignment: the manifest, reading the texts, thefts of the size that is said, sums and intervals."""

import hashlib
import json
from random import Random

import pytest

from shared.errors import UserError
from shared.lab.originality import assignments, classroom
from shared.lab.originality.attacks import functions
from shared.lab.originality.detectors import ClassOfOurs


def test_the_manifest_is_a_division_of_classes():
    found = assignments.manifest()
    held_out = [entry for entry in found.values() if entry["use"] == "held-out"]
    assert len(held_out) >= 3 and {entry["use"] for entry in found.values()} == {"held-out", "tuning"}
    for entry in found.values():
        names = [item["name"] for item in entry["solutions"]]
        assert len(set(names)) == len(names) >= 6
        for item in entry["solutions"]:
            assert len(item["sha256"]) == 64 and item["licence"] and item["lines"] >= 70
            assert ("package" in item and "==" in item["package"]) or "commit" in item["origin"]


@pytest.fixture
def small(tmp_path, monkeypatch, program):
    """A manifest of two solutions, both of them saved."""
    texts = {"ana": program, "eva": "def f(x):\n    return x\n"}
    entry = {
        "use": "held-out",
        "solutions": [
            {"name": name, "origin": "by hand, commit 1", "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in texts.items()
        ],
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"toy": entry}))
    monkeypatch.setattr(assignments, "MANIFEST", tmp_path / "manifest.json")
    (tmp_path / "toy").mkdir()
    for name, text in texts.items():
        (tmp_path / "toy" / f"{name}.py").write_text(text)
    return tmp_path


def test_texts_are_read_as_they_were_measured(small, program):
    (found,) = assignments.load(small, "held-out")
    assert found.name == "toy" and found.solutions["ana"] == program and not found.handout
    assert assignments.load(small, "tuning") == [] == assignments.fetch(small)


def test_a_missing_or_another_text_is_refused(small):
    (small / "toy" / "eva.py").write_text("def f(x):\n    return x + 1\n")
    with pytest.raises(UserError, match=r"eva\.py is not the text that was measured"):
        assignments.load(small, "held-out")
    (small / "toy" / "eva.py").unlink()
    with pytest.raises(UserError, match=r"cannot read .*eva\.py"):
        assignments.load(small, "held-out")
    assert assignments.fetch(small) == [(str(small / "toy" / "eva.py"), "by hand, commit 1")]


@pytest.mark.parametrize("share", [0.25, 0.1])
def test_a_stolen_part_is_of_the_size_that_is_said(program, share):
    """Also where the donor is a single long function, of which some statements in a row are taken."""
    body = "".join(f"    x{n} = y[{n}] + z.a{n}\n" for n in range(60))
    host = "".join(f"def f{n}(a):\n    b = a + {n}\n    return b\n" for n in range(20))
    for donor in (program, f"def whole(y, z):\n{body}    return y\n"):
        mixed = functions.partial(donor, host, Random(3), share=share)
        lines = [sum(map(functions.lines_of, functions.definitions(text)[1])) for text in (host, mixed)]
        assert 1 - lines[0] / lines[1] == pytest.approx(share, abs=0.06)


def test_the_class_of_a_theft_is_the_class_with_the_theft_in_it(program):
    """As `compare` does it: the thief's own solution is not in the class any more."""
    rng = Random(0)
    others = {
        f"s{n}": "".join(f"def f{m}(a):\n    return a.g{rng.random()}[{m}]\n" for m in range(9)) for n in range(4)
    }
    others["s1"] += program[program.index("class Corpus") :]  # what a third has weighs by the size of the class
    solutions = {"ana": program, "eva": program.replace("total", "amount"), **others}
    ours = ClassOfOurs(solutions)
    stolen = program + others["s0"]
    alone = ClassOfOurs({"ana": program, **others, "eva": stolen})
    assert ours.theft("eva", stolen, "ana") == pytest.approx(alone.innocent("ana", "eva"))
    assert ours.theft("eva", others["s0"], "ana") < 0.1 < ours.innocent("ana", "eva")


def test_a_handout_does_not_count(program):
    own = {
        "ana": program + "\ndef more(a, b):\n    return [a.left[b] - n for n in b.rest if n > 3]\n",
        "eva": program + "\ndef extra(q):\n    while q.open():\n        q.pop(0).close(force=True)\n",
    }
    assert ClassOfOurs(own).innocent("ana", "eva") > 2 > 0.1 > ClassOfOurs(own, program).innocent("ana", "eva")


def test_recall_is_counted_above_every_innocent_pair():
    found = {
        "a": {"innocent": [["x", "y", 0.5, 0.2, 10.0]], "rows": [{"row": ["whole", "copied"], "scores": [
            [0.6, 0.2, 12.0, 1.0], [0.5, 0.3, 9.0, 1.0], [3.0, 0.9, 9.0, 1.0]]}]},
        "b": {"innocent": [["x", "y", 1.6, 0.1, 20.0]], "rows": []},
    }  # fmt: skip
    made = classroom.summary(found)
    assert made["innocent pairs"] == 2 and made["false alarms at the shipped threshold"] == 1
    (row,) = made["rows"]
    assert row["thefts"] == 3 and row["ours"] == 2 and row["copydetect"] == 2, (
        "0.3 and 0.9 of one reading, 12 of the other"
    )
    assert row["ours, one bar for all"] == 1 and row["ours at the shipped threshold"] == 1
    assert row["copydetect, one bar for all"] == 2


def test_intervals_are_wilsons():
    """By the equation that Wilson's interval solves: |share - p| = z √(p(1 - p)/n)."""
    for found, of in ((0, 130), (13, 20), (50, 54)):
        for p in classroom.interval(found, of):
            if 0 < p < 1:
                assert abs(found / of - p) == pytest.approx(1.96 * (p * (1 - p) / of) ** 0.5, rel=1e-9)
    assert classroom.interval(0, 130)[0] == 0 and classroom.interval(9, 9)[1] == 1
