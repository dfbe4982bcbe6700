"""Does the engine say what transformers says? Fifty prompts answered greedily, and the perplexity of real text.

    python -m shared.lab.engine.agreement

Writes results/agreement.csv: for float32 and int8 how many answers equal transformers' token for token, how many of
the choices do when both are given transformers' own tokens, and the perplexity beside transformers'.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shared import checks, devices
from shared.assets import film_articles, load_causal_lm, load_dataset
from shared.engine import Engine, Request, load_engine, stream
from shared.engine.graph import Precision
from shared.errors import command
from shared.measured import publish_bench
from shared.progress import track
from shared.study import table

RESULTS = Path("shared/engine/results")
WORDS = 8  # of a review that are given to be continued
Score = Callable[[list[int]], Float[np.ndarray, "t v"]]

AGREEMENT = table(
    "agreement",
    ("weights", "pesos", "{arm}"),
    ("answers equal, token for token", "respuestas iguales, token a token", "{equal} of {prompts}"),
    ("choices equal, same text given", "elecciones iguales, con el mismo texto", "{choices:.2%}"),
    ("perplexity", "perplejidad", "{perplexity:.2f}"),
    title="The engine beside transformers in float32, greedy answers",
)


@dataclass(frozen=True, kw_only=True)
class AgreementConfig:
    """Compare the engine's answers with transformers'."""

    prompts: int = 50
    """How many: one half asks questions by the chat template, the other opens reviews."""
    tokens: int = 32
    """Longest answer."""
    text_tokens: int = 20_000
    """Tokens of film articles that the perplexity is over."""
    window: int = 512
    """Tokens of an article that are read."""
    out: Path = RESULTS
    """Where agreement.csv goes."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "prompts", "tokens", "text_tokens", "window")


def main(config: AgreementConfig) -> list[dict[str, Any]]:
    """Compare the engine's answers with transformers', in float32 and in int8."""
    devices.use_all_cores()
    model, tokenizer = load_causal_lm()
    asked = prompts(tokenizer, config.prompts)
    texts = articles(tokenizer, config.text_tokens, config.window)
    wanted = [
        _of_transformers(model, ids, config.tokens)
        for ids in track(asked, description="transformers", total=len(asked))
    ]
    rows = [_row("transformers, float32", wanted, wanted, 1.0, perplexity(_scorer(model), texts, "transformers"))]
    precisions: tuple[Precision, ...] = ("float32", "int8")
    for precision in precisions:
        engine = load_engine(precision=precision)
        answers = [answer(engine, ids, config.tokens) for ids in track(asked, description=precision, total=len(asked))]
        choices = agreement(engine.score, asked, wanted)
        rows.append(_row(f"engine, {precision}", answers, wanted, choices, perplexity(engine.score, texts, precision)))
    details = {"answer_tokens": config.tokens, "text_tokens": sum(map(len, texts)), "window": config.window}
    return publish_bench(AGREEMENT, rows, config.out, "engine", details)


def _row(
    arm: str, answers: list[list[int]], wanted: list[list[int]], choices: float, perplexity: float
) -> dict[str, Any]:
    equal = sum(ours == theirs for ours, theirs in zip(answers, wanted, strict=True))
    numbers = {"choices": round(choices, 6), "perplexity": round(perplexity, 4)}
    return {"arm": arm, "equal": equal, "prompts": len(wanted), **numbers}


def prompts(tokenizer: Any, count: int) -> list[list[int]]:
    """Test questions of TREC by the chat template, and the first words of held-out reviews, in turn."""
    questions = load_dataset("trec")["test"]["text"]
    reviews = [text for text in load_dataset("movie_reviews")["test"]["text"] if len(text.split()) > WORDS]
    found = []
    for number in range(count):
        if number % 2:
            found.append(tokenizer.encode(" ".join(reviews[number // 2].split()[:WORDS])))
        else:
            message = [{"role": "user", "content": questions[number // 2]}]
            text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            found.append(tokenizer.encode(text, add_special_tokens=False))
    return found


def articles(tokenizer: Any, tokens: int, window: int) -> list[list[int]]:
    """The beginnings of film articles, until there are so many tokens."""
    found: list[list[int]] = []
    for article in film_articles()["test"]:
        if sum(map(len, found)) >= tokens:
            break
        found.append(tokenizer.encode(article["text"])[:window])
    return found


def answer(engine: Engine, ids: list[int], tokens: int) -> list[int]:
    """The greedy answer of the engine."""
    reading = stream(engine, Request(prompt=ids, max_tokens=tokens))
    for _ in reading:
        pass
    return reading.answer.ids


def _of_transformers(model: Any, ids: list[int], tokens: int) -> list[int]:
    import torch

    given = torch.tensor([ids])
    mask = torch.ones_like(given)  # pad and end are one token: the mask is given, not guessed
    with torch.inference_mode():
        text = model.generate(given, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=2)
    return [int(token) for token in text[0, len(ids) :]]


def _scorer(model: Any) -> Score:
    import torch

    def score(ids: list[int]) -> Float[np.ndarray, "t v"]:
        with torch.inference_mode():
            logits: Float[np.ndarray, "t v"] = model(torch.tensor([ids])).logits[0].numpy()
        return logits

    return score


def agreement(score: Score, asked: Sequence[list[int]], wanted: Sequence[list[int]]) -> float:
    """Share of the tokens of the wanted answers that are the most probable ones, given all before them."""
    right = total = 0
    for prompt, text in zip(asked, wanted, strict=True):
        chosen = score([*prompt, *text[:-1]])[len(prompt) - 1 :].argmax(1)
        right += int((chosen == np.array(text)).sum())
        total += len(text)
    return right / total


def perplexity(score: Score, texts: Sequence[list[int]], name: str) -> float:
    """Exponential of the mean negative log-likelihood a token, the first of each text given."""
    loss, count = 0.0, 0
    for ids in track(texts, description=f"perplexity, {name}", total=len(texts)):
        logits = score(ids)[:-1].astype(np.float64)
        top = logits.max(1)
        normaliser = top + np.log(np.exp(logits - top[:, None]).sum(1))
        loss += float((normaliser - logits[np.arange(len(ids) - 1), ids[1:]]).sum())
        count += len(ids) - 1
    return math.exp(loss / count)


if __name__ == "__main__":
    command(main, AgreementConfig)
