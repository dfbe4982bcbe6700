"""Second questions that only the first message answers: does the model use the history, and is it right without?"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.ws_chat.backends.engine import SYSTEM
from shared.engine import Request, generate, load_engine

QUESTIONS = Path(__file__).parent / "two_turns.toml"


@dataclass(frozen=True)
class TwoTurns:
    """Two messages of a user, and words of which a right second answer has one."""

    first: str
    second: str
    expected: tuple[str, ...]

    def holds(self, answer: str) -> bool:
        """Whether an answer has one of the words."""
        return any(re.search(rf"(?<!\w){re.escape(word)}", answer.casefold()) for word in self.expected)


def questions() -> list[TwoTurns]:
    """All of them."""
    read = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["conversation"]
    return [TwoTurns(each["first"], each["second"], tuple(each["expected"])) for each in read]


def answers(*, tokens: int = 48) -> list[dict[str, Any]]:
    """Greedy answers of the local model to every second question, with the history and without."""
    engine = load_engine(precision="float32")

    def asked(*said: tuple[str, str]) -> Request:
        messages = [{"role": "system", "content": SYSTEM}, *({"role": role, "content": text} for role, text in said)]
        template = engine.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return Request(prompt=list(template), max_tokens=tokens)

    every = questions()
    first = [each.text for each in generate(engine, [asked(("user", each.first)) for each in every], size=8)]
    history = [
        asked(("user", each.first), ("assistant", said), ("user", each.second))
        for each, said in zip(every, first, strict=True)
    ]
    found = []
    for arm, requests in (("with history", history), ("without", [asked(("user", each.second)) for each in every])):
        for each, said in zip(every, generate(engine, requests, size=8), strict=True):
            row = {"arm": arm, "second": each.second, "answer": " ".join(said.text.split())[:200]}
            found.append({**row, "right": int(each.holds(said.text))})
    return found
