"""SmolLM2 behind `pipeline("text-generation")`: greedy answers, many at once or streamed; choices by likelihood."""

# b batch · t time

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from projects.rag_agent.prompts import Message
from shared import devices
from shared.assets import load_causal_lm
from shared.assets.quiet import quiet

BATCH = 8


class Generator:
    """A chat model in transformers.

    Args:
        name: An embedded model, a local folder, or a Hugging Face id.
        device: auto, cpu, cuda, …
    """

    def __init__(self, name: str = "smollm2", *, device: str = "auto") -> None:
        from transformers import pipeline

        self.model, self.tokenizer = load_causal_lm(name)
        self.model.to(devices.pick(device))
        with quiet():
            self._pipeline = pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """Token ids of a prompt, the chat template's own included."""
        return list(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    def count(self, messages: list[Message]) -> int:
        """Tokens of a prompt."""
        return len(self.prompt_ids(messages))

    def count_text(self, text: str) -> int:
        """Tokens of a text alone."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer(
        self, prompts: Sequence[list[Message]], *, max_tokens: int, stream: Callable[[str], None] | None = None
    ) -> list[str]:
        """The likeliest continuation of each prompt, up to its first line end.

        Prompts of a batch are padded on the left under a mask that the tokenizer makes from the lengths: the model's
        pad token is its end token, so the ids do not tell them apart.

        Args:
            prompts: Conversations that end with a user's turn.
            max_tokens: Longest answer.
            stream: Called with each piece of the answer as it comes; for a single prompt.
        """
        from transformers import GenerationConfig

        if not prompts:
            return []
        streamer = _streamer(self.tokenizer, stream) if stream else None
        settings = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )
        order = sorted(range(len(prompts)), key=lambda row: self.count(prompts[row]))  # like lengths: less padding
        with quiet(), _without_notices():
            made = self._pipeline(
                [prompts[row] for row in order],
                batch_size=min(BATCH, len(prompts)),
                generation_config=settings,
                return_full_text=False,
                streamer=streamer,
            )
        texts = {row: each[0]["generated_text"] for row, each in zip(order, made, strict=True)}
        return [first_line(texts[row]) for row in range(len(prompts))]

    def option_ids(self, option: str) -> list[int]:
        """Token ids of an answer and of its end."""
        return [*self.tokenizer(option, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    @torch.inference_mode()
    def likelihoods(self, messages: list[Message], options: Sequence[str]) -> list[float]:
        """Log p(option and end of text | prompt), in nats, for each option."""
        device = self.model.device
        prompt = self.prompt_ids(messages)
        scores = []
        for option in options:
            ids = torch.tensor([[*prompt, *self.option_ids(option)]], device=device)
            logits = self.model(input_ids=ids).logits[0, len(prompt) - 1 : -1]  # the row before each target token
            chosen = torch.log_softmax(logits, dim=-1).gather(1, ids[0, len(prompt) :, None])
            scores.append(chosen.sum().item())
        return scores


def first_line(text: str) -> str:
    """The text before the first line end, without spaces around it."""
    return text.strip().split("\n", 1)[0].strip()


class FirstLine:
    """Hands on the pieces of a text as they come; nothing behind the first line end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.text, self._say = "", say

    def push(self, piece: str) -> None:
        """The next piece."""
        before = first_line(self.text)
        self.text += piece
        after = first_line(self.text)
        if len(after) > len(before):
            self._say(after[len(before) :])


def _streamer(tokenizer: Any, say: Callable[[str], None]) -> Any:
    from transformers import TextStreamer

    line = FirstLine(say)

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002 - as the library calls it
            line.push(text)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


@contextmanager
def _without_notices() -> Iterator[None]:
    """Advice of the library on how to call it faster on a GPU is no message for who asks a question."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
