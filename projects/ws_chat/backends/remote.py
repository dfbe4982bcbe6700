"""Any server that speaks OpenAI's chat protocol: vLLM, llama.cpp, a hosted API.

Source: OpenAI API reference, "Create chat completion", with stream=true: server-sent events, then `data: [DONE]`.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from projects.ws_chat.backends.backend import BackendError, Finish
from projects.ws_chat.context import Turn
from shared.errors import UserError

SYSTEM = "You are a helpful assistant. Answer briefly."
BUSY = (429, 502, 503, 504)  # asked again, as long as nothing of the answer has come
LONGEST_LINE = 2**20  # characters
LONGEST_ANSWER = 2**17  # characters, however long the server thinks that its tokens are
BYTES_A_TOKEN, OF_A_TURN = 3, 8  # an estimate on the safe side: only the server knows its tokenizer


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        connect: Seconds for a connection.
        first: Seconds for the first token once the server has answered; events without text do not count.
        next: Seconds between two tokens.
        tries: Requests for one answer.
        longest: Seconds that a Retry-After may ask for; a server that asks for more is not asked again.
    """

    connect: float = 5.0
    first: float = 60.0
    next: float = 30.0
    tries: int = 4
    longest: float = 20.0


class RemoteBackend:
    """A model behind a URL.

    Args:
        base_url: Up to and including /v1.
        model: Its name there.
        key: Sent as a bearer token; it is in no log and no error.
        sleep: Waits for a retry, for tests.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str = "",
        at_once: int = 16,
        context: int = 4096,
        max_tokens: int = 512,
        system: str = SYSTEM,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        _check(base_url, key)
        self.at_once, self.budget, self.computed = at_once, context - max_tokens, 0
        self.patience, self._sleep = patience or Patience(), sleep
        self._model, self._max_tokens, self._system = model, max_tokens, system
        self._answers: set[RemoteAnswer] = set()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        waits = httpx.Timeout(None, connect=self.patience.connect)
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        self._client = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=waits, limits=limits)

    def count(self, turns: Sequence[Turn]) -> int:
        """About the tokens of the prompt, rather more than fewer."""
        texts = (self._system, *(turn.text for turn in turns))
        return sum(OF_A_TURN + math.ceil(len(text.encode("utf-8")) / BYTES_A_TOKEN) for text in texts)

    def answer(self, turns: Sequence[Turn]) -> "RemoteAnswer":
        """Begin an answer."""
        begun = RemoteAnswer(self, turns)
        self._answers.add(begun)
        begun.task.add_done_callback(lambda _: self._answers.discard(begun))
        return begun

    async def close(self) -> None:
        """Cancel all answers."""
        tasks = [answer.task for answer in self._answers]
        for answer in tuple(self._answers):
            answer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def stream(self, turns: Sequence[Turn]) -> AsyncIterator[tuple[str, Finish | None]]:
        """Pieces, and with the last why it ended.

        Raises:
            BackendError: If the server cannot be reached, refuses, or stops in the middle.
        """
        response = await self._ask(turns)
        try:
            tokens = characters = 0
            ended, lines, now = False, _lines(response), asyncio.get_running_loop().time
            by = now() + self.patience.first
            while (line := await self._next(lines, by, first=not tokens)) not in (None, "[DONE]"):
                piece, finish = _read(line)
                if piece and (tokens == self._max_tokens or characters + len(piece) > LONGEST_ANSWER):
                    yield "", "length"  # more than it was asked for
                    return
                if piece:
                    by = now() + self.patience.next
                ended = ended or finish is not None
                tokens, characters = tokens + bool(piece), characters + len(piece)
                self.computed += bool(piece)
                yield piece, finish
            if not ended and line is None:
                raise BackendError("the server broke off in the middle of the answer")
        except httpx.HTTPError as error:
            raise BackendError(f"the server broke off in the middle of the answer ({type(error).__name__})") from None
        finally:
            await response.aclose()

    async def _next(self, lines: AsyncIterator[str], by: float, *, first: bool) -> str | None:
        """The next event's text; None if there is none."""
        try:
            async with asyncio.timeout_at(by):
                return await anext(lines, None)
        except TimeoutError:
            late, wait = ("first", self.patience.first) if first else ("next", self.patience.next)
            raise BackendError(f"the {late} token did not come within {wait:g} s") from None

    async def _ask(self, turns: Sequence[Turn]) -> httpx.Response:
        """A response whose body has not been read; a server that is busy is asked again when it says."""
        for attempt in range(1, self.patience.tries + 1):
            response = await self._send(turns)
            if response.status_code == 200:
                return response
            await response.aclose()
            wait = _retry_after(response.headers.get("Retry-After", ""), attempt)
            if response.status_code not in BUSY or wait > self.patience.longest or attempt == self.patience.tries:
                raise BackendError(f"the server answered {response.status_code}")
            await self._sleep(wait)
        raise AssertionError("unreachable")

    async def _send(self, turns: Sequence[Turn]) -> httpx.Response:
        messages = [{"role": "system", "content": self._system}]
        messages += [{"role": turn.role, "content": turn.text} for turn in turns]
        body = {"model": self._model, "messages": messages, "max_tokens": self._max_tokens, "stream": True}
        request = self._client.build_request("POST", "chat/completions", json=body)
        try:
            async with asyncio.timeout(self.patience.first):
                return await self._client.send(request, stream=True)
        except TimeoutError:
            raise BackendError(f"the server did not answer within {self.patience.first:g} s") from None
        except httpx.HTTPError as error:
            raise BackendError(f"the server cannot be reached ({type(error).__name__})") from None


