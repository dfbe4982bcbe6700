"""Text as it comes: whole characters, and never a stop string or a part of one that comes."""

from hypothesis import given
from hypothesis import strategies as st

from shared.assets import resolve_model
from shared.engine.text import Decoder, StopStrings

letters = st.text("ab\n", max_size=12)


@given(st.lists(letters, max_size=8), st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3))
def test_pieces_join_to_the_text_before_the_first_stop_string(pieces, stops):
    text, shown, state = "", "", StopStrings(stops)
    for piece in pieces:
        text += piece
        shown += state.push(piece)
        assert text.startswith(shown)
        if state.found:
            break
    found = [i for i in range(len(text)) if any(text.startswith(stop, i) for stop in stops)]
    assert state.found == bool(found)
    assert shown + state.finish() == text[: min(found, default=len(text))]


def test_text_is_held_back_only_while_it_could_become_a_stop_string():
    state = StopStrings(["\nUser:"])
    assert [state.push(piece) for piece in ("yes", ".\nU", "se", "d", "\nUs", "er", ": no")] == [
        "yes", ".", "", "\nUsed", "", "", "",
    ]  # fmt: skip
    assert state.found and state.finish() == ""


def test_a_character_of_several_tokens_comes_whole():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2"))
    text, decoder = "Hola, señor 🤖 — 日本語\n", Decoder(tokenizer)
    pieces = [decoder.push(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text and "" in pieces and not any("\ufffd" in piece for piece in pieces)
    assert decoder.push(2) == ""  # the token that ends an answer
