"""From what a page, a feed or a person sends to the text that a model reads: the same in training and in the service.

    clean("<p>LONDON (Reuters) - Shares rose &amp; oil fell.</p>")   'Shares rose & oil fell.'

What gives a label away without being about the topic (an agency's tag, a line that names the section) is taken out
here where it is boilerplate; `mask_leaks` goes further, for a second test set that shows how large the leak is.
"""

import html
import re
import unicodedata

LONGEST = 200_000
"""Characters that are read of a text; news have some thousands, and a bomb costs no more than this."""

HIDDEN = {"script", "style", "noscript", "template"}
BLOCKS = {"p", "div", "br", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer", "blockquote"}
BLOCKS |= {f"h{level}" for level in range(1, 7)}

AGENCIES = ("Reuters", "AP", "AFP", "UPI", "TASS", "Xinhua", "Bloomberg", "PA", "DPA")
_AGENCY = "|".join(AGENCIES)
SECTIONS: tuple[str, ...] = ("business", "economy", "politics", "sport", "sports", "football", "entertainment", "arts")
SECTIONS += ("culture", "technology", "tech", "science", "world", "health", "news", "opinion")
_SECTION = "|".join(SECTIONS)
OUTLETS = ("bbc", "cnn", "abc", "rte", "rté", "tass", "al jazeera", "dw", "reuters")

_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"']+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", re.IGNORECASE)
_DATELINE = re.compile(rf"^(?:[A-ZÀ-Þ][\w.,'/ -]{{0,60}} )?\((?:{_AGENCY})\) *[-–—] *", re.MULTILINE)
_TAG = re.compile(rf" ?\((?:{_AGENCY})\)")
_SECTION_LINE = re.compile(
    rf"^(?:(?:{'|'.join(OUTLETS)}) )?(?:{_SECTION})(?: (?:news|section|desk))?$", re.MULTILINE | re.IGNORECASE
)
_BOILERPLATE = re.compile(
    r"^(?:share this\b|share on\b|read more\b|read also\b|follow us\b|sign up\b|advertisement$|image copyright\b|"
    r"image caption\b|media caption\b|media playback is\b|copyright\b|all rights reserved\b|related topics\b).{0,200}$",
    re.MULTILINE | re.IGNORECASE,
)
_UNSEEN = dict.fromkeys((*range(8203, 8208), *range(8234, 8239), *range(8288, 8293), 65279, 173))
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[\n ]*")


# A tag ends before the next "<", whatever is quoted in it, so that no text is read twice; quantifiers are possessive.
_MARKUP = re.compile(
    r"<(?:(?P<comment>!--)|[!?][^<>]*+>|(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)"
    r"""(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+>)"""
)

_LONG_NUMBER = re.compile(r"&#[0-9]{9,}+;?")
"""No character has such a number, and `html.unescape` raises on one of more than 4,300 digits."""


def visible(page: str) -> str:
    """What a reader would see of HTML: tags, comments, scripts and styles gone, blocks on lines of their own.

    One pass, in time linear in the length, whatever is nested or never closed; a script without an end hides nothing.
    It takes the standard library's place, whose parser needs minutes for 200,000 characters of unclosed quotes.
    """
    parts: list[str] = []
    place = 0
    unclosed: set[str] = set()
    for found in _MARKUP.finditer(page):
        if found.start() < place:
            continue  # within what is hidden
        parts.append(page[place : found.start()])
        place = found.end()
        name = (found["name"] or "").lower()
        ends = {"-->"} if found["comment"] else {f"</{name}"} if name in HIDDEN and not found["end"] else set()
        for end in ends - unclosed:
            closing = re.compile(re.escape(end) + ("" if end == "-->" else r"[^<>]*+>"), re.IGNORECASE).search(
                page, place
            )
            if closing:
                place = closing.end()
            else:
                unclosed.add(end)
        if name in BLOCKS:
            parts.append("\n")
    return html.unescape(_LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", "".join([*parts, page[place:]])))


def clean(text: str) -> str:
    """The text without markup, links, control characters, agencies' tags and boilerplate; a paragraph is a line.

    Args:
        text: Plain text or HTML; of more than LONGEST characters the rest is left out.
    """
    text = text[:LONGEST]
    text = visible(text)
    text = unicodedata.normalize("NFC", text).translate(_UNSEEN)
    text = "".join(each if each in "\n\t" or unicodedata.category(each) != "Cc" else _control(each) for each in text)
    text = _tidy(_LINK.sub("", text))
    text = _DATELINE.sub("", text)
    text = _TAG.sub("", text)
    text = _BOILERPLATE.sub("", text)
    return _tidy(_SECTION_LINE.sub("", text))


def mask_leaks(text: str) -> str:
    """A cleaned text without any word that names an agency, an outlet or a section: what is left is the story.

    The words go wherever they stand, also where they belong ("the sport of kings"), so that what a model loses on such
    texts bounds from above what it owed to them.
    """
    return _tidy(_LEAKS.sub(" ", text))


_LEAKS = re.compile(rf"\b(?:{_AGENCY}|{_SECTION}|{'|'.join(OUTLETS)})(?:'s)?\b", re.IGNORECASE)


def _control(character: str) -> str:
    return "\n" if character in "\r\x0b\x0c\x85" else " "


def _tidy(text: str) -> str:
    return _LINES.sub("\n", _SPACES.sub(" ", text)).strip()
