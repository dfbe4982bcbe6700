"""The token channel: k-grams of normalised tokens.

Names become V, strings S, numbers N; comments, blank lines and indentation vanish. The lexer is one regular
expression that accepts anything, so a file that does not parse is compared as well.

Source: Karp and Rabin 1987 (rolling hash); Schleimer, Wilkerson and Aiken 2003, "Winnowing", §2 and §5. Departs from
it in keeping every gram: a stolen tenth of a short file is too small to thin out.
"""

import keyword
import re
from array import array
from typing import NamedTuple

from shared.originality.hashing import MASK, label, mix

K = 14  # tokens of one gram: nothing shorter can match, everything longer does

_STRING = (
    r"[rRbBuUfFtT]{0,3}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^\\'\n])*'|\"(?:\\.|[^\\\"\n])*\")"
)
_LEXER = re.compile(
    rf"(?P<comment>\#[^\n]*)|(?P<string>{_STRING})|(?P<name>[^\W\d]\w*)|(?P<number>\.?\d(?:[\w.]|(?<=[eE])[+-])*)"
    r"|(?P<newline>\n)|(?P<space>[^\S\n]+|\\\n)|(?P<operator>\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^@=<>!:]=|->|.)",
    re.DOTALL,
)
_COMMON = ("len", "range", "print", "open", "isinstance", "super", "sum", "min", "max", "sorted", "zip", "map")
_TYPES = ("list", "dict", "set", "tuple", "int", "float", "str", "bool")
_KEPT_NAMES = frozenset((*keyword.kwlist, *_COMMON, *_TYPES))


class Token(NamedTuple):
    """One token: its kind (comment, string, name, number, newline, operator), its text, and its 1-based line."""

    kind: str
    text: str
    line: int


def lex(text: str) -> list[Token]:
    """Every token but white space; whatever the text, nothing is raised and no character is lost."""
    found, line = [], 1
    for match in _LEXER.finditer(text):
        kind, piece = match.lastgroup or "operator", match.group()
        if kind != "space":
            found.append(Token(kind, piece, line))
        if "\n" in piece:
            line += piece.count("\n")
    return found


def normalise(tokens: list[Token]) -> tuple[list[int], list[int]]:
    """Labels that renaming and reformatting leave alone, and their lines; docstrings count as comments."""
    labels, lines = [], []
    start_of_line = True
    for token in tokens:
        if token.kind in ("comment", "newline"):
            start_of_line = start_of_line or token.kind == "newline"
            continue
        if not (start_of_line and token.kind == "string"):
            labels.append(_token_label(token))
            lines.append(token.line)
        start_of_line = False
    return labels, lines


def _token_label(token: Token) -> int:
    if token.kind == "string":
        return label("S")
    if token.kind == "number":
        return label("N")
    if token.kind == "name" and token.text not in _KEPT_NAMES:
        return label("V")
    return label(token.text)


def grams(labels: list[int], k: int = K) -> list[int]:
    """Rolling hash of every run of k labels (Karp and Rabin 1987)."""
    if len(labels) < k:
        return []
    base, top, value = 0x100000001B3, 1, 0
    for _ in range(k - 1):
        top = top * base & MASK
    for item in labels[:k]:
        value = (value * base + item) & MASK
    hashes = [mix(value, ())]
    for old, new in zip(labels, labels[k:], strict=False):
        value = ((value - old * top) * base + new) & MASK
        hashes.append(mix(value, ()))
    return hashes


def fingerprints(tokens: list[Token], k: int = K) -> "tuple[dict[int, int], array[int]]":
    """Grams of a text: hash -> number of the token where it begins first; and the line of every token."""
    labels, lines = normalise(tokens)
    places: dict[int, int] = {}
    for place, gram in enumerate(grams(labels, k)):
        places.setdefault(gram, place)
    return places, array("l", lines)
