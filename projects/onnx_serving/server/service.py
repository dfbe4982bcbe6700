"""What the server does, without HTTP: questions to answers, prompts to texts, on exported graphs, behind queues."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from projects.onnx_serving.inference.backends import Decoder, Encoder
from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder
from projects.onnx_serving.inference.padded_batches import run_padded
from projects.onnx_serving.inference.sampling import Sampling
from projects.onnx_serving.inference.spans import (
    Answer,
    Candidate,
    Window,
    WindowSplitter,
    decode_answers,
    rank_spans,
)
from projects.onnx_serving.inference.token_by_token import Prompt, decode_steps
from projects.onnx_serving.paths import GRAPHS
from projects.onnx_serving.server.batching import Batcher
from projects.onnx_serving.server.settings import Settings
from projects.onnx_serving.server.telemetry import Telemetry
from shared.errors import UserError
from shared.fingerprint import verify

# ---------------------------------------------------------------- question answering


@dataclass(frozen=True)
class QAWork:
    """A question with the windows of its context."""

    windows: list[Window]
    top_k: int

    @property
    def rows(self) -> int:
        """Rows in a batch: one a window."""
        return len(self.windows)

    @property
    def tokens(self) -> int:
        """Tokens of the longest window."""
        return max(map(len, self.windows))


class QuestionAnswerer:
    """Answers questions from contexts."""

    def __init__(self, encoder: Encoder, splitter: WindowSplitter, *, threshold: float, token_budget: int) -> None:
        self._encoder, self._splitter = encoder, splitter
        self._threshold, self._token_budget = threshold, token_budget

    def work(self, question: str, context: str, top_k: int = 1) -> QAWork:
        """What `run` needs for a request.

        Raises:
            UserError: If question or context is blank, or the question too long.
        """
        return QAWork(self._splitter(question, context), top_k)

    def run(self, batch: Sequence[QAWork]) -> list[list[Candidate]]:
        """Spans for each question, best first."""
        windows = [window for work in batch for window in work.windows]
        pad_id, token_budget = self._splitter.pad_id, self._token_budget
        logits = iter(run_padded(self._encoder, windows, pad_id=pad_id, token_budget=token_budget))
        return [rank_spans(work.windows, [next(logits) for _ in work.windows], top_k=work.top_k) for work in batch]

    def answers(self, spans: Sequence[Candidate], context: str, top_k: int) -> list[Answer]:
        """At most `top_k` answers, the empty one among them."""
        return decode_answers(spans, context, threshold=self._threshold)[:top_k]


# ---------------------------------------------------------------- generation


@dataclass
class GenerationWork:
    """A prompt, and where its tokens go as they are generated.

    Attributes:
        emit: Called in the worker thread with each new token.
        cancelled: Set from outside when nobody waits any more; the row then leaves its batch.
        generated: Tokens emitted so far.
    """

    prompt: Prompt
    emit: Callable[[int], object] = lambda _: None
    cancelled: bool = False
    generated: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows in a batch: one."""
        return 1

    @property
    def tokens(self) -> int:
        """Prompt and new tokens: what the cache will hold."""
        return len(self.prompt.token_ids) + self.prompt.max_new_tokens


class TextGenerator:
    """Continues prompts.

    Args:
        tokenizer: Its definition as JSON.
        settings: The part "lm" of an export's serving.json.
        max_prompt_tokens: Longer prompts are refused.
    """

    def __init__(self, decoder: Decoder, tokenizer: str, settings: dict[str, Any], *, max_prompt_tokens: int) -> None:
        self._decoder, self._settings, self._max_prompt_tokens = decoder, settings, max_prompt_tokens
        self._tokenizer, self._plain = Tokenizer.from_str(tokenizer), Tokenizer.from_str(tokenizer)
        self._plain.encode_special_tokens = True
        for each in (self._tokenizer, self._plain):
            each.no_truncation()
            each.no_padding()
        self.eos_ids: frozenset[int] = frozenset(settings["ends"])

    def encode(self, text: str, *, chat: bool) -> list[int]:
        """Token ids of a user's prompt, in the model's chat template if `chat`; a control token in it is text.

        Raises:
            UserError: If it has too many tokens, or none.
        """
        ids = self._plain.encode(text, add_special_tokens=False).ids
        if not ids:
            raise UserError("the prompt holds no token")
        if len(ids) > self._max_prompt_tokens:
            raise UserError(
                f"the prompt has {len(ids)} tokens, and at most {self._max_prompt_tokens} are taken: shorten it"
            )
        if not chat:
            return ids
        before, after = (
            self._tokenizer.encode(self._settings[side], add_special_tokens=False).ids for side in ("before", "after")
        )
        return [*before, *ids, *after]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def work(self, text: str, *, chat: bool, max_new_tokens: int, sampling: Sampling) -> GenerationWork:
        """What `run` needs for a request.

        Raises:
            UserError: If the prompt has too many tokens, or none.
        """
        ids = self.encode(text, chat=chat)
        return GenerationWork(Prompt(token_ids=ids, max_new_tokens=max_new_tokens, sampling=sampling))

    def run(self, batch: Sequence[GenerationWork]) -> list[list[int]]:
        """New tokens of each prompt, its end token left out; emits them as they are generated.

        A prompt that runs a second time, since another one in its batch failed, does not emit twice: rows do not
        depend on each other, so that the same tokens come again.
        """
        emitted = [len(work.generated) for work in batch]
        count = [0] * len(batch)
        prompts = [work.prompt for work in batch]
        options = {"pad_id": self._settings["padding"], "eos_ids": self.eos_ids}
        for new in decode_steps(self._decoder, prompts, cancelled=lambda row: batch[row].cancelled, **options):
            for row, token in new.items():
                count[row] += 1
                if token not in self.eos_ids and count[row] > emitted[row]:
                    batch[row].generated.append(token)
                    batch[row].emit(token)
        return [work.generated for work in batch]


