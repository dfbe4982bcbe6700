"""Questions that people wrote: a file in the format of SQuAD, or a set of the hub with its columns.

Source of the format: Rajpurkar et al. 2018, "Know what you don't know: unanswerable questions for SQuAD".
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from projects.qa_api.data.documents import Document, Part, part_of
from projects.qa_api.data.examples import Example
from shared.errors import UserError

Asked = tuple[str, str, str, list[tuple[str, int]]]
"""Title, text, question, and answers with their offsets in the text."""


def published(name: str, part: Part) -> tuple[list[Document], list[Example]]:
    """Documents and questions of a part; titles are divided as those of the introductions are.

    Args:
        name: A .json file in SQuAD's format, or the hub id of a set with title, context, question and answers.

    Raises:
        UserError: If it is neither, or an answer does not stand where it is said to.
    """
    rows = _of_file(Path(name).expanduser()) if name.endswith(".json") else _of_hub(name)
    documents: dict[str, Document] = {}
    examples = []
    for title, text, question, answers in rows:
        identity = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if part_of(title) != part:
            continue
        documents.setdefault(identity, Document(identity, title or "untitled", text, "en"))
        start = stop = None
        if answers:
            answer, start = answers[0]
            stop = start + len(answer)
            if text[start:stop] != answer:
                raise UserError(f"--dataset {name}: {question!r}: {answer!r} does not stand at {start}")
        examples.append(Example(question, "en", identity, "published", start, stop))
    return list(documents.values()), examples


def _of_file(path: Path) -> Iterator[Asked]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["data"]
        for article in told:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers = [] if asked.get("is_impossible") else asked["answers"]
                    places = [(str(each["text"]), int(each["answer_start"])) for each in answers]
                    yield str(article.get("title", "")), str(paragraph["context"]), str(asked["question"]), places
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--dataset {path}: no file in SQuAD's format ({error!r})") from None


def _of_hub(name: str) -> Iterable[Asked]:
    from datasets import load_dataset

    try:
        rows = load_dataset(name, split="train")
    except Exception:  # the library raises a dozen types for what is not there or out of reach
        raise UserError(
            f"--dataset {name}: not given by the hub; use introductions, a .json file in SQuAD's format, or a hub id "
            "such as rajpurkar/squad_v2 with HF_HUB_OFFLINE=0"
        ) from None
    if missing := {"title", "context", "question", "answers"} - set(rows.column_names):
        raise UserError(f"--dataset {name}: has no column {', '.join(sorted(missing))}")
    return (_row(row) for row in rows)


def _row(row: dict[str, Any]) -> Asked:
    answers = row["answers"]
    return (
        row["title"],
        row["context"],
        row["question"],
        list(zip(answers["text"], answers["answer_start"], strict=True)),
    )
