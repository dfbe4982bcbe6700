"""The same generator on shared/engine: ONNX Runtime with a cache, in float32, which gives transformers' answers."""

from collections.abc import Callable, Sequence

import numpy as np

from projects.rag_agent.models.generator import BATCH, FirstLine, Generator, first_line
from projects.rag_agent.prompts import Message
from shared import engine
from shared.errors import UserError


class EngineGenerator(Generator):
    """A chat model on the engine, whose graph is built the first time; methods as in `Generator`."""

    def __init__(self, name: str = "smollm2") -> None:
        try:
            self.engine = engine.load_engine(name, "float32")
        except ImportError as error:
            raise UserError(f'--backend engine needs {error.name}: pip install -e ".[engine]"') from None
        self.tokenizer = self.engine.tokenizer

    def answer(  # noqa: D102
        self, prompts: Sequence[list[Message]], *, max_tokens: int, stream: Callable[[str], None] | None = None
    ) -> list[str]:
        requests = [engine.Request(prompt=self.prompt_ids(each), max_tokens=max_tokens) for each in prompts]
        if not stream:
            return [first_line(answer.text) for answer in engine.generate(self.engine, requests, size=BATCH)]
        line = FirstLine(stream)
        for piece in engine.stream(self.engine, requests[0]):
            line.push(piece)
        return [first_line(line.text)]

    def likelihoods(self, messages: list[Message], options: Sequence[str]) -> list[float]:  # noqa: D102
        prompt, scores = self.prompt_ids(messages), []
        for target in map(self.option_ids, options):
            logits = self.engine.score([*prompt, *target])[len(prompt) - 1 : -1]  # the row before each target token
            chosen = logits[range(len(target)), target] - np.logaddexp.reduce(logits, axis=1)
            scores.append(float(chosen.sum()))
        return scores