class TextStream:
    """Turns tokens into pieces of text that are whole characters: one character may be several tokens.

    Args:
        decode: Gives the text of a row's tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._sent = ""

    def push(self, token: int) -> str:
        """The text that this token completes; "" while a character is unfinished."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        return self._advance(text)

    def flush(self) -> str:
        """The rest of the text at the end, unfinished characters as the replacement sign."""
        return self._advance(self._decode(self._ids))

    def _advance(self, text: str) -> str:
        piece = text[len(self._sent) :]
        self._sent = text
        return piece


# ---------------------------------------------------------------- both, loaded and behind queues


@dataclass(frozen=True)
class Models:
    """Both models of an exported folder, and the files of their graphs."""

    answerer: QuestionAnswerer
    generator: TextGenerator
    graphs: tuple[str, str]


class Service:
    """The models behind their queues, and what is counted."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self.telemetry = models, Telemetry()
        rows = settings.rows if settings.batching else 1
        limits = {"rows": rows, "budget": settings.budget, "waiting": settings.waiting}
        self.questions: Batcher[QAWork, list[Candidate]] = Batcher(
            models.answerer.run, observe=self.telemetry.batches_of("encoder"), **limits
        )
        self.generations: Batcher[GenerationWork, list[int]] = Batcher(
            models.generator.run, observe=self.telemetry.batches_of("decoder"), **limits
        )
        for model, depth in (("encoder", lambda: self.questions.depth), ("decoder", lambda: self.generations.depth)):
            self.telemetry.watch(model, depth)

    @property
    def waiting(self) -> dict[str, int]:
        """Requests in each queue."""
        return {"encoder": self.questions.depth, "decoder": self.generations.depth}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take requests inside the block; leaving it lets those that wait finish."""
        async with self.questions, self.generations:
            yield

    async def answer(self, question: str, context: str, top_k: int) -> list[Answer]:
        """Answers to a question, best first.

        Raises:
            UserError: If the question does not fit.
            OverloadedError: If the queue is full.
        """
        spans = await self.questions.submit(self.models.answerer.work(question, context, top_k))
        return self.models.answerer.answers(spans, context, top_k)

    async def generate(self, work: GenerationWork) -> list[int]:
        """New tokens of a prompt; when nobody waits for them any more, its row leaves its batch.

        Raises:
            OverloadedError: If the queue is full.
        """
        try:
            tokens = await self.generations.submit(work)
        finally:
            work.cancelled = True
        self.telemetry.generated(len(tokens))
        return tokens

    async def stream(self, work: GenerationWork) -> AsyncGenerator[str, None]:
        """Pieces of text as they are generated; refuses before it returns, so that a full queue is still an error.

        Raises:
            OverloadedError: If the queue is full.
        """
        loop = asyncio.get_running_loop()
        tokens: asyncio.Queue[int | None] = asyncio.Queue()  # at most max_new_tokens, which the request bounds
        work.emit = lambda token: loop.call_soon_threadsafe(tokens.put_nowait, token)
        job = asyncio.create_task(self.generate(work))
        job.add_done_callback(lambda _: tokens.put_nowait(None))
        await asyncio.sleep(0)  # a full queue refuses at once
        if job.done():
            job.result()
        return self._pieces(job, tokens)

    async def _pieces(
        self, job: "asyncio.Task[list[int]]", tokens: "asyncio.Queue[int | None]"
    ) -> AsyncGenerator[str, None]:
        text = TextStream(self.models.generator.decode)
        try:
            while (token := await tokens.get()) is not None:
                if piece := text.push(token):
                    yield piece
            if piece := text.flush():
                yield piece
            job.result()
        finally:  # also when the client left
            if not job.done():
                self.telemetry.left()
            job.cancel()


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
    exported = json.loads(_text(folder / "serving.json"))
    graphs, qa = GRAPHS[settings.precision], exported["qa"]
    encoder, decoder = folder / graphs[0], folder / graphs[1]
    splitter = WindowSplitter(_text(folder / "qa_tokenizer.json"), max_length=qa["window"], stride=qa["overlap"])
    answerer = QuestionAnswerer(
        OnnxEncoder(encoder, settings.threads), splitter, threshold=qa["threshold"], token_budget=settings.budget
    )
    generator = TextGenerator(
        OnnxDecoder(decoder, settings.threads),
        _text(folder / "lm_tokenizer.json"),
        exported["lm"],
        max_prompt_tokens=settings.prompt_tokens,
    )
    return Models(answerer, generator, graphs)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
