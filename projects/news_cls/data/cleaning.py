"""From what a page, a feed or a person sends to the text that a model reads: the same in training and in the service.

    clean("<p>LONDON (Reuters) - Shares rose &amp; oil fell.</p>")   'Shares rose & oil fell.'

What gives a label away without being about the topic (an agency's tag, a line that names the section) is taken out
here where it is boilerplate; `mask_leaks` goes further, for a second test set that shows how large the leak is.
"""

import re
import unicodedata
from html.parser import HTMLParser

LONGEST = 200_000
"""Characters that are read of a text; news have some thousands, and a bomb costs no more than this."""

HIDDEN = {"script", "style", "noscript", "template"}
BLOCKS = {"p", "div", "br", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer", "blockquote"}
BLOCKS |= {f"h{level}" for level in range(1, 7)}

AGENCIES = ("Reuters", "AP", "AFP", "UPI", "TASS", "Xinhua", "Bloomberg", "PA", "DPA")
_AGENCY = "|".join(AGENCIES)
SECTIONS = ("business", "economy", "politics", "sport", "sports", "football", "entertainment", "arts", "culture")
SECTIONS += ("technology", "tech", "science", "world", "health", "news", "opinion")
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
_UNSEEN = {
    point: None for point in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF, 0x00AD)
}
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[\n ]*")


class _Text(HTMLParser):
    """Collects what a reader would see of a page, in one pass and without recursion."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if not self._within and tag in HIDDEN:
            self._within, self._hidden = tag, []
        elif tag in BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._within = ""
        elif tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        (self._hidden if self._within else self.parts).append(data)

    def text(self) -> str:
        """All of it; what stands behind a script that never ends was meant to be read."""
        if self._within:
            return "".join([*self.parts, *self._hidden, self.rawdata])
        self.close()
        return "".join(self.parts)


def clean(text: str) -> str:
    """The text without markup, links, control characters, agencies' tags and boilerplate; a paragraph is a line.

    Args:
        text: Plain text or HTML; of more than LONGEST characters the rest is left out.
    """
    text = text[:LONGEST]
    if "<" in text or "&" in text:
        parser = _Text()
        parser.feed(text)
        text = parser.text()
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
