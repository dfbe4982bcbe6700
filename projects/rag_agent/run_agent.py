"""`python -m projects.rag_agent.run_agent`: talk with the agent, ask it one question, or feed it lines through a pipe.

Exit codes: 0 answered, 1 the documents do not hold it (or a tool could not do it), 2 wrong input, 130 interrupted.
In a conversation Ctrl-C ends the answer that is being written, not the conversation; Ctrl-D or /quit ends it.
"""

import atexit
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.rag_agent.agents.agent import Agent, Response
from projects.rag_agent.agents.build import open_agent
from projects.rag_agent.agents.memory import Conversation, decoded, require_text
from projects.rag_agent.config import Config
from shared.errors import UserError, command

ANSWERED, NOT_ANSWERED = 0, 1
HISTORY = Path("runs/rag_agent/history")
HELP = """\
/sources        the passages behind the last answer
/reset          forget the conversation
/save [FILE]    write the conversation to a file
/help           this list
/quit           leave (also Ctrl-D); Ctrl-C stops an answer
Anything else is a question, or work for a tool: "12 * 7", "which weekday is 2027-01-01", "search the web for …"."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """Answer questions from documents, with tools and memory."""

    question: str | None = None
    """Ask this alone and leave."""
    json: bool = False
    """Print one JSON object for each message instead of text."""
    conversation: Path | None = None
    """JSON file of the conversation; by default conversation.json beside the index, and none with --question."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, and what is no text."""
        super().__post_init__()
        require_text(self.question or "", "--question")


def main(config: RunConfig) -> int:
    """Talk with the agent: questions about the documents, arithmetic, dates, a simulated web search."""
    path = config.conversation or (None if config.question else config.folder / "conversation.json")
    conversation = Conversation.open(path) if path else Conversation()
    if conversation.notice:
        sys.stderr.write(f"{conversation.notice}\n")
    agent = open_agent(config, conversation)
    if config.question is not None:
        return one_shot(agent, config.question, as_json=config.json)
    if sys.stdin.isatty() and not config.json:
        Console(agent).run()
        return ANSWERED
    return piped(agent, sys.stdin.buffer, as_json=config.json)


def one_shot(agent: Agent, question: str, *, as_json: bool) -> int:
    """Answer one question on stdout; the exit code says whether it was answered."""
    response = agent.respond(question)
    sys.stdout.write(
        f"{json.dumps(described(response, question), ensure_ascii=False) if as_json else shown(response)}\n"
    )
    return NOT_ANSWERED if response.refused else ANSWERED


def piped(agent: Agent, lines: Iterable[bytes], *, as_json: bool) -> int:
    """Answer each line that is not empty, in order, without a prompt; the exit code is that of the worst.

    Raises:
        UserError: If a line is no UTF-8; those before it were answered.
    """
    worst = ANSWERED
    for number, raw in enumerate(lines, start=1):
        line = decoded(raw, f"standard input, line {number}")
        if line.strip():
            worst = max(worst, one_shot(agent, line.strip(), as_json=as_json))
            sys.stdout.flush()
    return worst


def described(response: Response, question: str) -> dict[str, Any]:
    """A response as JSON values."""
    return {
        "question": question,
        "answer": response.text,
        "refused": response.refused,
        "steps": [
            {"tool": step.action.tool, "arguments": step.action.arguments, "text": step.text, "failed": step.failed}
            for step in response.steps
        ],
        "sources": [
            {
                "number": number,
                "cited": number in answer.cited,
                "document": found.passage.document,
                "passage": found.passage.position,
                "score": round(found.score, 4),
                "cosine": round(found.cosine, 4),
                "text": found.passage.text,
            }
            for answer in response.answers
            if not answer.refused
            for number, found in enumerate(answer.sources, start=1)
        ],
        "confidence": [round(answer.confidence, 4) for answer in response.answers],
    }


def shown(response: Response) -> str:
    """A response as text: each step with its sources."""
    lines = []
    for step in response.steps:
        lines.append(step.text)
        lines += [f"  {line}" for line in origin(step)]
    lines += response.text.split("\n")[len("\n".join(step.text for step in response.steps).split("\n")) :]
    return "\n".join(lines)


