"""What is done to a document before it is learned from, and for which reasons one is dropped.

Each filter takes a text and returns it, changed or not, or raises Dropped with the reason: `clean` is their sequence.
Thresholds are those of Gopher where it has them; the report says how many documents each of them took.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", appendix A1.1.
"""

import re
import unicodedata
from collections import Counter

FEWEST_WORDS, MOST_WORDS = 50, 100_000
MEAN_LENGTH = (3.0, 10.0)  # letters of a word
MOST_SYMBOLS = 0.1  # "#" and "…" a word
LEAST_ALPHABETIC = 0.8  # share of words with a letter
FEWEST_STOP_WORDS = 2
LEAST_ENGLISH = 0.15  # share of the words that are among the commonest of English
MOST_REPEATED_LINES = 0.3
MOST_REPEATED_CHARACTERS = 0.15  # in runs of five words that occur more than once

# The commonest words of English, without which nobody writes a paragraph.
COMMON = frozenset(
    """
    the of and to a in that is was he for it with as his on be at by had not are but from or have an they which one
    you were her all she there would their we him been has when who will more no if out so said what up its about
    into than them can only other new some could time these two may then do first any my now such like our over man
    me even most made after also did many before must through back years where much your way well down should
    because each just those people how too little state good very make world still own see men work long get here
    between both life being under never day same another know while last might us great old year off come since
    against go came right used take three
    """.split()  # noqa: SIM905 - a list of as many strings is harder to read
)
GOPHER_STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))

# Lines that are of the page and not of the article.
BOILERPLATE = re.compile(
    r"^\W*(?:share (?:this|on)\b.*|(?:read|find out|see) (?:more|also)\b.{0,120}|advertisement"
    r"|related (?:stories|topics|articles).*|(?:image|photo|media) (?:copyright|caption|playback)\b.*"
    r"|(?:follow|like) us on\b.*|sign up (?:to|for)\b.*|(?:all rights reserved|copyright ©?)\b.*|click here\b.*"
    r"|subscribe\b.{0,60}|©.*)$",
    re.IGNORECASE,
)
CONTROL = re.compile(r"[^\S\n]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]")
SPACES, BLANK_LINES = re.compile(r" {2,}"), re.compile(r"\n{3,}")
WORD = re.compile(r"\S+")


class Dropped(Exception):  # noqa: N818 - no error: it is the outcome
    """Why a document is not learned from; `str` of it is the reason in the report."""


def characters(text: str) -> str:
    """Composed Unicode, one kind of line end and of space; no control, zero-width or replacement characters."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).replace("\ufffd", "")
    text = CONTROL.sub(lambda found: " " if found[0].isspace() else "", text)
    lines = (SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def boilerplate(text: str) -> str:
    """Without lines that belong to the page."""
    return "\n".join(line for line in text.split("\n") if not BOILERPLATE.match(line)).strip()


def length(text: str) -> str:
    """Between FEWEST_WORDS and MOST_WORDS words."""
    words = len(text.split())
    if words < FEWEST_WORDS:
        raise Dropped("too short")
    if words > MOST_WORDS:
        raise Dropped("too long")
    return text


def language(text: str) -> str:
    """English, by the share of its commonest words."""
    words = [word.strip(".,;:!?\"'()").casefold() for word in text.split()]
    if sum(word in COMMON for word in words) < LEAST_ENGLISH * len(words):
        raise Dropped("not English")
    return text


def quality(text: str) -> str:
    """Words of a usual length, few symbols, mostly letters, some stop words."""
    words = text.split()
    mean = sum(map(len, words)) / len(words)
    if not MEAN_LENGTH[0] <= mean <= MEAN_LENGTH[1]:
        raise Dropped("unusual word length")
    if text.count("#") + text.count("…") + text.count("...") > MOST_SYMBOLS * len(words):
        raise Dropped("many symbols")
    if sum(any(map(str.isalpha, word)) for word in words) < LEAST_ALPHABETIC * len(words):
        raise Dropped("few letters")
    if len({word.casefold() for word in words} & GOPHER_STOP_WORDS) < FEWEST_STOP_WORDS:
        raise Dropped("no stop words")
    return text


def repetition(text: str) -> str:
    """Neither lines nor runs of five words that come again and again."""
    lines = [line for line in text.split("\n") if line]
    if len(lines) - len(set(lines)) > MOST_REPEATED_LINES * len(lines):
        raise Dropped("repeated lines")
    words = text.split()
    runs = [tuple(words[i : i + 5]) for i in range(len(words) - 4)]
    counts = Counter(runs)
    covered = {i + offset for i, run in enumerate(runs) if counts[run] > 1 for offset in range(5)}
    if sum(len(words[i]) for i in covered) > MOST_REPEATED_CHARACTERS * sum(map(len, words)):
        raise Dropped("repeated runs of words")
    return text


FILTERS = (characters, boilerplate, length, language, quality, repetition)


def clean(text: str) -> str:
    """All filters in order.

    Raises:
        Dropped: With the reason.
    """
    for each in FILTERS:
        text = each(text)
    return text
