"""The same generator as a LangChain `LLMChain` with a conversation buffer; optional, extra rag-agent-langchain.

    python -m projects.rag_agent.agents.langchain_flow --question "Who directed Blade Runner?"

LangChain calls its own class and its own buffer deprecated, and moves them now and then. Nothing else in this project
needs it; the turns are kept in the same JSON file as the agent's.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.rag_agent.agents.build import open_module
from projects.rag_agent.agents.memory import Conversation, Turn, require_text
from projects.rag_agent.config import Config
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import RagModule
from projects.rag_agent.prompts import TEMPLATES, quoted
from shared.errors import UserError, command

EXTRA = 'pip install -e ".[rag-agent-langchain]"'


@dataclass(frozen=True, kw_only=True)
class FlowConfig(Config):
    """Ask through a LangChain chain."""

    question: tuple[str, ...] = ("Who directed Blade Runner?", "In which year was it released?")
    """Asked one after another."""
    conversation: Path | None = None
    """JSON file of the turns; by default they are forgotten."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, and what is no text."""
        super().__post_init__()
        for number, question in enumerate(self.question, start=1):
            require_text(question, f"--question {number}")


def main(config: FlowConfig) -> list[str]:
    """Answer questions through an LLMChain with memory."""
    _imported()  # before the models are loaded
    memory = Conversation.open(config.conversation) if config.conversation else Conversation()
    module = open_module(config)
    chain = build_chain(module.generator, memory, max_tokens=config.answer_tokens)
    return [ask(chain, module, memory, question) for question in config.question]


def build_chain(generator: Generator, conversation: Conversation, *, max_tokens: int = 24) -> Any:
    """An LLMChain over our generator, whose buffer begins with the turns of a conversation.

    Raises:
        UserError: If LangChain is not installed.
    """
    chains, memories, language_models, prompts = _imported()

    class OurModel(language_models.LLM):  # type: ignore[name-defined]
        """SmolLM2 as LangChain wants a model: a text in, a text out."""

        @property
        def _llm_type(self) -> str:
            return "rag_agent"

        def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **_: Any) -> str:  # noqa: ARG002
            messages = [
                {"role": "system", "content": TEMPLATES["answer"].system},
                {"role": "user", "content": prompt},
            ]
            return generator.answer([messages], max_tokens=max_tokens)[0]

    with _without_deprecations():
        buffer = memories.ConversationBufferMemory(memory_key="history", input_key="question")
        for said, answered in zip(conversation.turns[::2], conversation.turns[1::2], strict=False):
            buffer.save_context({"question": said.text}, {"text": answered.text})
        prompt = prompts.PromptTemplate.from_template("{history}\n{passages}\n\nQuestion: {question}\nAnswer:")
        return chains.LLMChain(llm=OurModel(), prompt=prompt, memory=buffer)


def ask(chain: Any, module: RagModule, conversation: Conversation, question: str) -> str:
    """Retrieve, run the chain, remember the turn."""
    found = module.retriever.search(question, module.k)
    lines = [quoted(n, each.passage.title, each.passage.text) for n, each in enumerate(found, start=1)]
    with _without_deprecations():
        text = chain.invoke({"question": question, "passages": "\n".join(["Passages:", *lines])})["text"]
    titles = tuple(dict.fromkeys(each.passage.title for each in found))
    conversation.say(Turn("user", question), Turn("assistant", text, titles))
    print(f"{question}\n  {text}  [{'; '.join(titles)}]")  # noqa: T201 - the command's output
    return text


def _imported() -> tuple[Any, Any, Any, Any]:
    try:
        with _without_deprecations():
            from langchain_classic import chains, memory
            from langchain_core import prompts
            from langchain_core.language_models import llms
    except ImportError:
        raise UserError(f"LangChain is not installed: {EXTRA}") from None
    return chains, memory, llms, prompts


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """LangChain warns of LLMChain and of its buffer by name; the brief asks for both."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated", category=DeprecationWarning)
        yield


if __name__ == "__main__":
    command(main, FlowConfig)
