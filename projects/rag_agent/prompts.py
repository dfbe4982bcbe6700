"""Every text that the model is given, as small named templates; a new prompt is one more entry in TEMPLATES.

What stands in a passage is quoted on one line under a number (`quoted`): it is data. No part of the program reads
commands out of it either; only what a person types and what a policy decides is parsed (see `agents.agent`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter

from shared.errors import UserError

Message = dict[str, str]
NOT_FOUND = "That is not in the documents."


@dataclass(frozen=True)
class Template:
    """One prompt.

    Attributes:
        system: What the model is told once.
        user: What it is asked; fields in braces.
        shots: Examples that come before: the fields of a question, and its answer.
    """

    system: str
    user: str
    shots: tuple[tuple[dict[str, str], str], ...] = ()

    def messages(self, **fields: str) -> list[Message]:
        """The prompt as a conversation that ends with the question.

        Raises:
            KeyError: If a field is missing, or one is not in the template.
        """
        wanted = {name for _, name, _, _ in Formatter().parse(self.user) if name}
        if wanted != fields.keys():
            raise KeyError(f"the template takes {sorted(wanted)}, given were {sorted(fields)}")
        turns = [{"role": "system", "content": self.system}]
        for example, answer in self.shots:
            turns.append({"role": "user", "content": self.user.format(**example)})
            turns.append({"role": "assistant", "content": answer})
        return [*turns, {"role": "user", "content": self.user.format(**fields)}]


# Films that do not exist, so that an example gives no answer away; director and cast in either order.
_HARBOUR = (
    "Passages:\n[1] Long Harbour: Long Harbour is a 1961 Danish film directed by Karl Mester, starring Inga Holm."
)
_ORCHARD = "Passages:\n[1] Glass Orchard: Starring Paul Brandt, Glass Orchard is a 1987 film directed by Nina Olt."
_ASKED = (
    (_HARBOUR, "In which year was Long Harbour released?", "1961"),
    (_ORCHARD, "Who directed Glass Orchard?", "Nina Olt"),
    (_HARBOUR, "Name an actor in Long Harbour.", "Inga Holm"),
)

TEMPLATES = {
    "answer": Template(
        "You answer questions from the given passages. Reply with the answer alone, in a few words.",
        "{history}{passages}\n\nQuestion: {question}\nAnswer with the name, year or phrase only.",
    ),
    "answer_turns": Template(
        "Copy the answer to the question from the passages. Reply with the answer alone.",
        "{history}{passages}\n\nQuestion: {question}",
        tuple(({"history": "", "passages": text, "question": question}, reply) for text, question, reply in _ASKED),
    ),
    "closed_book_turns": Template(
        "Answer the question. Reply with the answer alone.",
        "Question: {question}",
        tuple(({"question": question}, reply) for _, question, reply in _ASKED),
    ),
    "choose_tool": Template(
        "You choose the tool that fits a request. Reply with the tool's name.",
        "Tools:\n{tools}\n\nRequest: {question}\nTool:",
    ),
    "call_tool": Template(
        "You call tools. Reply with one line of JSON that holds the tool's name and its arguments.",
        'Tools:\n{tools}\n\nReply like {{"tool": "name", "arguments": {{"name": "value"}}}}\n\n'
        "Request: {question}\nJSON:",
    ),
}


def quoted(number: int, title: str, text: str) -> str:
    """A passage as the model sees it: numbered, on one line, so that it cannot pass for a part of the prompt."""
    return f"[{number}] {' '.join(title.split())}: {' '.join(text.split())}"


def fitted(
    template: Template,
    question: str,
    passages: Sequence[tuple[str, str]],
    history: Sequence[str] = (),
    *,
    budget: int,
    count: Callable[[list[Message]], int],
) -> tuple[list[Message], int]:
    """The prompt with as many passages as fit, and their number.

    The oldest turns of the history go first, then the last passages, each whole; the question stays.

    Args:
        template: With the fields history, passages and question.
        passages: (title, text), the best first.
        history: Lines of the conversation, the oldest first.
        budget: Tokens of the whole prompt.
        count: Tokens of a prompt, by the generator's own tokenizer.

    Raises:
        UserError: If the question alone does not fit.
    """
    turns, kept = list(history), list(passages)
    while True:
        lines = [quoted(number, *passage) for number, passage in enumerate(kept, start=1)]
        messages = template.messages(
            history="".join(f"{turn}\n" for turn in turns) + ("\n" if turns else ""),
            passages="\n".join(["Passages:", *lines]),
            question=question,
        )
        size = count(messages)
        if size <= budget:
            return messages, len(kept)
        if turns:
            turns.pop(0)
        elif kept:
            kept.pop()
        else:
            raise UserError(f"the question alone makes a prompt of {size} tokens; --budget is {budget}")
