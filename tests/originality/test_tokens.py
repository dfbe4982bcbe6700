"""The lexer loses nothing; winnowing keeps its promise."""

import io
import tokenize
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.originality import tokens
from shared.originality.hashing import MASK, mix

TEXTS = st.text(alphabet="abc01 '\"\\\n#()=:.,+-*é\t", max_size=80)
LABELS = st.lists(st.integers(0, 5), max_size=120)


@given(TEXTS)
def test_lexer_takes_anything_and_loses_only_space(text):
    found = tokens.lex(text)
    assert (
        "".join("".join(token.text.split()) for token in found) == "".join(text.replace("\\\n", "").split())
        or "\\" in text
    )
    assert all(1 <= token.line <= text.count("\n") + 1 for token in found)


def test_lexer_agrees_with_the_standard_one_on_real_code():
    text = Path(tokens.__file__).read_text(encoding="utf-8")
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT)
    if hasattr(tokenize, "FSTRING_START"):
        text = text.replace('rf"', 'r"').replace(' f"', ' "')  # from 3.12 on the standard one looks into f-strings
    standard = [
        (token.string, token.start[0])
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skipped
    ]
    ours = [(token.text, token.line) for token in tokens.lex(text) if token.kind not in ("newline", "comment")]
    assert ours == standard


def test_renaming_and_layout_leave_the_labels_alone():
    one = "def f(alpha, beta):\n    '''What it does.'''\n    return alpha + beta * 3  # sum\n"
    two = "def other(x,\n          y):\n    return (x\n\n + y * 99)\n".replace("(x\n", "x \\\n").replace("99)", "99")
    assert tokens.normalise(tokens.lex(one))[0] == tokens.normalise(tokens.lex(two))[0]


@given(LABELS, st.integers(1, 9))
def test_rolling_hash_equals_its_definition(labels, k):
    def direct(gram):
        value = 0
        for label in gram:
            value = (value * 0x100000001B3 + label) & MASK
        return mix(value, ())

    assert tokens.grams(labels, k) == [direct(labels[i : i + k]) for i in range(len(labels) - k + 1)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(1, 12))
def test_winnow_chooses_the_rightmost_least_of_every_window(hashes, window):
    chosen = tokens.winnow(hashes, window)
    windows = [range(i, min(i + window, len(hashes))) for i in range(max(1, len(hashes) - window + 1))]
    expected = {min(places, key=lambda place: (hashes[place], -place)) for places in windows}
    assert chosen == sorted(expected)


@settings(max_examples=150)
@given(LABELS, LABELS, LABELS, LABELS, st.lists(st.integers(0, 5), min_size=16, max_size=40))
def test_a_shared_run_of_the_guaranteed_length_is_always_found(before, after, left, right, run):
    """Schleimer et al. 2003, §3, property 1, with k = 9 and w = 8, so t = 16."""
    k, window = 9, 8

    def chosen(labels):
        hashes = tokens.grams(labels, k)
        return {hashes[place] for place in tokens.winnow(hashes, window)}

    assert len(run) >= window + k - 1
    assert chosen(before + run + after) & chosen(left + run + right)


def test_nothing_shorter_than_k_matches():
    one, two = ([1, 2, 3] * 5)[: tokens.K - 1], ([1, 2, 3] * 5)[: tokens.K - 1]
    assert not tokens.grams([9, *one, 8], tokens.K)[1:] or not set(tokens.grams([9, *one, 8])) & set(
        tokens.grams([7, *two, 6])
    )


def test_places_are_the_lines_of_the_gram():
    text = "\n" * 4 + "\n".join(f"name{i} = other{i}({i}, 'x')[{i}] + {i}" for i in range(6))
    for first, last in tokens.fingerprints(tokens.lex(text)).values():
        assert 5 <= first <= last <= 10
