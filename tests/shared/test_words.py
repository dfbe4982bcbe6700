"""Words by what Unicode says of letters and marks, and SQuAD's rule by its published definition."""

import re
import string
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import squad
from shared.assets.text import text_key
from shared.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Who directed Alien?", ["who", "directed", "alien"]),
        ("लड़का लड़की", ["लड़का", "लड़की"]),  # marks carry the vowels: boy, girl
        ("Ame\u0301lie", ["amélie"]),
        ("กำลังใจ, ที่นี่", ["กำลังใจ", "ที่นี่"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("don't stop-now", ["don", "t", "stop", "now"]),
        ("\u0301 ...", []),
        ("2001: ½", ["2001", "½"]),
    ],
)
def test_words_by_hand(text, expected):
    assert words(text) == [unicodedata.normalize("NFC", word) for word in expected]


def test_a_vowel_sign_tells_two_texts_apart():
    assert text_key("लड़का") != text_key("लड़की")
    assert text_key("Ame\u0301lie!") == text_key("AM\u00c9LIE")


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_words_are_the_same_however_letters_are_composed(text):
    once = words(unicodedata.normalize("NFC", text))
    assert words(unicodedata.normalize("NFD", text)) == once == words(" ".join(once))


# ---------------------------------------------------------------- SQuAD


def published(s):
    """normalize_answer of evaluate-v1.1.py (v2.0: the same)."""

    def remove_articles(text):
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(s.lower())))


def published_f1(a_gold, a_pred):
    """compute_f1 of evaluate-v2.0.py."""
    gold_toks, pred_toks = published(a_gold).split(), published(a_pred).split()
    num_same = sum((Counter(gold_toks) & Counter(pred_toks)).values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision, recall = num_same / len(pred_toks), num_same / len(gold_toks)
    return 2 * precision * recall / (precision + recall)


CASES = [
    ("The Coen-Brothers, Ethan & André.", "coenbrothers ethan andré"),
    ("a.b", "ab"),
    ("a. the an", ""),
    ("A-ha", "aha"),  # punctuation goes before articles do
    ("the\u2013end", "\u2013end"),  # beyond ASCII it stays, and parts words
    ("“The Birds”", "“ birds”"),
    ("U.S.A.", "usa"),
    ("1,000", "1000"),
    ("It's  a\tman", "its man"),
    ("Straße", "straße"),  # lower case, not case folding
    ("", ""),
    ("?!", ""),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_normalisation_by_hand(text, expected):
    assert squad.normalise(text) == published(text) == expected


@pytest.mark.parametrize(
    ("given", "right", "exact", "f1"),
    [
        ("the James Stewart", "James Stewart and Kim Novak", 0, 4 / 7),
        ("The Birds!", "birds", 1, 1),
        ("", "", 1, 1),
        ("the", "", 1, 1),
        ("", "x", 0, 0),
        ("x", "", 0, 0),
        ("Andre", "André", 0, 0),
        ("b b", "b", 0, 2 / 3),
    ],
)
def test_scores_by_hand(given, right, exact, f1):
    assert squad.exact(given, right) == exact
    assert squad.f1(given, right) == pytest.approx(f1) == pytest.approx(published_f1(right, given))


@given(*[st.text(st.sampled_from("aAtheé –-.,'xyz “"), max_size=30)] * 2)
@settings(max_examples=400, deadline=None)
def test_it_is_the_published_rule(mine, theirs):
    assert squad.normalise(mine) == published(mine)
    assert squad.exact(mine, theirs) == (published(mine) == published(theirs))
    assert squad.f1(mine, theirs) == pytest.approx(published_f1(theirs, mine))
