"""From a question and a long text to windows that fit the model, and from logits back to characters of the text.

The same code serves the pipeline, the evaluation, the benchmark and the server, with torch and with ONNX behind it.
"""

# w windows · t tokens of a window

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from tokenizers import Encoding, Tokenizer

from shared.errors import UserError

LONGEST_ANSWER = 48  # tokens: a cast of ten
MASKED_LOGIT = -1e9  # logit of a token that cannot begin or end an answer


@dataclass(frozen=True)
class Window:
    """A question and a piece of the context, as the model reads them.

    Attributes:
        input_ids: [CLS] question [SEP] piece [SEP], without padding.
        token_type_ids: 1 for the piece.
        offsets: Characters of the context that each token covers; (0, 0) for others.
        allowed: Which tokens may begin or end an answer: those of the piece.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    offsets: list[tuple[int, int]]
    allowed: Bool[np.ndarray, " t"]

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Answer:
    """A span of the context: context[start:end] == answer.

    Attributes:
        answer: Characters of the context; "" where it holds none.
        start: First character; 0 without an answer.
        end: One past the last character.
        score: Probability in [0, 1] of this span in its window; of the empty answer, `no_answer`.
        no_answer: Probability in [0, 1] that the context holds none, by the margin and the chosen threshold.
    """

    answer: str
    start: int
    end: int
    score: float
    no_answer: float


@dataclass(frozen=True)
class Candidate:
    """A span before the decision whether it is an answer at all.

    Attributes:
        margin: Its start and end logit minus those of [CLS] in the same window, which is what training made of "not
            here". Logits of two windows have no common zero; margins have.
        probability: Its start's probability times its end's, in its window.
        start: First character in the context.
        end: One past the last.

    Source: Devlin et al. 2019, §4.3, whose null score is one window's; a margin for each window is a departure.
    """

    margin: float
    probability: float
    start: int
    end: int


class WindowSplitter:
    """Splits contexts into windows that together cover them; neighbours overlap, so that no answer falls between.

    It is made of the tokenizer's own file and shares nothing with other users of it, so that threads may split at once.

    Args:
        tokenizer: Its definition as JSON (`tokenizer.json`).
        max_length: Tokens of a window, question and special ones included.
        stride: Tokens of the context that two neighbouring windows share.
    """

    def __init__(self, tokenizer: str, *, max_length: int, stride: int) -> None:
        self._counter, self._tokenizer = Tokenizer.from_str(tokenizer), Tokenizer.from_str(tokenizer)
        self._counter.no_truncation()
        for each in (self._counter, self._tokenizer):
            each.no_padding()
            each.encode_special_tokens = True  # "[SEP]" in a text is text
        self._tokenizer.enable_truncation(max_length, stride=stride, strategy="only_second")
        self.pad_id: int = self._tokenizer.token_to_id("[PAD]") or 0
        self.max_question_length = max_length - 3 - 2 * stride

    def __call__(self, question: str, context: str) -> list[Window]:
        """The windows, in the order of the context.

        Raises:
            UserError: If question or context is blank, or the question leaves no room for the context.
        """
        if not question.strip() or not context.strip():
            raise UserError("question and context must hold more than spaces")
        length = len(self._counter.encode(question, add_special_tokens=False).ids)
        if length > self.max_question_length:
            raise UserError(
                f"the question has {length} tokens; at most {self.max_question_length} leave room for the text"
            )
        first = self._tokenizer.encode(question, context)
        return [_window(each) for each in (first, *first.overflowing)]


def _window(encoding: Encoding) -> Window:
    piece = np.array([part == 1 for part in encoding.sequence_ids])
    offsets = [pair if inside else (0, 0) for pair, inside in zip(encoding.offsets, piece, strict=True)]
    return Window(encoding.ids, encoding.type_ids, offsets, piece)


def token_span(window: Window, start: int, end: int) -> tuple[int, int] | None:
    """First and last token of the characters start to end, or None if the window does not hold them whole."""
    inside = [i for i in np.flatnonzero(window.allowed) if window.offsets[i][1] > start and window.offsets[i][0] < end]
    if not inside or window.offsets[inside[0]][0] > start or window.offsets[inside[-1]][1] < end:
        return None
    return int(inside[0]), int(inside[-1])


def best_spans(
    start: Float[np.ndarray, " t"], end: Float[np.ndarray, " t"], allowed: Bool[np.ndarray, " t"], count: int
) -> list[tuple[float, int, int]]:
    """The spans of the highest start + end logit, best first: (score, first token, last token), end ≥ start.

    Args:
        start: Logits of the first token.
        end: Logits of the last token.
        allowed: Which tokens may be either.
        count: How many spans; fewer if there are not so many.
    """
    tokens = len(start)
    scores = np.where(allowed, start, MASKED_LOGIT)[:, None] + np.where(allowed, end, MASKED_LOGIT)[None, :]  # (t,t)
    distance = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    scores = np.where((distance >= 0) & (distance < LONGEST_ANSWER), scores, 2 * MASKED_LOGIT)
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    found = [(float(scores.flat[flat]), int(flat) // tokens, int(flat) % tokens) for flat in order]
    return [span for span in found if span[0] > MASKED_LOGIT / 2]


def rank_spans(
    windows: Sequence[Window],
    logits: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
    *,
    top_k: int = 1,
) -> list[Candidate]:
    """The best spans over all windows of a question by margin, best first, each with characters of its own.

    Args:
        windows: All that the context was split into.
        logits: (start, end) of each window, without padding.
        top_k: How many spans at most.
    """
    found: dict[tuple[int, int], Candidate] = {}
    for window, (start, end) in zip(windows, logits, strict=True):
        null = float(start[0] + end[0])
        log_partition = _logsumexp(start, window.allowed) + _logsumexp(end, window.allowed)
        for total, first, last in best_spans(start, end, window.allowed, top_k):
            place = window.offsets[first][0], window.offsets[last][1]
            span = Candidate(total - null, float(np.exp(total - log_partition)), *place)
            if place not in found or span.margin > found[place].margin:
                found[place] = span
    return sorted(found.values(), key=lambda span: (-span.margin, span.start, span.end))[:top_k]


def decode_answers(spans: Sequence[Candidate], context: str, *, threshold: float = 0.0) -> list[Answer]:
    """The answers of ranked spans; the empty answer leads where the best margin is below `threshold`.

    Args:
        spans: Best first.
        threshold: Margin that an answer must reach; chosen on validation.
    """
    no_answer = _sigmoid(threshold - spans[0].margin) if spans else 1.0
    answers = [Answer(context[s.start : s.end], s.start, s.end, s.probability, no_answer) for s in spans]
    if not spans or spans[0].margin < threshold:
        return [Answer("", 0, 0, no_answer, no_answer), *answers]
    return answers


def pad_windows(windows: Sequence[Window], pad_id: int) -> dict[str, Int[np.ndarray, "w t"]]:
    """Model inputs of several windows, filled on the right to the longest of them."""
    longest = max(map(len, windows))

    def filled(rows: list[list[int]], value: int) -> np.ndarray:
        return np.array([row + [value] * (longest - len(row)) for row in rows], dtype=np.int64)

    return {
        "input_ids": filled([w.input_ids for w in windows], pad_id),
        "attention_mask": filled([[1] * len(w) for w in windows], 0),
        "token_type_ids": filled([w.token_type_ids for w in windows], 0),
    }


def _logsumexp(logits: Float[np.ndarray, " t"], allowed: Bool[np.ndarray, " t"]) -> float:
    """Logarithm of Σ exp over [CLS] and the allowed tokens."""
    kept = np.append(logits[allowed], logits[0])
    return float(np.log(np.exp(kept - kept.max()).sum()) + kept.max())


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -60, 60))))
