"""A store that forgets, with delays and failures where a test wants them, and a page that checks what comes."""

import asyncio
import json

from projects.ws_chat.protocol import NUMBERED, Snapshot, Stored
from projects.ws_chat.store.interface import GoneError

ONE, TWO = "conversation-1", "conversation-2"
WORDS = " ".join(f"w{number}" for number in range(60))


class Memory:
    def __init__(self, *conversations, user="ana", seconds=0.0):
        self.kept = {name: [] for name in conversations}
        self.owner = dict.fromkeys(conversations, user)
        self.numbers = dict.fromkeys(conversations, 0)
        self.seconds, self.failing = seconds, False

    async def messages(self, user, conversation):
        await asyncio.sleep(self.seconds)
        return list(self.kept[conversation]) if self.owner.get(conversation) == user else None

    async def reserve(self, conversation, count):
        await asyncio.sleep(self.seconds)
        if conversation not in self.kept:
            raise GoneError
        self.numbers[conversation] += count
        return self.numbers[conversation] - count

    async def add(self, conversation, message: Stored):
        await asyncio.sleep(self.seconds)
        if self.failing:
            raise OSError("the disk is full")
        if conversation not in self.kept:
            raise GoneError
        if any(each.id == message.id for each in self.kept[conversation]):
            return False
        self.kept[conversation].append(message)
        return True

    async def remove_from(self, conversation, message, instead=None):
        await asyncio.sleep(self.seconds)
        if self.failing:
            raise OSError("the disk is full")
        if conversation not in self.kept:
            raise GoneError
        kept = self.kept[conversation]
        place = next(n for n, each in enumerate(kept) if each.id == message)
        self.kept[conversation], removed = kept[:place], kept[place:]
        self.kept[conversation] += [instead] if instead else []
        return [each.id for each in removed]


class Page:
    """What a page would show, checked as it comes: numbers without gaps, nothing twice."""

    def __init__(self):
        self.seq, self.frames, self.messages, self.writing, self.done = 0, [], {}, {}, asyncio.Event()

    def __call__(self, frame):
        self.frames.append(frame)
        if frame.type == "snapshot":
            self.seq, self.messages = frame.seq, {each.id: each.text for each in frame.messages}
            self.writing = {frame.writing.answer: frame.writing.text} if frame.writing else {}
            return
        if not hasattr(frame, "seq"):
            return
        assert frame.seq == self.seq + 1, f"{frame.seq} after {self.seq}"
        self.seq = frame.seq
        if frame.type == "message":
            assert frame.message.id not in self.messages
            self.messages[frame.message.id] = frame.message.text
        elif frame.type == "removed":
            for each in frame.messages:
                del self.messages[each]
        elif frame.type == "started":
            self.writing[frame.answer] = ""
        elif frame.type == "token":
            self.writing[frame.answer] += frame.text
        elif frame.type == "done":
            text = self.writing.pop(frame.answer, "")
            if frame.message:
                assert frame.message.text == text
                self.messages[frame.answer] = text
            self.done.set()

    def of(self, kind):
        return [frame for frame in self.frames if frame.type == kind]


def shown(page, text):
    """Give a page a frame as it came."""
    frame = json.loads(text)
    if frame["type"] == "snapshot":
        page(Snapshot.model_validate_json(text))
    elif "seq" in frame:
        page(NUMBERED.validate_json(text))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)
