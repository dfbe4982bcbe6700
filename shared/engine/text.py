"""Tokens to text as they come: characters of several tokens are given whole, and a stop string never appears."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class StopStrings:
    """Holds back what could become a stop string, and ends before the first that appears.

    Attributes:
        found: Whether one has appeared.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise UserError("a stop string must not be empty")
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """Take a piece of text; give what may be shown by now."""
        text = self._held + piece
        starts = [start for stop in self._stops if (start := text.find(stop)) >= 0]
        if starts:
            self.found, self._held = True, ""
            return text[: min(starts)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """What was held back for a stop string that did not come."""
        rest, self._held = self._held, ""
        return rest


class Decoder:
    """Text of tokens, one after another, without special tokens."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> str:
        """Text that is complete with this token, "" within a character."""
        return self._stream.step(self._tokenizer, token) or ""


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text with which the stop string begins."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
