"""What is not the reviewer's words is taken out of a text: markup, escapes, odd characters, a shop's own phrases.

Each function is idempotent, and so is their composition `clean`: cleaning twice changes nothing more.
"""

import html
import re
import unicodedata

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>|<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+", re.IGNORECASE)
_SPACE = re.compile(r"\s+")

# Typographic variants of one character: the tokenizer would make other tokens of each.
_PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})

# Phrases that shops print around a review, in whatever tone it is.
_BOILERPLATE = re.compile(
    r"\d+ (?:of|out of) \d+ (?:people|customers) found (?:this|the following)(?: review)? helpful[.:]?"
    r"|was this review helpful(?: to you)?\?(?: yes(?: no)?)?"
    r"|\(?read more\)?(?=\W*$)|report (?:this )?abuse(?=\W*$)|permalink(?=\W*$)"
    r"|^(?:review|summary|pros|cons)\s*:(?=\s)",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """A text without escapes, markup, links, invisible characters and shops' phrases, in single spaces.

    >>> clean("<b>Great</b>&nbsp;sound &amp; a  “solid” case… <br/>http://x.org/1")
    'Great sound & a "solid" case...'
    """
    while (cleaned := _once(text)) != text:
        text = cleaned
    return text


def _once(text: str) -> str:
    return without_boilerplate(normal(without_markup(text)))


def without_markup(text: str) -> str:
    """Entities become characters (also those escaped twice), then tags, links and addresses become spaces.

    A "<" that opens no tag stays: people write "<3" and "< 2 ft".
    """
    while (plain := html.unescape(text)) != text:
        text = plain
    return _LINK.sub(" ", _TAG.sub(" ", text))


def normal(text: str) -> str:
    """Unicode NFKC, plain quotes and dashes, nothing invisible, runs of white space as one space."""
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Co"))
    return _SPACE.sub(" ", "".join(kept)).strip()


def without_boilerplate(text: str) -> str:
    """A review without the phrases that shops print around it."""
    return _SPACE.sub(" ", _BOILERPLATE.sub(" ", text)).strip()
