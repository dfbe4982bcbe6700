"""SmolLM2 on the shared engine: one thread turns its scheduler, answers join and leave the running batch."""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from projects.ws_chat.backends.backend import BackendError, Finish
from projects.ws_chat.context import Turn
from shared.engine import Request, Sampling
from shared.engine.generation import Answer
from shared.engine.model import Engine
from shared.engine.scheduler import EngineRows, Scheduler

SYSTEM = "You are a helpful assistant. Answer briefly."


class EngineBackend:
    """The local model.

    Args:
        engine: Loaded.
        at_once: Answers in the batch.
        context: Tokens of prompt and answer.
        max_tokens: Longest answer.
        system: What it is told before every conversation.
    """

    def __init__(
        self, engine: Engine, *, at_once: int = 4, context: int = 2048, max_tokens: int = 256, system: str = SYSTEM
    ) -> None:
        self.at_once, self.budget, self.max_tokens = at_once, context - max_tokens, max_tokens
        self.computed = 0
        self._engine, self._system = engine, system
        self._scheduler = Scheduler(EngineRows(engine, size=at_once, capacity=context), size=at_once)
        self._news, self._closing = threading.Condition(), False
        self._inbox: list[EngineAnswer] = []
        self._answers: dict[int, EngineAnswer] = {}  # of the thread's own
        self._thread = threading.Thread(target=self._turn, name="engine", daemon=True)
        self._thread.start()

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of the prompt."""
        return len(self.prompt(turns))

    def answer(self, turns: Sequence[Turn]) -> "EngineAnswer":
        """Begin an answer; it waits for a row if all are taken."""
        seed = secrets.randbits(63)  # another answer to the same question is another one
        sampling = Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1, seed=seed)
        request = Request(prompt=self.prompt(turns), max_tokens=self.max_tokens, sampling=sampling)
        begun = EngineAnswer(Answer(self._engine, request), asyncio.get_running_loop(), self._wake)
        with self._news:
            self._inbox.append(begun)
            self._news.notify()
        return begun

    async def close(self) -> None:
        """Cancel all answers and end the thread."""
        with self._news:
            self._closing = True
            for answer in (*self._inbox, *self._answers.copy().values()):
                answer.job.cancel()
            self._news.notify()
        await asyncio.to_thread(self._thread.join)

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """What the model reads: the system text and the turns, in its template."""
        messages = [{"role": "system", "content": self._system}]
        messages += [{"role": turn.role, "content": turn.text} for turn in turns]
        return list(self._engine.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    def _wake(self) -> None:
        with self._news:
            self._news.notify()

    def _turn(self) -> None:
        """The thread: what came in joins, then everybody who runs gets a token, until it is closed and nobody runs."""
        while True:
            with self._news:
                while self._scheduler.idle and not self._inbox and not self._closing:
                    self._news.wait()
                if self._closing and self._scheduler.idle and not self._inbox:
                    return
                coming, self._inbox = self._inbox, []
            for answer in coming:
                self._scheduler.submit(answer.job)
                self._answers[id(answer.job)] = answer
            for job, piece in self._scheduler.turn():
                self._tell(cast(Answer, job), piece)

    def _tell(self, job: Answer, piece: str) -> None:
        self.computed += job.finish != "cancelled"
        self._answers[id(job)].tell(piece)
        if job.finish:
            del self._answers[id(job)]


class EngineAnswer:
    """An answer of the engine: what its thread finds is handed to the event loop."""

    def __init__(self, job: Answer, loop: asyncio.AbstractEventLoop, wake: Any) -> None:
        self.job = job
        self.finish: Finish | None = None
        self._loop, self._wake = loop, wake
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def cancel(self) -> None:
        """Compute no further token."""
        self.job.cancel()
        self._wake()

    def tell(self, piece: str) -> None:
        """From the engine's thread: a piece, and the end after the last."""
        if piece:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        if self.job.finish:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, None)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of the text."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if self.job.finish == "error":
            raise BackendError("the model failed")
        if self.job.finish in ("end", "stop"):
            self.finish = "end"
        elif self.job.finish == "length":
            self.finish = "length"
