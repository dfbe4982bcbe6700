"""From bytes to text to a tree, and what is said where that was not possible. Nothing is run."""

import ast
import codecs
import io
import tokenize
import warnings
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Note:
    """What a reader of the report must know about a file; `wording` has the sentences.

    Attributes:
        kind: `unparsed`, `too deep`, `cut`, `shortened`, `left out`, `links`, `encoding`, `notebook`, `cell`,
            `runs text` or `hidden code`.
        line: 1-based, 0 if it is about the whole file.
        detail: What the sentence quotes.
    """

    kind: str
    line: int = 0
    detail: str = ""


def parse(text: str) -> tuple[ast.Module | None, str]:
    """Parse without a word from the parser: the tree and an empty string, or None and the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text), ""
        except SyntaxError as error:
            return None, f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return None, str(error) or type(error).__name__


MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Latin text is zero."""
    for zeros, encoding in ((data[1:2000:2], "utf-16-le"), (data[0:2000:2], "utf-16-be")):
        if len(zeros) > 10 and zeros.count(0) > 0.8 * len(zeros):
            return encoding
    return None


def decode(data: bytes, notes: list[Note]) -> str:
    """Decode by a byte order mark, the file's coding line, else UTF-8, else Latin-1 with a note: no byte stops it."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if (wide := _wide(data)) is not None:
        notes.append(Note("encoding"))
        return data.decode(wide, errors="replace")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError):
        notes.append(Note("encoding"))
        return data.decode("latin-1")
