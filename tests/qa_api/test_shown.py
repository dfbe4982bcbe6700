"""What is shown: the figures of made-up tables, in both languages, and cells by hand that are the project's own."""

import hashlib
import hmac
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image

from projects.qa_api import by_hand, figures
from projects.qa_api.measure.shown import METHODS, READERS, TASKS
from projects.qa_api.reader.decode import best_pair
from shared.report import write_csv


@pytest.fixture
def tables(tmp_path):
    """Two readers, one of them with two seeds; every search of every task."""
    rows = [{"reader": reader, "seed": seed, "coverage": at / 50, "wrong": at / 100 * (1 + seed), "chance": 1 - at / 60}
            for reader, seeds in (("rules", 1), ("e5", 2)) for seed in range(seeds) for at in range(1, 51)]  # fmt: skip
    write_csv(tmp_path / "coverage.csv", rows)
    rows = [{"task": task, "method": method, "first": 0.5, "first_low": 0.4, "first_high": 0.55, "ten": 0.7,
             "ten_low": 0.6, "ten_high": 0.8} for task in TASKS.values() for method in METHODS.values()]  # fmt: skip
    write_csv(tmp_path / "search.csv", rows)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Axes of each figure, before it is written: (name, axes)."""
    kept = {}
    for name in ("figure", "panels"):
        real = getattr(figures, name)

        def watched(path, *given, real=real, **named):
            manager = real(path, *given, **named)

            class Watched:
                def __enter__(self):
                    kept[path.stem] = axes = manager.__enter__()
                    return axes

                def __exit__(self, *what):
                    return manager.__exit__(*what)

            return Watched()

        monkeypatch.setattr(figures, name, watched)
    return kept


def test_figures_show_what_the_tables_say_in_both_languages(tables, drawn):
    figures.draw(tables)
    names = {path.name for path in tables.glob("*.png")}
    assert names == {"sure.png", "sure.es.png", "search.png", "search.es.png"}
    for name in names:
        with Image.open(tables / name) as picture:
            assert picture.width >= 900, "legible when it is shown 700 pixels wide"
    lines = {line.get_label(): line for line in drawn["sure"].get_lines()}
    assert {READERS["rules"], READERS["e5"]} <= set(lines)
    np.testing.assert_allclose(lines[READERS["e5"]].get_ydata(), [at / 100 * 1.5 for at in range(1, 51)])
    for axes, centre, low, high in zip(drawn["search"], (0.5, 0.7), (0.4, 0.6), (0.55, 0.8), strict=True):
        assert len(axes.containers) == len(METHODS)
        for each in axes.containers:
            line, _, (bars,) = each
            assert len(set(line.get_ydata())) == len(TASKS) and set(line.get_xdata()) == {centre}
            for segment in bars.get_segments():
                assert segment[:, 0] == pytest.approx([low, high])


def test_only_what_there_is_is_drawn(tables):
    (tables / "search.csv").unlink()
    figures.draw(tables)
    assert {path.name for path in tables.glob("*.png")} == {"sure.png", "sure.es.png"}


# ---------------------------------------------------------------- by hand


def test_bm25_by_hand_is_tantivys_for_every_title_as_question():
    for document in by_hand.DOCUMENTS:
        ours = by_hand.bm25(document.title, by_hand.DOCUMENTS, 1.2, 0.75)
        theirs = dict(by_hand.by_words(document.title))
        assert theirs == {each: pytest.approx(score, rel=1e-5) for each, score in ours.items() if score}


def test_ranks_by_hand_are_the_projects_at_its_constant():
    shown = by_hand.both(by_hand.MISSPELLED, by_hand.HITS, 60).rows
    assert [row[0] for row in shown][:2] == ["Islandia", "Malta"]
    assert all(row[3] == row[4] for row in shown)
    other = {row[0]: row[3] for row in by_hand.both(by_hand.MISSPELLED, by_hand.HITS, 0).rows}
    assert other["La Valeta"] == other["Malta"], "as the text beside it says"


def test_pairs_by_hand_are_the_projects():
    source = random.Random(0)
    for _ in range(30):
        first, last = ([source.gauss(0, 1) for _ in range(12)] for _ in range(2))
        longest = source.randint(1, 12)
        scores = torch.tensor([first, last], dtype=torch.float64).T
        assert best_pair(scores, torch.ones(12, dtype=torch.bool), longest)[:2] == by_hand.best_by_definition(
            first, last, longest
        )
    rows = by_hand.spans(by_hand.LONGEST).rows
    assert rows[0][2] == "(nada)" and rows[1][1:] == rows[2][1:] and rows[1][2] == "La Valeta"


def test_windows_say_what_the_text_beside_them_says():
    rows = by_hand.in_windows(by_hand.TOKENS, by_hand.STRIDE, by_hand.ANSWER).rows
    assert [row[1] for row in rows[-3:]] == ["La Valeta", "no está", "no está"]
    assert {row[1] for row in by_hand.in_windows(by_hand.TOKENS, 0, by_hand.ANSWER).rows[-3:]} == {"no está"}


def test_platt_by_hand_is_the_projects_and_mends_what_a_choice_breaks():
    table = by_hand.worth(200, 5, 0.8, 2.0)
    one, ours, theirs = ([float(cell) for cell in row[1:6]] for row in table.rows)
    assert ours[:2] == pytest.approx(theirs[:2], abs=0.15), "the project's has a small penalty"
    assert abs(ours[2] - ours[3]) < abs(one[2] - one[3])
    alone = by_hand.worth(200, 1, 0.8, 2.0).rows
    assert alone[0][1:3] == alone[1][1:3], "of one candidate nothing is chosen"


def test_a_question_back_is_asked_only_where_the_question_leaves_it_open():
    back = dict(by_hand.asked_back(by_hand.ASKED, by_hand.LEAST, by_hand.APART).rows)
    assert [said != "no se pregunta" for said in back.values()] == [True, False, False, False]


def test_the_signature_by_hand_is_hmac_and_a_token_ends_where_it_should():
    for size in (0, 1, 63, 64, 65, 300):
        assert by_hand.hmac_sha256(by_hand.SECRET, b"m" * size) == hmac.digest(
            by_hand.SECRET, b"m" * size, hashlib.sha256
        )
    rows = by_hand.receipts(by_hand.SECRET, by_hand.OWNER, by_hand.VALID).rows
    assert [row[1] for row in rows[:2]] == ["la misma", "vale: Mercurio (planeta), Mercurio (elemento)"]
    assert all(re.fullmatch("no vale", row[1]) for row in rows[2:])
