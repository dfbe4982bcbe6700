"""Comparisons: who is preferred how often, what balancing leaves, and files that are refused with a line number."""

import json
import math
import random
from dataclasses import asdict, replace

import pytest

from projects.rlhf_ppo.data.preferences import (
    Preference,
    balance_lengths,
    openings,
    prefer,
    read_preferences,
    swapped,
    words_longer,
    write_preferences,
)
from shared.errors import UserError

PAIR = Preference(
    split="train", prompt="The film", a=" is good.", b=" is, ñ\nbad", preferred="a", gold_a=1.0, gold_b=-1.5
)


def pair_of(a, b, preferred):
    return Preference(split="train", prompt="it", a=" x" * a, b=" x" * b, preferred=preferred, gold_a=0.5, gold_b=0.1)


def test_openings_are_distinct_and_of_long_enough_reviews():
    texts = ["one two three four", "one two three", "one two five six seven", "six seven eight nine"]
    assert openings(texts, 2) == ["one two", "six seven"]


@pytest.mark.parametrize("difference", [-1.0, 0.0, 0.3])
def test_the_better_one_is_preferred_as_often_as_the_model_says(difference):
    draw, n = random.Random(0), 20_000
    share = sum(prefer(difference, 0.0, noise=0.5, draw=draw) == "a" for _ in range(n)) / n
    expected = 1 / (1 + math.exp(-difference / 0.5))
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


def test_without_noise_the_better_one_is_always_preferred():
    draw = random.Random(0)
    assert {prefer(0.01, 0.0, noise=0.0, draw=draw) for _ in range(100)} == {"a"}


def test_chosen_and_rejected_follow_the_preference():
    assert (PAIR.chosen, PAIR.rejected) == ("The film is good.", "The film is, ñ\nbad")
    other = swapped(PAIR)
    assert (other.chosen, other.rejected, other.preferred) == (PAIR.chosen, PAIR.rejected, "b")
    assert not PAIR.against_gold
    assert replace(PAIR, preferred="b").against_gold
    assert not other.against_gold


def test_after_balancing_length_tells_nothing_at_any_difference():
    draw = random.Random(0)
    pairs = [pair_of(draw.randint(1, 4), draw.randint(1, 4), "a" if draw.random() < 0.8 else "b") for _ in range(400)]
    kept = balance_lengths(pairs, random.Random(1))
    for difference in (1, 2, 3):
        longer = sum(words_longer(pair) == difference for pair in kept)
        assert longer == sum(words_longer(pair) == -difference for pair in kept) > 0
    equal = [pair for pair in pairs if words_longer(pair) == 0]
    assert [pair for pair in kept if words_longer(pair) == 0] == equal


@pytest.mark.parametrize("name", ["preferences.jsonl", "preferences.csv"])
def test_both_files_give_back_what_was_written(tmp_path, name):
    pairs = [PAIR, swapped(PAIR)]
    write_preferences(tmp_path, pairs)
    assert read_preferences(tmp_path / name) == pairs


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = asdict(PAIR)
BAD_FILES = {
    "empty": ("", "holds no preference"),
    "cut": (lines(GOOD) + '{"split": "tr', "line 2: not JSON"),
    "list": (lines(GOOD, [1]), "line 2: not an object"),
    "lacks": (lines({k: v for k, v in GOOD.items() if k != "b"}), r"line 1: lacks b"),
    "equal": (lines(GOOD, {**GOOD, "a": GOOD["b"]}), r"line 2: a and b are equal"),
    "split": (lines({**GOOD, "split": "dev"}), r"line 1: split is 'dev'"),
    "side": (lines({**GOOD, "preferred": "both"}), r"line 1: preferred is 'both'"),
    "nan": (lines({**GOOD, "gold_a": "NaN"}), r"line 1: gold_a and gold_b must be finite"),
    "infinite": (lines({**GOOD, "gold_b": 1e999}), r"line 1: not JSON \(Infinity is no value of JSON\)"),
    "overflowing": (lines({**GOOD, "gold_b": 10**400}), r"line 1: gold_a and gold_b must be finite"),
    "prompt": (lines({**GOOD, "prompt": ["The"]}), r"line 1: prompt is no text"),
    "side a": (lines({**GOOD, "a": 5}), r"line 1: a is no text"),
    "one-sided": (lines(*[GOOD] * 30), "unbalanced, a is preferred in 100%"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line(tmp_path, kind):
    text, message = BAD_FILES[kind]
    path = tmp_path / "preferences.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_preferences(path)


def test_a_file_that_is_no_text_or_not_there_is_one_line(tmp_path):
    path = tmp_path / "preferences.jsonl"
    with pytest.raises(UserError, match="is not there"):
        read_preferences(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_preferences(path)
