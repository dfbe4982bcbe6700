"""A phrase is seen however it is split or disguised, nothing of it is shown, and harmless text is not held back."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.ws_chat.moderation import Moderated, Rules
from shared.errors import UserError

RULES = Rules(("secret word", "bomb"))


def shown_of(pieces, rules=RULES):
    stream = Moderated(rules)
    shown = [stream.push(piece) for piece in pieces]
    return "".join([*shown, stream.finish()]), stream.stopped


@pytest.mark.parametrize(
    "text",
    [
        "the secret word is",
        "the SECRET   Word",
        "the se\u200bcret\u00a0wo\u0301rd",
        "the \uff53\uff45\uff43\uff52\uff45\uff54 word",
        "the s\u0435cret w\u043erd",
        "the s3cr3t w0rd",
        "the secret\nword",
        "the secret word",
        "the \u202esecret word",
    ],
)
def test_a_phrase_is_seen_in_every_disguise_and_split_anywhere(text):
    whole = shown_of([text])
    assert whole[1] and whole[0].startswith("the ") and "cret" not in whole[0]
    for cut in range(1, len(text)):
        assert shown_of([text[:cut], text[cut:]]) == whole
    assert shown_of(list(text)) == whole


@pytest.mark.parametrize("text", ["bombard the secrets of words", "abomb", "secret. Word", "a bombe", "sec ret word"])
def test_words_that_hold_a_phrase_are_not_it(text):
    assert shown_of(list(text)) == (text, False)


@pytest.mark.parametrize("between", ["", "\u200b", "\u0301"])
def test_a_piece_that_shows_nothing_does_not_begin_a_word(between):
    assert shown_of(["car", between, "bomb"]) == (f"car{between}bomb", False)


def test_harmless_text_is_shown_as_it_comes():
    stream = Moderated(RULES)
    assert [stream.push(piece) for piece in ("Good ", "morning", ", b", "oat", " s", "ecret", " garden")] == [
        "Good ", "morning", ", ", "boat", " ", "", "secret garden",
    ]  # fmt: skip


def test_without_rules_everything_is_shown_at_once():
    assert Moderated(Rules(())).push("anything") == "anything"


@given(st.lists(st.text(max_size=6), max_size=12))
def test_pieces_show_what_the_whole_shows(pieces):
    assert shown_of(pieces) == shown_of(["".join(pieces)])


@given(st.text(max_size=30), st.text(alphabet="abcdef .,", max_size=30), st.integers(1, 5))
def test_what_is_shown_is_a_beginning_and_holds_no_phrase(before, after, size):
    text = f"{before} bomb {after}"
    shown, stopped = shown_of([text[place : place + size] for place in range(0, len(text), size)])
    assert stopped and text.startswith(shown)
    assert RULES.find(shown) is None


@given(st.text(max_size=40))
def test_composed_and_decomposed_text_are_judged_alike(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert (RULES.find(composed) is None) == (RULES.find(decomposed) is None)


@pytest.mark.parametrize("phrase", ["", " \u200b ", "x" * 61])
def test_a_phrase_that_cannot_be_held_back_is_refused(phrase):
    with pytest.raises(UserError, match="a phrase has 1 to 60 letters"):
        Rules((phrase,))
