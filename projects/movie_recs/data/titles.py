"""When two titles name one film: articles at the end, accents, other titles in brackets, years within one."""

import re
import unicodedata

from shared.words import words

ARTICLES = (
    "the",
    "a",
    "an",
    "le",
    "la",
    "les",
    "l",
    "el",
    "los",
    "las",
    "il",
    "lo",
    "gli",
    "die",
    "der",
    "das",
    "un",
    "une",
)
_SUFFIX = re.compile(rf"^(.*?),\s*({'|'.join(ARTICLES)})'?$", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*\(([^()]*)\)")
YEARS_APART = 1  # a festival and a release in two years are one film


def title_key(title: str) -> str:
    """What is compared of a title.

    >>> title_key("Shawshank Redemption, The"), title_key("The Shawshank Redemption")
    ('shawshank redemption', 'shawshank redemption')
    >>> title_key("Amélie"), title_key("Se7en & Co.")
    ('amelie', 'se7en and co')
    """
    turned = _SUFFIX.sub(r"\2 \1", title.strip())
    plain = unicodedata.normalize("NFKD", turned.replace("&", " and ").replace("’", "'").replace("'", ""))
    said = words("".join(char for char in plain if not unicodedata.combining(char)))
    return " ".join(said[1:] if len(said) > 1 and said[0] in ("the", "a", "an") else said)


def title_keys(title: str) -> list[str]:
    """Every key under which a film may be found: its own, and of the other titles that brackets give.

    >>> title_keys("City of Lost Children, The (Cité des enfants perdus, La)")
    ['city of lost children', 'la cite des enfants perdus']
    """
    names = [_BRACKETS.sub("", title), *(inner.removeprefix("a.k.a. ") for inner in _BRACKETS.findall(title))]
    keys = [title_key(name) for name in names if name.strip()]
    return list(dict.fromkeys(key for key in keys if key and not key.isdecimal())) or [title_key(title)]


def shown_title(title: str) -> str:
    """A title with its article in front, as people write it.

    >>> shown_title("Matrix, The"), shown_title("Misérables, Les")
    ('The Matrix', 'Les Misérables')
    """
    first, bracket, rest = title.partition(" (")
    found = _SUFFIX.match(first)
    if not found:
        return title
    gap = "" if found[2].lower() == "l" else " "
    return f"{found[2]}{chr(39) if not gap else ''}{gap}{found[1]}{bracket}{rest}"


def first_title(title: str) -> str:
    """A title without the other ones that brackets give.

    >>> first_title("Seven Samurai (Shichinin no samurai)"), first_title("(500) Days of Summer")
    ('Seven Samurai', '(500) Days of Summer')
    """
    return re.sub(r"(?<=\S)\s+\(.*\)$", "", title)
