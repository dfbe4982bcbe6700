"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

from collections import Counter
from itertools import count

import numpy as np
import pytest
import torch

from projects.qa_api import by_hand
from projects.qa_api.evaluate import at_most_wrong, expected_calibration_error, no_answer_f1, scored
from projects.qa_api.index.merge import Candidates, Merge, reciprocal_ranks
from projects.qa_api.index.vectors import VectorIndex
from projects.qa_api.index.words import analyzer
from projects.qa_api.reader.calibrate import Calibrator, Evidence
from projects.qa_api.reader.decode import decode
from projects.qa_api.reader.windows import Windows, windows
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("qa_api")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 10)


def solved(name, team="equipo-3"):
    values = NAMES[name].values(team)
    return values, NAMES[name].answer.solve(values)


def hits(names):
    return [(name, 0.0) for name in names]


def test_a_stem_against_what_equals_tantivys_score():
    stems = analyzer("es").analyze
    bags = {each.id: Counter(stems(f"{each.title}. {each.text}")) for each in by_hand.DOCUMENTS}
    mean, summed = sum(bag.total() for bag in bags.values()) / len(bags), dict.fromkeys(bags, 0.0)
    for stem in set(stems(by_hand.QUESTION)):
        for each, bag in bags.items():
            told = {"N": len(bags), "n": sum(stem in other for other in bags.values()), "f": bag[stem]}
            if told["f"]:
                summed[each] += NAMES["bm25"].answer.solve({**told, "l": bag.total(), "media": mean})
    theirs = by_hand.by_words(by_hand.QUESTION)
    assert len(theirs) > 2
    assert {each: pytest.approx(score, rel=1e-5) for each, score in theirs} == {k: s for k, s in summed.items() if s}


def test_reciprocal_ranks_against_the_merge(monkeypatch):
    for name in ("rangos", "empate"):
        v, found = solved(name)
        monkeypatch.setattr("projects.qa_api.index.merge.CONSTANT", v["c"])
        if name == "rangos":
            words = [f"w{n}" for n in range(1, v["a"])] + ["x"]
            vectors = [f"v{n}" for n in range(1, v["b"])] + ["x"]
            assert dict(reciprocal_ranks(hits(words), hits(vectors)))["x"] == pytest.approx(found)
            continue
        words = [f"w{n}" for n in range(1, v["b"] + 1)]
        words[v["a"] - 1], words[v["b"] - 1] = "A", "B"

        def behind(rank, words=words):
            score = dict(reciprocal_ranks(hits(words), hits([*(f"v{n}" for n in range(1, rank)), "B"])))
            return score["B"] < score["A"]

        assert not behind(found) and behind(found + 1)


def test_the_listwise_loss_against_the_merges_scores():
    v, found = solved("lista")
    merge = Merge(np.array([[1.0, 0.0], [0.0, 0.0]]))
    scores = merge.scores(Candidates(("a", "b", "c"), np.array([[v["s"]], [v["u"]], [v["v"]]]), np.zeros(3, bool)))
    assert found == pytest.approx(torch.nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(0)).item())


def test_spans_and_windows_against_the_reader():
    v, found = solved("tramos")
    assert found == sum(min(v["m"], v["t"] - at) for at in range(v["t"]))
    v, found = solved("ventanas")
    pair = (" ".join(["q"] * v["q"]), " ".join(["d"] * v["n"]))
    whole = by_hand.word_tokenizer()(
        *pair,
        truncation="only_second",
        max_length=v["t"],
        stride=v["s"],
        return_overflowing_tokens=True,
    )
    assert found == len(whole["input_ids"])
    assert len(windows(by_hand.word_tokenizer(), [pair], tokens=v["t"], stride=v["s"]).owner) == 24  # the bound


def test_the_null_score_is_the_least_of_the_windows():
    v, found = solved("nulo")
    scores = torch.full((3, 3, 2), -50.0)
    for row, (null, span) in enumerate(zip("abc", "xyz", strict=True)):
        scores[row, 0] = v[null] / 2
        scores[row, 1, 0] = scores[row, 2, 1] = v[span] / 2
    context, offsets = torch.tensor([[False, True, True]] * 3), [[(-1, -1), (0, 1), (2, 3)]] * 3
    given = Windows(torch.zeros(3, 3, dtype=torch.long), torch.ones(3, 3, dtype=torch.bool), context, offsets, [0] * 3)
    assert decode(scores, given, 1)[0].margin == pytest.approx(found, rel=1e-5)


def test_measures_against_the_evaluation():
    v, found = solved("f1")
    fresh = count()

    def pair(given, right, common):
        both = [f"w{next(fresh)}" for _ in range(common)]
        sides = [both + [f"w{next(fresh)}" for _ in range(size - common)] for size in (given, right)]
        return scored(" ".join(sides[0]), [" ".join(sides[1])]).f1

    each = [pair(v["g"], v["r"], v["c"]), pair(v["h"], v["s"], v["d"]), scored("", []).f1]
    assert found == pytest.approx(sum(each) / 3)
    v, found = solved("no_esta")
    hit, said, none = v["h"], v["m"] - v["h"], v["u"] - v["h"]
    assert found == pytest.approx(
        no_answer_f1([True] * (hit + said) + [False] * none, [True] * hit + [False] * said + [True] * none)
    )


def test_chances_against_the_calibration():
    v, found = solved("platt")
    made = Calibrator(np.array([v["a"], 0, 0, 0, 0, 0]), v["b"], 0.5)
    logit = float(np.log(v["p"] / (1 - v["p"])))
    assert made.chance([Evidence(4 * logit, 0.0, 0.0, 0.0, 0.0, 0.0)])[0] == pytest.approx(found)
    v, found = solved("calibracion")
    told = sorted((v[f"c{bin_}"], v[f"a{bin_}"]) for bin_ in "abc")
    chance = np.repeat([each for each, _ in told], 1000)
    right = np.concatenate([np.arange(1000) < round(1000 * met) for _, met in told]).astype(float)
    assert expected_calibration_error(chance, right, bins=3) == pytest.approx(found)
    v, found = solved("cobertura")
    chance = np.linspace(1, 0, 2000)
    right = (np.arange(2000) < v["k"]).astype(float)
    assert round(at_most_wrong(chance, right, v["e"] / 100).coverage * 2000) == found


def test_memory_against_an_index():
    import faiss

    v, found = solved("memoria")
    index = VectorIndex(v["d"])
    index.put([str(n) for n in range(1000)], np.zeros((1000, v["d"]), np.float32))
    each = (len(faiss.serialize_index(index._index)) / 1000) * v["n"]
    assert each == pytest.approx(found, rel=2e-3)
