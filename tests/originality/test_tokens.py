"""The lexer loses nothing; no shared run is missed."""

import io
import tokenize
from pathlib import Path

from hypothesis import given
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


@given(LABELS, LABELS, LABELS, LABELS, st.lists(st.integers(0, 5), min_size=9, max_size=40))
def test_every_shared_run_of_k_labels_is_found(before, after, left, right, run):
    k = 9
    assert set(tokens.grams(before + run + after, k)) & set(tokens.grams(left + run + right, k))


def test_nothing_shorter_than_k_matches():
    one, two = ([1, 2, 3] * 5)[: tokens.K - 1], ([1, 2, 3] * 5)[: tokens.K - 1]
    assert not tokens.grams([9, *one, 8], tokens.K)[1:] or not set(tokens.grams([9, *one, 8])) & set(
        tokens.grams([7, *two, 6])
    )


def test_a_gram_begins_at_its_first_token():
    text = "\n" * 4 + "\n".join(f"name{i} = other{i}({i}, 'x')[{i}] + {i}" for i in range(6))
    places, lines = tokens.fingerprints(tokens.lex(text))
    labels, _ = tokens.normalise(tokens.lex(text))
    every = tokens.grams(labels)
    assert {gram: every.index(gram) for gram in every} == places
    assert list(lines) == [5 + n // 13 for n in range(6 * 13)], "thirteen tokens a line, from the fifth on"
