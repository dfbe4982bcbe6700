"""What the default run shows: an index built, questions answered with sources, tools, memory, everything reloaded."""

import time
from collections.abc import Sequence

from projects.rag_agent.agents.agent import Agent
from projects.rag_agent.agents.build import open_agent
from projects.rag_agent.agents.memory import Conversation
from projects.rag_agent.config import Config
from projects.rag_agent.evaluate import holds
from projects.rag_agent.models.rag_module import RagRetriever
from projects.rag_agent.questions import Question
from projects.rag_agent.run_agent import shown
from shared.errors import UserError
from shared.progress import table

CONVERSATION = "demo-conversation.json"  # not run_agent's, which a person may want to keep


def opened(config: Config) -> Agent:
    """An agent with a new conversation, and a line on its index."""
    started = time.perf_counter()
    conversation = Conversation.open(config.folder / CONVERSATION)
    conversation.forget()
    agent = open_agent(config, conversation)
    size, films = len(agent.module.retriever), len(agent.module.retriever.documents)
    print(
        f"{size} passages of {films} documents in {config.folder}, ready after {time.perf_counter() - started:.0f} s\n"
    )
    return agent


def examine(agent: Agent, questions: Sequence[Question]) -> int:
    """Ask each question and print whether its right answer was named. Returns how many were."""
    right = 0
    for question in questions:
        converse(agent, [question.text])
        named = holds(agent.conversation.turns[-1].text, question.answers)
        print(f"  {'RIGHT, it names' if named else 'WRONG, it does not name'} {' or '.join(question.answers)}\n")
        right += named
    print(f"{right} of {len(questions)} answers to questions drawn by lot name what the article says\n")
    return right


def converse(agent: Agent, messages: Sequence[str]) -> None:
    """Print each message with the agent's reply, its sources and its time."""
    for message in messages:
        started = time.perf_counter()
        response = agent.respond(message)
        print(f"> {message}\n{shown(response)}\n  ({time.perf_counter() - started:.1f} s)\n")


def check_reloaded(agent: Agent, config: Config, question: str) -> None:
    """Load index and conversation from disk and compare them with what is in memory.

    Raises:
        UserError: If anything differs.
    """
    before = agent.module.retriever
    loaded = RagRetriever.load(config.folder, before.embedder, hnsw=config.hnsw, **config.ranking)
    conversation = Conversation.open(config.folder / CONVERSATION)
    pairs = list(zip(before.search(question, 5), loaded.search(question, 5), strict=True))
    rows = [(a.passage.title, a.passage.position + 1, f"{a.score:.5f}", f"{b.score:.5f}") for a, b in pairs]
    table("Reloaded from disk: the same search", ["film", "passage", "score before", "score after"], rows)
    same = all(a.passage == b.passage and round(a.score - b.score, 5) == 0 for a, b in pairs)
    if not same or conversation.turns != agent.conversation.turns:
        raise UserError(f"{config.folder}: what was loaded is not what was saved")
    print(f"Conversation: {len(conversation.turns)} turns reloaded, the same\n")
