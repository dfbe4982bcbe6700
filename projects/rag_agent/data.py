"""Documents to passages: film articles or a folder of files, cut between sentences, each under an id that stays."""

import hashlib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.assets.records import read_lines
from shared.errors import UserError

SUFFIXES = (".txt", ".md", ".pdf")
LARGEST = 2**26  # bytes of one file

# A sentence ends at . ! or ? before a capital, also where the space after it was lost ("France.Lengthy"). What stands
# before it may not be an initial or a title, which end in a point too.
LINE_END = re.compile(r"\r\n|\n|\r")
_END = re.compile(r"(?<=[.!?])[\"”’)]?\s+(?=[\"“‘(]?[A-ZÀ-Þ\d])|(?<=[a-z\d)\"”][.!?])(?=[A-ZÀ-Þ][a-z])")
_NO_END = re.compile(r"(?:\b[A-ZÀ-Þ]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Vol|ca|c|e\.g|i\.e))\.$")


@dataclass(frozen=True)
class Document:
    """A film article, or a file.

    Attributes:
        id: Unique: a film's title, or a file's path below its folder.
        title: Stands before each of its passages.
    """

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Passage:
    """A part of a document, found and cited as one.

    Attributes:
        id: Digest of document and text (`passage_id`).
        document: Id of its document, as `title` is that document's title.
        position: Place in its document, from 0.
        text: Whole sentences, unless one alone is too long.
    """

    id: int
    document: str
    title: str
    position: int
    text: str

    @property
    def searched(self) -> str:
        """What is embedded and indexed: a passage far down an article need not name what it is about."""
        return f"{self.title}. {self.text}"


def passage_id(document: str, text: str) -> int:
    """63 bits of the digest of document and text: equal everywhere, and another when either changes.

    Two of a million passages share one with probability 5e-8.
    """
    digest = hashlib.sha256(f"{document}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def load_documents(dataset: str, limit: int | None = None) -> list[Document]:
    """The documents that `--dataset` names; of documents with one text only the first stays.

    Raises:
        UserError: If it names nothing, or a file in the folder cannot be read.
    """
    found = film_documents() if dataset == "film_articles" else folder_documents(Path(dataset).expanduser())
    distinct = {document.text: document for document in reversed(found)}  # the first one wins
    kept = [document for document in found if distinct[document.text] is document]
    return kept[:limit]


def film_documents() -> list[Document]:
    """The embedded film articles whose text is about the film that the title names, by title."""
    from shared.assets import film_articles

    rows = [row for part in film_articles().values() for row in part if not row["mispaired"]]
    return [Document(row["title"], row["title"], row["text"]) for row in sorted(rows, key=lambda row: row["title"])]


def folder_documents(folder: Path) -> list[Document]:
    """Every .txt, .md and .pdf below a folder, in the order of their paths.

    A PDF that cannot be read is left out, in one line on stderr: what PDFs hold is seldom in the hands of who has them.

    Raises:
        UserError: If it is no folder, holds no such file, a text cannot be read or is empty, or no file is left.
    """
    if not folder.is_dir():
        raise UserError(f"--dataset {folder}: neither film_articles nor a folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise UserError(f"--dataset {folder}: the folder holds no {', '.join(SUFFIXES)} file")
    found: list[Document] = []
    for path in files:
        try:
            found.append(Document(str(path.relative_to(folder)), path.stem, read_file(path)))
        except UserError as error:
            if path.suffix.lower() != ".pdf" or (not found and path == files[-1]):
                raise
            sys.stderr.write(f"left out: {error}\n")
    return found


def read_file(path: Path) -> str:
    """The text of one file.

    Raises:
        UserError: If it cannot be read, is too large, or holds no text.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than {LARGEST // 2**20} MB: split it")
        text = (
            _pdf_text(path) if path.suffix.lower() == ".pdf" else "".join(line for _, line in read_lines(path, LARGEST))
        )
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    if not text.strip():
        raise UserError(f"{path} holds no text (a scanned page has none): take it out of the folder")
    return text


def _pdf_text(path: Path) -> str:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports each oddity of a file it can read on stderr
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UserError(f"{path} is encrypted: save it without a password, or take it out of the folder")
        return "\n".join(page.extract_text() for page in reader.pages)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes the parser stumble in any way, beside the errors that it declares
        raise UserError(f"{path} cannot be read as PDF ({type(error).__name__}): repair it or take it out") from None


def sentences(text: str) -> list[str]:
    """The text cut after each sentence and at line ends (LF, CR LF, CR), spaces collapsed.

    >>> sentences("It stars J. Doe. Made in France.Shot in 1950!")
    ['It stars J. Doe.', 'Made in France.', 'Shot in 1950!']
    """
    found: list[str] = []
    for paragraph in LINE_END.split(text):
        joined = False
        for piece in (" ".join(each.split()) for each in _END.split(paragraph)):
            if joined and piece:
                found[-1] += f" {piece}"
            elif piece:
                found.append(piece)
            joined = bool(found) and bool(_NO_END.search(found[-1]))
    return found


def passages_of(
    document: Document, *, limit: int, overlap: int, count: Callable[[Sequence[str]], list[int]]
) -> list[Passage]:
    """A document's passages: as many whole sentences as fit, the next one repeats the last `overlap` of them.

    Args:
        document: With a title that leaves room.
        limit: Tokens of a passage with its title and two special tokens.
        overlap: Sentences; fewer where they would fill the passage.
        count: Tokens of each of several texts, special ones not included.
    """
    room = limit - 2 - count([f"{document.title}."])[0]
    if room < limit // 2:
        raise UserError(f"{document.id}: its title alone fills a passage of {limit} tokens; raise --passage_tokens")
    pieces = [part for sentence in sentences(document.text) for part in _cut(sentence, room, count)]
    sizes = count(pieces) if pieces else []
    texts: list[str] = []
    start = 0
    while start < len(pieces):
        end, used = start, 0
        while end < len(pieces) and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        texts.append(" ".join(pieces[start:end]))
        if end == len(pieces):
            break
        start = _next_start(start, end, sizes, room, overlap)
    distinct = dict.fromkeys(texts)  # a repeated text counts once
    return [Passage(passage_id(document.id, t), document.id, document.title, n, t) for n, t in enumerate(distinct)]


def _next_start(start: int, end: int, sizes: Sequence[int], room: int, overlap: int) -> int:
    """Where the next passage begins: `overlap` back, but so that it also holds something new."""
    begin = max(end - overlap, start + 1)
    while begin < end and sum(sizes[begin : end + 1]) > room:
        begin += 1
    return begin


def _cut(sentence: str, room: int, count: Callable[[Sequence[str]], list[int]]) -> list[str]:
    """The sentence, or the parts of one that is too long, cut between words; a word that is too long, inside it."""
    if count([sentence])[0] <= room:
        return [sentence]
    words = sentence.split()
    if len(words) == 1:
        middle = len(sentence) // 2
        halves = [sentence[:middle], sentence[middle:]]
    else:
        middle = len(words) // 2
        halves = [" ".join(words[:middle]), " ".join(words[middle:])]
    return [part for half in halves for part in _cut(half, room, count)]
