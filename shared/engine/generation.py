"""One request: what was asked, what was chosen so far, and the loop that answers it alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

import numpy as np

from shared.engine.cache import KeyValueCache
from shared.engine.model import CHUNK, Engine
from shared.engine.sampling import Logits, Sampling, choose
from shared.engine.steering import Steering
from shared.engine.text import Decoder, StopStrings
from shared.errors import UserError

ChangeLogits = Callable[[list[int], Logits], Logits]
"""Takes the tokens of the answer so far and the logits of the next, and gives other logits."""
Finish = Literal["end", "stop", "length", "cancelled", "error"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of the engine.

    Attributes:
        prompt: A text, or token ids.
        sampling: How tokens are chosen.
        max_tokens: Longest answer.
        stop: Strings before which the answer ends.
        change_logits: Called before each choice.
        steering: What is added to the model for this request; the engine must have been loaded as steerable.
    """

    prompt: str | Sequence[int]
    sampling: Sampling = Sampling()
    max_tokens: int = 128
    stop: Sequence[str] = ()
    change_logits: ChangeLogits | None = None
    steering: Steering | None = None


@dataclass(eq=False)
class Answer:
    """A request on its way.

    Attributes:
        prompt: Token ids.
        ids: The answer so far; the token that ends it is the last.
        text: What may be shown so far.
        finish: Why it ended, None before.
        error: What `change_logits` raised in a batch, where it ends this answer and no other.
    """

    engine: Engine
    request: Request
    prompt: list[int] = field(init=False)
    ids: list[int] = field(default_factory=list)
    text: str = ""
    finish: Finish | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        given = self.request.prompt
        self.prompt = list(self.engine.tokenizer.encode(given) if isinstance(given, str) else given)
        if not self.prompt or self.request.max_tokens < 1:
            raise UserError("a request needs a prompt of at least one token, and max_tokens of at least 1")
        if not all(0 <= token < self.engine.vocab_size for token in self.prompt):
            raise UserError(f"token ids of a prompt must be from 0 to {self.engine.vocab_size - 1}")
        self.engine.check_length(self.most_tokens)
        self._rng = np.random.default_rng(self.request.sampling.seed)
        self._decoder, self._stops = Decoder(self.engine.tokenizer), StopStrings(self.request.stop)
        self._cancelled = Event()

    @property
    def most_tokens(self) -> int:
        """Tokens of prompt and answer at most."""
        return len(self.prompt) + self.request.max_tokens

    def cancel(self) -> None:
        """End this answer before the next token is computed; from any thread."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called; the answer then ends, if it has not ended otherwise."""
        if self._cancelled.is_set() and self.finish is None:
            self.finish = "cancelled"
        return self._cancelled.is_set()

    def advance(self, logits: Logits) -> str:
        """Choose the next token; give the text that may be shown with it."""
        if self.request.change_logits:
            logits = self.request.change_logits(self.ids, logits)
        token = choose(logits, np.array(self.prompt + self.ids), self.request.sampling, self._rng)
        self.ids.append(token)
        piece = "" if token == self.engine.end else self._stops.push(self._decoder.push(token))
        if self._stops.found:
            self.finish = "stop"
        elif token == self.engine.end:
            self.finish = "end"
        elif len(self.ids) == self.request.max_tokens:
            self.finish = "length"
        if self.finish in ("end", "length"):
            piece += self._stops.finish()
        self.text += piece
        return piece


class Stream:
    """Iterator over the pieces of an answer's text; each token is computed when it is asked for.

    Attributes:
        answer: Grows as the stream is read.
        cache: What was read and chosen; give it to the next `stream` to continue the conversation.
    """

    def __init__(self, engine: Engine, request: Request, cache: KeyValueCache | None = None) -> None:
        self.answer = Answer(engine, request)
        self.cache = cache or engine.new_cache(self.answer.most_tokens)
        self.cache.reserve(self.answer.most_tokens)
        self._engine = engine
        self._pieces = self._generate()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def cancel(self) -> None:
        """End the stream before the next token is computed; from any thread."""
        self.answer.cancel()

    def _generate(self) -> Iterator[str]:
        answer, cache = self.answer, self.cache
        cache.steer(0, answer.request.steering)
        waiting = answer.prompt[cache.keep_prefix(0, answer.prompt) :]
        while not answer.cancelled:
            logits = self._engine.read(cache, 0, waiting[:CHUNK])[0]
            waiting = waiting[CHUNK:]
            if waiting:
                continue
            if piece := answer.advance(logits):
                yield piece
            if answer.finish:
                return
            waiting = answer.ids[-1:]


def stream(engine: Engine, request: Request, *, cache: KeyValueCache | None = None) -> Stream:
    """Answer one request, piece by piece.

    Args:
        request: What is asked.
        cache: That of the turn before. What it holds of the prompt's beginning is not read again.

    Raises:
        UserError: If prompt and answer are longer than the model's context, or a value is out of range.
    """
    return Stream(engine, request, cache)
