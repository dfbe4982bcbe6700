"""Users take turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.ws_chat.turns import FairQueue, FullError


def filled(order, most=1000, most_of_one=1000):
    queue = FairQueue(most, most_of_one)
    for number, user in enumerate(order):
        queue.push(user, f"{user}{number}")
    return queue


def test_one_who_asks_often_waits_for_one_who_asks_once():
    queue = filled("aaabac")
    assert [queue.pop() for _ in range(6)] == ["a0", "b3", "c5", "a1", "a2", "a4"]


def test_a_user_who_was_served_goes_to_the_end():
    queue = filled("ab")
    assert queue.pop() == "a0"
    queue.push("a", "a9")
    assert [queue.pop(), queue.pop()] == ["b1", "a9"]
    with pytest.raises(IndexError):
        queue.pop()


@given(st.text(alphabet="abcd", max_size=40))
def test_the_order_shown_is_the_order_served_and_each_user_keeps_theirs(order):
    queue = filled(order)
    shown = queue.in_order()
    served = [queue.pop() for _ in range(len(queue))]
    assert served == shown
    for user in set(order):
        mine = [item for item in served if item[0] == user]
        assert mine == sorted(mine, key=lambda item: int(item[1:]))


@given(st.text(alphabet="abcd", min_size=1, max_size=40))
def test_nobody_is_served_twice_while_another_waits(order):
    queue = filled(order)
    left = {user: order.count(user) for user in set(order)}
    since = dict.fromkeys(left, 0)
    while queue:
        user = queue.pop()[0]
        for other in left:
            since[other] = 0 if other == user else since[other] + (left[other] > 0)
        left[user] -= 1
        assert max(since.values()) <= len(left)


def test_one_who_asks_seldom_is_next_whenever_they_ask():
    """Where users only took turns, whoever always waits would have the turn before each who comes again."""
    queue = filled("g" * 900)
    queue.pop()
    for number in range(100):
        queue.push("s", f"s{number}")
        assert [queue.pop()[0] for _ in range(5)] == ["s", "g", "g", "g", "g"]


def test_who_asked_often_is_served_again_when_that_was_long_ago():
    queue = filled("g" * 200)
    for _ in range(100):
        queue.pop()
    for number in range(300):
        queue.push("s", f"s{number}")
    served = [queue.pop()[0] for _ in range(150)]
    assert served[:20] == ["s"] * 20 and 20 < served[-50:].count("g") < 30


def test_accounts_of_those_who_come_no_more_are_forgotten():
    queue = FairQueue(10, 10)
    for number in range(2000):
        queue.push(f"user-{number}", number)
        queue.pop()
    assert len(queue._served) < 300


def test_it_is_bounded_for_all_and_for_one():
    queue = filled("aab", most=3, most_of_one=2)
    with pytest.raises(FullError):
        queue.push("c", "c9")
    assert queue.remove("b2") and not queue.remove("b2")
    with pytest.raises(FullError):
        queue.push("a", "a9")
    queue.push("b", "b9")
    assert queue.in_order() == ["a0", "b9", "a1"]
