"""A reader without a model, for comparison: the sentence with the most words of the question, and in it the first name,
year or number that the question does not have.
"""

import re
from collections.abc import Sequence

from projects.qa_api.data.documents import normalised, sentences
from projects.qa_api.data.examples import ANSWERS
from projects.qa_api.reader.decode import Span

ASKED = (
    ("year", re.compile(r"\b(?:when|year|cuando|ano)\b")),
    ("number", re.compile(r"\b(?:how (?:many|much)|number|cuant[oa]s?|numero)\b")),
)
SHORTEST = 4  # letters of a word that counts


def read_by_rules(pairs: Sequence[tuple[str, str]]) -> list[Span]:
    """A span of each pair of question and text; its score: the share of the question's words in its sentence."""
    return [_span(question, text) for question, text in pairs]


def _span(question: str, text: str) -> Span:
    plain = normalised(question)
    words = {word for word in plain.split() if len(word) >= SHORTEST}
    kind = next((kind for kind, asks in ASKED if asks.search(plain)), "name")
    best = Span(0, 0, 0.0, 0.5)
    for start, stop in sentences(text):
        sentence = text[start:stop]
        share = len(words & set(normalised(sentence).split())) / max(len(words), 1)
        hits = [hit for hit in re.finditer(ANSWERS[kind], sentence) if not set(normalised(hit[0]).split()) & words]
        if hits and share > best.score:
            best = Span(start + hits[0].start(), start + hits[0].end(), share, 0.5)
    return best