class RemoteAnswer:
    """An answer of a server: read in a task of its own, which a cancellation ends with its connection."""

    def __init__(self, backend: RemoteBackend, turns: Sequence[Turn]) -> None:
        self.finish: Finish | None = None
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._error: BackendError | None = None
        self.task = asyncio.create_task(self._follow(backend, turns))
        self.task.add_done_callback(lambda _: self._pieces.put_nowait(None))  # also if it was cancelled before it began

    def cancel(self) -> None:
        """Close the connection: the server computes no further token if it looks after its clients."""
        self.task.cancel()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of the text."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if self._error is not None:
            raise self._error

    async def _follow(self, backend: RemoteBackend, turns: Sequence[Turn]) -> None:
        finish: Finish | None = None
        try:
            async for piece, reason in backend.stream(turns):
                finish = reason or finish
                if piece:
                    self._pieces.put_nowait(piece)
            self.finish = finish or "end"
        except BackendError as error:
            self._error = error


def _check(base_url: str, key: str) -> None:
    try:
        host = httpx.URL(base_url).host
    except httpx.InvalidURL:
        host = ""
    if not base_url.startswith(("http://", "https://")) or not host:
        raise UserError(f"--base-url {base_url}: must look like http://127.0.0.1:8001/v1")
    if not (key.isascii() and key.isprintable()):
        raise UserError("the API key has characters that no key has")  # which ones is nobody's business


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """What follows `data:` in each event."""
    rest = ""
    async for text in response.aiter_text():
        *lines, rest = (rest + text).split("\n")
        if len(rest) > LONGEST_LINE:
            raise BackendError("the server sent a line without an end")
        for line in lines:
            if line.startswith("data:"):
                yield line.removeprefix("data:").strip()


def _read(line: str) -> tuple[str, Finish | None]:
    """Text of an event, and why the answer ended if it did."""
    try:
        event = json.loads(line)
        if "error" in event:
            raise BackendError("the server failed in the middle of the answer")
        if not event["choices"]:
            return "", None  # the usage, which comes last
        choice = event["choices"][0]
        piece = choice.get("delta", {}).get("content") or ""
        reason = choice.get("finish_reason")
        if not isinstance(piece, str):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise BackendError("the server sent an event that cannot be read") from None
    piece = piece.replace("\0", "").encode("utf-8", "replace").decode()  # halves of characters, which nobody can store
    return piece, None if reason is None else "length" if reason == "length" else "end"


def _retry_after(header: str, attempt: int) -> float:
    """Seconds until the next try: what the server says (RFC 9110, §10.2.3), else twice as long each time."""
    with suppress(ValueError):
        return max(0.0, float(min(int(header), 10**9)))
    with suppress(ValueError, TypeError):
        then = parsedate_to_datetime(header)
        return max(0.0, (then - datetime.now(UTC)).total_seconds())
    return float(min(2 ** (attempt - 1), 8))
