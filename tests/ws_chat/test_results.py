"""What the READMEs say is what is in results/, and the measures work at their smallest size."""

import numpy as np
import pytest

from projects.ws_chat.config import SMOKE, Config
from projects.ws_chat.measure import context, fairness, moderation
from projects.ws_chat.measure.client import Shown
from projects.ws_chat.moderation import Moderated, read_rules
from projects.ws_chat.study import RESULTS, context_rows, measures, views
from shared.errors import UserError
from shared.report import stale_tables
from tests.ws_chat.test_moderation_set import SENTENCES


def test_readmes_show_what_was_measured():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def test_a_page_of_a_measure_counts_what_is_lost_doubled_or_changed():
    page = Shown()
    page.take({"type": "snapshot", "seq": 4, "messages": [], "writing": None})
    for seq in (5, 6, 8, 8):
        page.take({"type": "token", "seq": seq, "text": "x"})
    assert page.faults == 2 and page.writing == "xxxx"
    page.take({"type": "done", "seq": 9, "answer": "a", "message": {"text": "xxx"}})
    assert page.faults == 3 and page.done == 1


@pytest.mark.parametrize(
    ("wanted", "capacity", "share"), [([1, 1, 10], 6, 4), ([10, 10], 6, 3), ([1, 2], 9, 2), ([2, 4, 9], 9, 3.5)]
)
def test_the_fair_share_is_the_one_that_fills_the_capacity(wanted, capacity, share):
    found = fairness.max_min_share(np.array(wanted, dtype=float), float(capacity))
    assert found == pytest.approx(share, rel=1e-6)


def test_second_questions_do_not_hold_their_answers():
    every = context.questions()
    assert len(every) == 30 and len({each.second for each in every}) == 30
    assert not [each for each in every if each.holds(each.second) and "penguin" not in each.expected]
    assert all(each.holds(f"It is {each.expected[0].upper()}.") for each in every)
    assert not context.TwoTurns("", "", ("red",)).holds("I am bored") and context.TwoTurns("", "", ("7",)).holds("7!")


def test_shares_come_with_their_interval():
    answers = [{"arm": arm, "right": int(n < right)} for arm, right in (("a", 30), ("b", 15)) for n in range(30)]
    sure, half = context_rows(answers)
    assert (sure["right"], sure["low"], sure["high"]) == (1, 1, 1)
    assert half["right"] == 0.5 and 0.25 < half["low"] < 0.4 < 0.6 < half["high"] < 0.75


def test_the_filter_finds_every_disguise_and_its_mistakes_are_counted():
    rules = read_rules(moderation.BLOCKED)
    missed = [text for text in SENTENCES["refused"] if rules.find(text) is None]
    wrong = [text for text in SENTENCES["harmless"] if rules.find(text) is not None]
    assert missed == []
    assert wrong == ["mátate-a-risas is one word here: mátatelas"]  # a hyphen ends a word


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_stream_is_judged_as_its_whole_text(size):
    rules = read_rules(moderation.BLOCKED)
    for text in (*SENTENCES["refused"], *SENTENCES["harmless"]):
        stream = Moderated(rules)
        shown = (
            "".join(stream.push(text[place : place + size]) for place in range(0, len(text), size)) + stream.finish()
        )
        found = rules.find(text)
        assert stream.stopped == (found is not None) and shown == text[:found]


@pytest.mark.parametrize("streams", [(), (0,), (4, -1)])
def test_no_streams_are_one_line(streams):
    with pytest.raises(UserError, match="--streams"):
        Config(streams=streams)


@pytest.mark.slow
def test_the_measures_work_at_their_smallest_size():
    wanted = measures(SMOKE)
    (cost,) = wanted["cost"]()
    assert cost["tokens"] == 10 and cost["late_p50_ms"] > 0
    (idle,) = wanted["idle"]()
    assert idle["sockets"] == 10
    (coming,) = wanted["churn"]()
    assert coming["visits"] >= 200 and coming["low"] <= coming["kib_a_minute"] <= coming["high"]
    fair = wanted["fairness"]()
    assert [row["places"] for row in fair] == [2, 4] and all(row["asked"] > 0 for row in fair)
