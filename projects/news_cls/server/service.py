"""What the server does, without HTTP: answers, explanations, feedback, updates, each by a version that is named."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from sqlalchemy.exc import SQLAlchemyError
from torch import Tensor

from projects.news_cls.classifier import Answer, Classifier
from projects.news_cls.data.cleaning import clean
from projects.news_cls.explain.attributions import Explained, integrated_gradients
from projects.news_cls.monitor.memory import Memory, propose
from projects.news_cls.monitor.update import Decision, Labelled
from projects.news_cls.monitor.versions import Head, Version, Versions
from projects.news_cls.server.files import Files
from projects.news_cls.server.queue_of_texts import UPDATES, TextQueue
from projects.news_cls.server.settings import Settings
from shared import devices
from shared.errors import UserError
from shared.web import logs

FOLLOW = 2.0
"""Seconds between two looks at which version answers."""


@dataclass(frozen=True)
class _Explain:
    """A text in the queue that wants reasons instead of an embedding."""

    text: str
    topic: int | None
    head: Head


class Service:
    """A classifier behind a queue, with its versions.

    Args:
        classifier: Its head is the first version, if the database has none.
        memory: Articles of the past, which updates replay.
        settings: Limits.

    Raises:
        UserError: If the database or the folder cannot be used.
    """

    def __init__(self, classifier: Classifier, memory: Memory, settings: Settings) -> None:
        self.classifier, self.memory, self.settings = classifier, memory, settings
        self.queue = TextQueue(self._compute, at_once=settings.at_once, waiting=settings.waiting)
        self.versions = Versions(settings.url)
        self.files = Files(settings.data / "files", self._for_file, settings.rows)
        self._updating = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self.ready = False
        self._open()

    def _open(self) -> None:
        """Make the first version if there is none; here, since what is raised once a server starts is no single line.

        Raises:
            UserError: If a stored version cannot be read, or is of another model.
        """
        try:
            found = self.versions.current()
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise UserError(f"the database cannot be read: {said}") from None
        if found is None:
            own = self.classifier
            self.versions.add(
                own.head,
                labels=own.labels,
                encoder=own.digest,
                temperature=own.temperature,
                unsure_below=own.unsure_below,
                action="release",
                reason="as it was trained",
                numbers={},
            )
        elif found.encoder != self.classifier.digest:
            raise UserError(
                "the database's versions are of another model: serve that one, or name another folder (NEWS_CLS_DATA)"
            )
        self._take(self.current())

    async def start(self) -> None:
        """Begin to work."""
        self.queue.start()
        self._following = asyncio.create_task(self._follow())
        await self.files.resume()
        self.ready = True

    async def close(self) -> None:
        """Finish what waits; files that are not done go on at the next start."""
        self.ready = False
        if self._following:
            self._following.cancel()
        await self.files.stop()
        await self.queue.stop()
        self.versions.close()

    def current(self) -> Version:
        """The version that answers."""
        found = self.versions.current()
        assert found is not None, "start() has made one"
        return found

    async def _follow(self) -> None:
        """Answer by what another server on the same database has released; while it cannot be asked, go on."""
        while True:
            await asyncio.sleep(FOLLOW)
            async with self._updating:
                try:
                    found = await asyncio.to_thread(self.current)
                except (UserError, SQLAlchemyError) as error:
                    logs.line(logging.WARNING, event="versions cannot be read", **logs.error_fields(error))
                    continue
                if found.id != self.version:
                    self._take(found)

    def _take(self, version: Version) -> None:
        self.version = version.id
        self.classifier = replace(
            self.classifier,
            head=version.head,
            labels=version.labels,
            temperature=version.temperature,
            unsure_below=version.unsure_below,
        )

    # ------------------------------------------------------------ answers

    async def classify(self, texts: Sequence[str]) -> tuple[list[Answer], int]:
        """Answers, and the version that gave them.

        Raises:
            UserError: If a text is too long.
            BusyError: If too many wait.
        """
        return self._judged(*await self._embedded(texts))

    async def _embedded(self, texts: Sequence[str]) -> tuple[list[str], Tensor]:
        cleaned = await asyncio.to_thread(lambda: [self._cleaned(text) for text in texts])  # others are heard meanwhile
        return cleaned, torch.stack(await self.queue.submit(cleaned))

    async def _for_file(self, texts: list[str]) -> tuple[list[Answer], int]:
        cleaned = await asyncio.to_thread(lambda: [clean(text) for text in texts])
        return self._judged(cleaned, torch.stack(await self.queue.when_free(cleaned)))

    def _judged(self, cleaned: list[str], found: Tensor) -> tuple[list[Answer], int]:
        return self.classifier.judged(cleaned, found), self.version  # one version for all of a request

    def _cleaned(self, text: str) -> str:
        if len(text) > self.settings.characters:
            raise UserError(f"a text has {len(text)} characters, and at most {self.settings.characters} are taken")
        return clean(text)

    async def explain(self, text: str, topic: str | None) -> tuple[Explained, int]:
        """Why the topic, or why another one.

        Raises:
            UserError: If the topic is unknown, or there is no word to explain.
        """
        number = None if topic is None else self._topic(topic)
        cleaned = self._cleaned(text)
        if not cleaned:
            raise UserError("the text holds no word")
        version = self.version  # an update meanwhile changes neither the head nor its name
        (found,) = await self.queue.submit([_Explain(cleaned, number, self.classifier.head)])
        return found, version

    def _topic(self, name: str) -> int:
        if name not in self.classifier.labels:
            raise UserError(f"{name!r} is no topic; the topics are {', '.join(self.classifier.labels)}")
        return self.classifier.labels.index(name)

    def _compute(self, batch: list[Any]) -> list[Any]:
        """In the model's thread: embeddings of plain texts together, then what is to be explained."""
        plain = [each for each in batch if isinstance(each, str)]
        rows = iter(self.classifier.embed(plain) if plain else ())
        return [next(rows) if isinstance(each, str) else self._explained(each) for each in batch]

    def _explained(self, asked: _Explain) -> Explained:
        model = self.classifier.model
        model.set_head(asked.head.weight, asked.head.bias)  # of the version that answers
        return integrated_gradients(model, asked.text, asked.topic)

    # ------------------------------------------------------------ feedback and updates

    async def say(self, text: str, label: str) -> tuple[int, str, int]:
        """Keep the right label of a text. Returns its number, what the model says, and how many wait.

        Raises:
            UserError: If the label is no topic, or there is no word to learn from.
        """
        self._topic(label)
        cleaned = self._cleaned(text)
        if not cleaned:
            raise UserError("the text holds no word")
        (answer,), version = self._judged([cleaned], torch.stack(await self.queue.submit([cleaned])))
        number = await asyncio.to_thread(self.versions.say, cleaned, answer.topic, label, version)
        return number, answer.topic, await asyncio.to_thread(self.versions.waiting)

    async def update(self) -> tuple[Decision, int]:
        """Learn from feedback; the gate decides. One at a time.

        Raises:
            UserError: If there is no feedback.
        """
        async with self._updating:
            rows = await asyncio.to_thread(self.versions.feedback)
            if not rows:
                raise UserError("there is no feedback to learn from")
            found = torch.stack(await self.queue.when_free([each["text"] for each in rows], UPDATES))
            labels = torch.tensor([self._topic(row["label"]) for row in rows])
            new = Labelled(found.float(), labels)
            decision, version = await asyncio.to_thread(propose, self.versions, self.current(), self.memory, rows, new)
            self._take(self.versions.get(version))
        return decision, version

    async def rollback(self) -> int:
        """Let the version before answer again.

        Raises:
            UserError: If there is none.
        """
        async with self._updating:
            self._take(await asyncio.to_thread(self.versions.rollback, "asked for"))
        return self.version


def load(settings: Settings) -> tuple[Classifier, Memory]:
    """A run's classifier and what it remembers."""
    precision: devices.Precision = settings.precision  # type: ignore[assignment]  # settings checked it
    found = Classifier.load(settings.model, backend=settings.backend, precision=precision)
    return found, Memory.read(settings.model)
