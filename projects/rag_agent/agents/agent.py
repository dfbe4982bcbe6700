"""The agent's loop: a policy decides, the decision is parsed and checked, a tool or the documents answer, and again.

Who may give orders: the person (what is typed), and the policy (what it decides about what is typed). Passages and what
tools return are never parsed and never shown to the policy: an instruction inside them stays a quotation.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from projects.rag_agent.agents.memory import Conversation, Turn, require_text
from projects.rag_agent.models.generator import Generator
from projects.rag_agent.models.rag_module import Answer, RagModule
from projects.rag_agent.prompts import TEMPLATES
from projects.rag_agent.tools.tool_stub import TOOLS, Tool, ToolError
from shared.errors import UserError

DOCUMENTS = "documents"  # the "tool" that answers from the passages
LARGEST_DECISION = 2000  # characters


@dataclass(frozen=True)
class Action:
    """One decision: a tool (or DOCUMENTS) and its arguments."""

    tool: str
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        """As a policy says it, and `parse` reads it."""
        return json.dumps({"tool": self.tool, "arguments": self.arguments}, ensure_ascii=False)


class DecisionError(Exception):
    """A decision that cannot be followed; the message says why."""


def parse(text: str, tools: Sequence[Tool] = TOOLS) -> Action:
    """One JSON object {"tool": name, "arguments": {...}} and nothing around it.

    Raises:
        DecisionError: If it is anything else, names no tool, or the arguments do not fit.
    """
    if len(text) > LARGEST_DECISION:
        raise DecisionError(f"a decision of {len(text)} characters")
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise DecisionError(f"no JSON: {text[:60]!r}") from None
    if not isinstance(value, dict) or value.keys() != {"tool", "arguments"} or not isinstance(value["arguments"], dict):
        raise DecisionError("a decision has exactly the members tool and arguments")
    name, arguments = value["tool"], value["arguments"]
    if name == DOCUMENTS:
        if arguments.keys() != {"question"} or not isinstance(arguments["question"], str):
            raise DecisionError(f"{DOCUMENTS} takes question alone")
        return Action(name, arguments)
    found = next((tool for tool in tools if tool.name == name), None)
    if found is None:
        raise DecisionError(f"no tool {str(name)[:40]!r}")
    try:
        return Action(name, found.checked(arguments))
    except ToolError as error:
        raise DecisionError(str(error)) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


@runtime_checkable
class Policy(Protocol):
    """Decides what to do with a request; the answer is text that `parse` has to accept."""

    def decide(self, request: str) -> str:
        """One decision about one request."""
        ...


class RulePolicy:
    """The first tool whose own pattern recognises the request; else the documents.

    Args:
        tools: In the order in which they are asked.
    """

    def __init__(self, tools: Sequence[Tool] = TOOLS) -> None:
        self.tools = tools

    def decide(self, request: str) -> str:
        """Decision about one request (`Policy`)."""
        for tool in self.tools:
            arguments = tool.reads(request)
            if arguments is not None:
                return Action(tool.name, arguments).text
        return Action(DOCUMENTS, {"question": request}).text


class ModelPolicy:
    """The name that the model finds likeliest for the request, against an empty request; arguments by the pattern.

    A model prefers some names whatever is asked; the difference to a request without content takes that away. A tool is
    taken only if its pattern finds arguments in the request: the model cannot invent any.

    Source: Zhao et al. 2021, "Calibrate before use", §4, with log-probabilities subtracted.
    """

    NEUTRAL = "N/A"

    def __init__(self, generator: Generator, tools: Sequence[Tool] = TOOLS) -> None:
        self.generator, self.tools = generator, tools
        self._prior = self._likelihoods(self.NEUTRAL)

    def decide(self, request: str) -> str:
        """Decision about one request (`Policy`)."""
        name = self.choose(request)
        tool = next((tool for tool in self.tools if tool.name == name), None)
        arguments = tool.reads(request) if tool else None
        if tool is None or arguments is None:
            return Action(DOCUMENTS, {"question": request}).text
        return Action(tool.name, arguments).text

    def choose(self, request: str) -> str:
        """The likeliest name."""
        gains = [now - before for now, before in zip(self._likelihoods(request), self._prior, strict=True)]
        return self._names[gains.index(max(gains))]

    @property
    def _names(self) -> list[str]:
        return [*(tool.name for tool in self.tools), DOCUMENTS]

    def _likelihoods(self, request: str) -> list[float]:
        messages = TEMPLATES["choose_tool"].messages(tools=described(self.tools), question=request)
        return self.generator.likelihoods(messages, self._names)


class FreePolicy:
    """Writes JSON freely, taken as it is: shows why the two above exist."""

    def __init__(self, generator: Generator, tools: Sequence[Tool] = TOOLS) -> None:
        self.generator, self.tools = generator, tools

    def decide(self, request: str) -> str:
        """Decision about one request (`Policy`)."""
        messages = TEMPLATES["call_tool"].messages(tools=described(self.tools), question=request)
        return self.generator.answer([messages], max_tokens=48)[0]


def policy_of(name: str, generator: Generator) -> Policy:
    """The policy of that name: rules, model or free."""
    if name == "free":
        return FreePolicy(generator)
    return RulePolicy() if name == "rules" else ModelPolicy(generator)


def described(tools: Sequence[Tool]) -> str:
    """The tools as a prompt lists them."""
    return "\n".join([*(tool.signature for tool in tools), f"{DOCUMENTS}(question: text): Answer from the documents."])


@dataclass(frozen=True)
class Step:
    """One part of a message: the action that was decided, and the text that came of it.

    Attributes:
        answer: The answer from the documents, if they were asked.
        failed: Whether a tool could not do it.
    """

    action: Action
    text: str
    answer: Answer | None = None
    failed: bool = False


@dataclass(frozen=True)
class Response:
    """The agent's answer to one message."""

    text: str
    steps: list[Step] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """Answers of the steps that asked the documents."""
        return [step.answer for step in self.steps if step.answer]

    @property
    def refused(self) -> bool:
        """Whether something was asked that the documents do not answer, or a tool failed."""
        return any(step.failed or (step.answer is not None and step.answer.refused) for step in self.steps)