def origin(step: Any) -> list[str]:
    """Where a step's text comes from, in one line or none."""
    if step.answer is None:
        return [f"[{step.action.tool}{' failed' if step.failed else ''}]"]
    if step.answer.refused:
        return []
    if not step.answer.cited:
        return ["[not in the passages: treat with care]"]
    passages = [step.answer.sources[number - 1].passage for number in step.answer.cited]
    return [
        "; ".join(
            f"[{n}] {p.title}, passage {p.position + 1}" for n, p in zip(step.answer.cited, passages, strict=True)
        )
    ]


class Console:
    """The conversation on a terminal.

    Args:
        agent: Answers.
        say: Writes text without a line end; by default to stdout, at once.
    """

    def __init__(self, agent: Agent, say: Callable[[str], None] | None = None) -> None:
        self.agent = agent
        self._say = say or _to_stdout
        self._last: Response | None = None

    def run(self) -> None:
        """Ask and answer until the person leaves."""
        _keep_history()
        remembered = len(self.agent.conversation.turns)
        passages = len(self.agent.module.retriever)
        self._say(
            f"{passages} passages; /help lists the commands."
            + (f" {remembered} turns remembered." if remembered else "")
        )
        self._say("\n")
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                self._say("\n")
                return
            except KeyboardInterrupt:
                self._say("\n(/quit or Ctrl-D leaves)\n")
                continue
            except UnicodeDecodeError:
                self._say("(that line is no UTF-8 text)\n")
                continue
            if line in ("/quit", "/exit"):
                return
            if line:
                self.handle(line)

    def handle(self, line: str) -> None:
        """One line: a command or a message. What is wrong with it is said, and the conversation goes on."""
        try:
            if line.startswith("/"):
                self._command(*line.partition(" ")[::2])
            else:
                self._answer(line)
        except KeyboardInterrupt:
            self._say("\n(stopped; this turn is not remembered)\n")
        except UserError as error:
            self._say(f"{error}\n")

    def _answer(self, message: str) -> None:
        streamed: list[str] = []

        def stream(piece: str) -> None:
            streamed.append(piece)
            self._say(piece)

        response = self.agent.respond(message, stream=stream)
        self._last = response
        if len(response.steps) == 1 and streamed:  # its text stands there already
            self._say("".join(f"\n  {line}" for line in origin(response.steps[0])) + "\n")
        else:
            self._say(("\n" if streamed else "") + shown(response) + "\n")

    def _command(self, name: str, argument: str) -> None:
        if name == "/help":
            self._say(f"{HELP}\n")
        elif name == "/sources":
            self._say(f"{sources(self._last)}\n")
        elif name == "/reset":
            self.agent.conversation.forget()
            self._last = None
            self._say("(forgotten)\n")
        elif name == "/save":
            self._save(argument.strip())
        else:
            raise UserError(f"no command {name}; /help lists them")

    def _save(self, name: str) -> None:
        path = Path(name).expanduser() if name else self.agent.conversation.path
        if path is None:
            raise UserError("say which file: /save FILE")
        self.agent.conversation.export(path)
        self._say(f"(saved {len(self.agent.conversation.turns)} turns to {path})\n")


def sources(response: Response | None) -> str:
    """The passages behind a response, in full."""
    answers = [answer for answer in response.answers if not answer.refused] if response else []
    if not answers:
        return "(the last answer used no passages)" if response else "(nothing was asked yet)"
    return "\n".join(
        f"[{number}]{'*' if number in answer.cited else ' '} {each.passage.title}, passage {each.passage.position + 1} "
        f"(score {each.score:.2f})\n     {each.passage.text}"
        for answer in answers
        for number, each in enumerate(answer.sources, start=1)
    )


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _keep_history() -> None:
    """Arrow keys bring back what was typed, in this run and in earlier ones."""
    try:
        import readline
    except ImportError:  # not on every system; then a line is typed anew
        return
    try:
        HISTORY.parent.mkdir(parents=True, exist_ok=True)
        if HISTORY.exists():
            readline.read_history_file(HISTORY)
        readline.set_history_length(1000)
        atexit.register(readline.write_history_file, HISTORY)
    except OSError as error:
        raise UserError(f"the history {HISTORY} cannot be read: {error.strerror or error}") from None


if __name__ == "__main__":
    sys.exit(command(main, RunConfig))
