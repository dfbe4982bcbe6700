"""Windows cover the text, offsets give back its very characters, and the best span is the best by definition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.onnx_serving.inference.spans import (
    LONGEST_ANSWER,
    Candidate,
    Window,
    WindowSplitter,
    best_spans,
    decode_answers,
    pad_windows,
    rank_spans,
    token_span,
)
from shared.errors import UserError

ODD = (
    "Vertigo 🎬 is a 1958 film\r\ndirected by Hitchcock – «Alfred».\t"
    "It stars 김기덕, naïve Ødegård e\u0301 and [SEP] [CLS] too. "
) * 4


def test_windows_cover_every_character_that_has_a_token(splitter, qa_tokenizer):
    whole = WindowSplitter(qa_tokenizer, max_length=512, stride=12)("Who?", ODD)
    assert len(whole) == 1 and len(splitter("Who?", ODD)) > 3
    wanted = {pair for pair in whole[0].offsets if pair != (0, 0)}
    assert {pair for window in splitter("Who?", ODD) for pair in window.offsets if pair != (0, 0)} == wanted


def test_neighbours_share_the_overlap(splitter):
    windows = splitter("Who directed it?", ODD)
    assert all(len(window) <= 48 for window in windows)
    for left, right in pairwise(windows):
        a, b = ([pair for pair in w.offsets if pair != (0, 0)] for w in (left, right))
        assert a[-12:] == b[:12]


def test_question_and_special_tokens_may_not_answer(splitter):
    for window in splitter("Who directed it?", ODD):
        first = window.input_ids.index(102) + 1  # the first [SEP]
        assert not window.allowed[:first].any() and not window.allowed[-1]
        assert window.allowed[first:-1].all()
        assert window.token_type_ids == [0] * first + [1] * (len(window) - first)


def test_what_looks_like_a_special_token_is_text(splitter):
    (window,) = splitter("Is [SEP] here?", "a [SEP] b [CLS] c")
    assert window.input_ids.count(102) == 2 and window.input_ids.count(101) == 1


def test_offsets_give_the_characters_back(splitter):
    place = ODD.index("Hitchcock")
    for window in splitter("Who?", ODD):
        span = token_span(window, place, place + len("Hitchcock"))
        if span:
            first, last = span
            assert ODD[window.offsets[first][0] : window.offsets[last][1]] == "Hitchcock"
            return
    pytest.fail("no window holds the answer")


def test_an_answer_that_a_window_cuts_is_not_in_it(splitter):
    windows = splitter("Who?", ODD)
    start = windows[0].offsets[-2][0]  # its last token of the text
    assert token_span(windows[0], start, start + 60) is None


@pytest.mark.parametrize(
    ("question", "context", "said"),
    [("  ", "text", "more than spaces"), ("Who?", "\r\n\t", "more than spaces"), ("who " * 40, "text", "leave room")],
)
def test_refused(splitter, question, context, said):
    with pytest.raises(UserError, match=said):
        splitter(question, context)


def by_definition(start, end, allowed):
    spans = [
        (start[i] + end[j], i, j)
        for i in np.flatnonzero(allowed)
        for j in np.flatnonzero(allowed)
        if i <= j < i + LONGEST_ANSWER
    ]
    return sorted(spans, key=lambda span: (-span[0], span[1], span[2]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(0, 10_000))
def test_best_spans_are_those_of_the_definition(tokens, seed):
    draw = np.random.default_rng(seed)
    start, end = draw.normal(size=(2, tokens))
    allowed = draw.random(tokens) < 0.6
    found = best_spans(start, end, allowed, 5)
    assert [(i, j) for _, i, j in found] == [(i, j) for _, i, j in by_definition(start, end, allowed)[:5]]


def window_of(text):
    words = text.split()
    offsets, at = [(0, 0)], 0
    for word in words:
        at = text.index(word, at)
        offsets.append((at, at + len(word)))
    return Window(
        [101, *range(5, 5 + len(words))], [0] + [1] * len(words), offsets, np.array([False] + [True] * len(words))
    )


def logits(tokens, **peaks):
    values = np.full(tokens, -5.0)
    for place, value in peaks.items():
        values[int(place[1:])] = value
    return values


def test_the_window_with_the_largest_margin_wins_whatever_its_logits():
    text = "alpha beta gamma"
    a, b = window_of(text), window_of(text)
    high_null = logits(4, t0=10, t1=11), logits(4, t0=10, t1=11)  # margin 2
    low_null = logits(4, t0=-3, t3=1), logits(4, t0=-3, t3=1)  # margin 8
    best = rank_spans([a, b], [high_null, low_null], top_k=3)
    assert text[best[0].start : best[0].end] == "gamma" and best[0].margin == pytest.approx(8)


def test_the_same_characters_from_two_windows_count_once():
    text = "alpha beta gamma"
    values = logits(4, t0=0, t2=3), logits(4, t0=0, t2=3)
    found = rank_spans([window_of(text), window_of(text)], [values, values], top_k=9)
    assert len({(each.start, each.end) for each in found}) == len(found)


def test_below_the_threshold_the_empty_answer_leads():
    spans = [Candidate(margin=1.0, probability=0.5, start=2, end=4)]
    (answer,) = decode_answers(spans, "abcdef", threshold=0.5)
    assert (answer.answer, answer.start, answer.end) == ("cd", 2, 4) and answer.no_answer < 0.5
    nothing, second = decode_answers(spans, "abcdef", threshold=1.5)
    assert (nothing.answer, nothing.start, nothing.end) == ("", 0, 0) and nothing.no_answer > 0.5
    assert second.answer == "cd"
    assert decode_answers([], "abcdef")[0].answer == ""


def test_chances_of_all_spans_of_a_window_with_the_null_sum_to_at_most_one():
    draw = np.random.default_rng(0)
    text = "a b c d e f"
    window, (start, end) = window_of(text), draw.normal(size=(2, 7))
    chances = [each.probability for each in rank_spans([window], [(start, end)], top_k=100)]
    assert len(chances) == 21 and 0 < sum(chances) < 1


def test_padding_is_on_the_right_and_masked(splitter):
    windows = [splitter("Who?", "short text")[0], splitter("Who?", ODD)[0]]
    arrays = pad_windows(windows, 0)
    assert arrays["input_ids"].shape == (2, 48)
    assert arrays["attention_mask"].sum(axis=1).tolist() == [len(w) for w in windows]
    assert (arrays["input_ids"][0, len(windows[0]) :] == 0).all()