class Agent:
    """Answers messages with tools and documents, and remembers.

    Args:
        max_steps: Actions on one message, at most.
        history_tokens: Tokens of the conversation that a prompt may repeat.
    """

    def __init__(
        self,
        module: RagModule,
        policy: Policy,
        conversation: Conversation | None = None,
        *,
        tools: Sequence[Tool] = TOOLS,
        max_steps: int = 4,
        history_tokens: int = 0,
    ) -> None:
        self.module, self.policy, self.tools = module, policy, tools
        self.max_steps, self.history_tokens = max_steps, history_tokens
        self.conversation = conversation or Conversation()

    def respond(self, message: str, *, stream: Callable[[str], None] | None = None) -> Response:
        """Respond to a message; both are remembered once it is said.

        Args:
            message: What a person typed.
            stream: Called with each piece of an answer from the documents as it comes.

        Raises:
            UserError: If the message is empty, no text, or too long for the budget.
        """
        require_text(message, "the message")
        if not message.strip():
            raise UserError("the message is empty")
        requests = parts(message)
        steps: list[Step] = []
        topic = self.conversation.topic
        for request in requests[: self.max_steps]:
            steps.append(self._step(with_topic(request, topic), stream))
            topic = next((title for answer in [steps[-1].answer] if answer for title in _titles(answer)), topic)
        said = [step.text for step in steps]
        if len(requests) > self.max_steps:
            said.append(f"(I stopped after {self.max_steps} steps; {len(requests) - self.max_steps} parts are left.)")
        response = Response("\n".join(said), steps)
        sources = [title for answer in response.answers for title in _titles(answer)]
        self.conversation.say(Turn("user", message), Turn("assistant", response.text, tuple(dict.fromkeys(sources))))
        return response

    def _step(self, request: str, stream: Callable[[str], None] | None) -> Step:
        try:
            action = parse(self.policy.decide(request), self.tools)
        except DecisionError:  # a model that talks nonsense: the documents are asked, nothing is called
            action = Action(DOCUMENTS, {"question": request})
        if action.tool == DOCUMENTS:
            history = self.conversation.window(self.history_tokens, self.module.generator.count_text)
            answer = self.module.answer(action.arguments["question"], history, stream=stream)
            return Step(action, answer.text, answer)
        tool = next(tool for tool in self.tools if tool.name == action.tool)
        try:
            return Step(action, tool.call(action.arguments))
        except ToolError as error:
            return Step(action, str(error), failed=True)


def _titles(answer: Answer) -> list[str]:
    """Titles of an answer's sources, those that it cites first; none if it was refused."""
    if answer.refused:
        return []
    order = [*answer.cited, *(n for n in range(1, len(answer.sources) + 1) if n not in answer.cited)]
    return list(dict.fromkeys(answer.sources[number - 1].passage.title for number in order))


_PART = re.compile(r"(?<=\?)\s+(?=\S)|\s*;\s+|(?<=\?),? and (?=\S)|\s+(?:and then|then also)\s+", re.IGNORECASE)


def parts(message: str) -> list[str]:
    """The requests in a message: after a question mark, a semicolon, or "and then", another one begins.

    >>> parts("Who directed Vertigo? And what is 2 + 2?")
    ['Who directed Vertigo?', 'And what is 2 + 2?']
    """
    return [part.strip() for part in _PART.split(message) if part.strip()]


_PRONOUN = re.compile(r"\b(?:it|that film|this film|the film|that movie|the same film)\b(?!'s)", re.IGNORECASE)


def with_topic(request: str, topic: str) -> str:
    """The request with the latest answer's title in the place of "it" or "that film": retrieval sees no conversation.

    >>> with_topic("When was it released?", "Vertigo")
    'When was Vertigo released?'
    """
    return _PRONOUN.sub(lambda _: topic, request, count=1) if topic else request
