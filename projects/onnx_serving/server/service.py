"""What the server does, without HTTP: questions to answers, prompts to texts, on exported graphs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from projects.onnx_serving.inference.backends import Decoder, Encoder
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.inference.padded_batches import run_padded
from projects.onnx_serving.inference.spans import Answer, Candidate, Cutter, Window, decode, ranked
from projects.onnx_serving.inference.token_by_token import Prompt, steps
from projects.onnx_serving.paths import GRAPHS
from projects.onnx_serving.server.settings import Settings
from shared.errors import UserError
from shared.fingerprint import verify


@dataclass(frozen=True)
class Asked:
    """A question cut into windows."""

    windows: list[Window]
    top_k: int

    @property
    def rows(self) -> int:
        """Windows."""
        return len(self.windows)

    @property
    def tokens(self) -> int:
        """Of the longest window."""
        return max(map(len, self.windows))


@dataclass
class Writing:
    """A prompt, and where its tokens go as they are made.

    Attributes:
        prompt: Tokens, limit and sampling.
        emit: Called in the worker thread with each new token.
        gone: Set from outside when nobody waits any more; the row then leaves its batch.
        made: Tokens emitted so far.
    """

    prompt: Prompt
    emit: Callable[[int], object] = lambda _: None
    gone: bool = False
    made: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """One."""
        return 1

    @property
    def tokens(self) -> int:
        """Prompt and new tokens: what the cache will hold."""
        return len(self.prompt.tokens) + self.prompt.limit


class Questions:
    """Answers questions from contexts."""

    def __init__(self, encoder: Encoder, cutter: Cutter, *, threshold: float, budget: int) -> None:
        self._encoder, self._cutter, self._threshold, self._budget = encoder, cutter, threshold, budget

    def asked(self, question: str, context: str, top_k: int = 1) -> Asked:
        """A request's work.

        Raises:
            UserError: As `Cutter`.
        """
        return Asked(self._cutter(question, context), top_k)

    def run(self, batch: Sequence[Asked]) -> list[list[Candidate]]:
        """Spans of each question, best first."""
        flat = [window for asked in batch for window in asked.windows]
        logits = iter(run_padded(self._encoder, flat, padding=self._cutter.padding, budget=self._budget))
        return [ranked(each.windows, [next(logits) for _ in each.windows], top_k=each.top_k) for each in batch]

    def answers(self, spans: Sequence[Candidate], context: str, top_k: int) -> list[Answer]:
        """What is answered, at most `top_k`, the empty answer among them."""
        return decode(spans, context, threshold=self._threshold)[:top_k]


class Writer:
    """Continues prompts."""

    def __init__(self, decoder: Decoder, tokenizer: str, known: dict[str, Any], *, longest: int) -> None:
        self._decoder, self._known, self._longest = decoder, known, longest
        self._tokenizer, self._plain = Tokenizer.from_str(tokenizer), Tokenizer.from_str(tokenizer)
        self._plain.encode_special_tokens = True
        for each in (self._tokenizer, self._plain):
            each.no_truncation()
            each.no_padding()
        self.ends: frozenset[int] = frozenset(known["ends"])

    def tokens_of(self, text: str, *, chat: bool) -> list[int]:
        """The prompt's tokens; what looks like a control token in it is text.

        Args:
            text: Of the user.
            chat: Put it into the model's chat template.

        Raises:
            UserError: If it has too many tokens, or none.
        """
        own = self._plain.encode(text, add_special_tokens=False).ids
        if not own:
            raise UserError("the prompt holds no token")
        if len(own) > self._longest:
            raise UserError(f"the prompt has {len(own)} tokens, and at most {self._longest} are taken: shorten it")
        if not chat:
            return own
        before, after = (
            self._tokenizer.encode(self._known[side], add_special_tokens=False).ids for side in ("before", "after")
        )
        return [*before, *own, *after]

    def text_of(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def run(self, batch: Sequence[Writing]) -> list[list[int]]:
        """New tokens of each prompt, its end token left out; emits them as they are made.

        A prompt that runs a second time, since another one in its batch failed, does not emit twice: rows do not
        depend on each other, so that the same tokens come again.
        """
        before = [len(each.made) for each in batch]
        count = [0] * len(batch)
        prompts = [each.prompt for each in batch]
        known = {"padding": self._known["padding"], "ends": self.ends}
        for new in steps(self._decoder, prompts, gone=lambda row: batch[row].gone, **known):
            for row, token in new.items():
                count[row] += 1
                if token not in self.ends and count[row] > before[row]:
                    batch[row].made.append(token)
                    batch[row].emit(token)
        return [each.made for each in batch]


class TextStream:
    """Turns tokens into pieces of text that are whole characters: one character may be several tokens.

    Args:
        text_of: Text of a row's tokens.
    """

    def __init__(self, text_of: Callable[[Sequence[int]], str]) -> None:
        self._text_of = text_of
        self._tokens: list[int] = []
        self._sent = ""

    def push(self, token: int) -> str:
        """The text that this token completes; "" while a character is unfinished."""
        self._tokens.append(token)
        text = self._text_of(self._tokens)
        if text.endswith("\ufffd"):
            return ""
        return self._advance(text)

    def rest(self) -> str:
        """What is left at the end, unfinished characters as the replacement sign."""
        return self._advance(self._text_of(self._tokens))

    def _advance(self, text: str) -> str:
        piece = text[len(self._sent) :]
        self._sent = text
        return piece


@dataclass(frozen=True)
class Models:
    """Both services of an exported folder."""

    questions: Questions
    writer: Writer
    graphs: tuple[str, str]


def load(settings: Settings) -> Models:
    """Verify an exported folder and load its graphs.

    Raises:
        UserError: If the folder is missing, or a file in it was changed or cut.
    """
    folder = settings.models
    if not (folder / "serving.json").is_file():
        raise UserError(f"{folder} holds no exported models: make run-onnx_serving makes them in {Settings().models}")
    for finding in verify(folder):
        if not finding.verdict.unchanged:
            raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}; export the models again")
    known = json.loads((folder / "serving.json").read_text(encoding="utf-8"))
    encoder, decoder = GRAPHS[settings.precision]
    qa = known["qa"]
    cutter = Cutter(_text(folder / "qa_tokenizer.json"), length=qa["window"], overlap=qa["overlap"])
    questions = Questions(
        OnnxEncoder(folder / encoder, settings.threads), cutter, threshold=qa["threshold"], budget=settings.budget
    )
    tokenizer = _text(folder / "lm_tokenizer.json")
    backend = OnnxDecoder(folder / decoder, settings.threads)
    return Models(
        questions, Writer(backend, tokenizer, known["lm"], longest=settings.prompt_tokens), (encoder, decoder)
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
