"""Preferences: prompts by film, and pairs of samples ordered by the proxy judge.

No film and no template of the test's is in training; whoever brings such a pair is refused.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from transformers import PreTrainedTokenizerFast

from projects.ppo_dpo_orpo.policies import Answer
from shared.assets import film_reviews
from shared.assets.records import read_records
from shared.errors import UserError
from shared.files import write_text
from shared.fingerprint.citations import LOG_NAME
from shared.fingerprint.origin import data_digest
from shared.progress import track
from shared.run_directories import discard
from shared.runs import Run, open_checkpoint
from shared.seeding import seed_everything

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
WORDS = 6
"""Words of a review's opening that make a prompt; the review has at least twice as many."""
AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a text begins.

    Attributes:
        group: The film, which is in one split only; prompts of a group are not independent.
        template: The sentence that the opening stands in; training and test share none.
        opening: First words of a review, which the judges read before the response; "" in a person's own file.
    """

    split: Split
    group: str
    template: str
    opening: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pair(Prompt):
    """A prompt with two responses.

    Attributes:
        chosen_ended: Whether the response ended by itself: only then it has an end token, and is taught to end.
        margin: By how much the proxy judge prefers the chosen one; 0 where no judge was asked.
        gold_margin: What the gold judge says of the same two: it may be negative, and decides nothing.
    """

    chosen: str
    rejected: str
    chosen_ended: bool = True
    rejected_ended: bool = True
    margin: float = 0.0
    gold_margin: float = 0.0


Pairs = Mapping[Split, Sequence[Pair]]
Respond = Callable[[Sequence[str]], list[tuple[str, bool]]]
"""Prompts → a sampled response to each, and whether it ended by itself."""
Rate = Callable[[Sequence[str]], Sequence[float]]
"""Texts → what a judge says of each."""


# ---------------------------------------------------------------- prompts by film


def film_prompts(words: int = WORDS) -> dict[Split, list[Prompt]]:
    """Openings of critics' sentences in templates, by split: films first once each, then a second time, ….

    The order is such that the first prompts of a split are of different films.
    """
    templates = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
    found: dict[Split, list[Prompt]] = {}
    for split, rows in film_reviews(plots=False).items():
        by_film: dict[str, dict[str, Prompt]] = {}
        for row in rows:
            parts = row["text"].split()
            if len(parts) < 2 * words:
                continue
            opening, known = " ".join(parts[:words]), by_film.setdefault(row["group"], {})
            template = pick(templates["test" if split == "test" else "train"], row["text"])
            text = template.format(film=row["film"].replace("_", " ").title(), opening=opening)
            known[text] = Prompt(split=split, group=row["group"], template=template, opening=opening, text=text)
        found[split] = in_turn([list(known.values()) for known in by_film.values()])
    return found


def pick(choices: Sequence[str], key: str) -> str:
    """One of the choices, the same for the same key on every machine."""
    return choices[int(hashlib.sha256(key.encode()).hexdigest(), 16) % len(choices)]


def in_turn(groups: Sequence[Sequence[Prompt]]) -> list[Prompt]:
    """The first of each group, then the second of each, …."""
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


# ---------------------------------------------------------------- pairs of two samples


def sample_pairs(prompts: Sequence[Prompt], respond: Respond, proxy: Rate, gold: Rate, description: str) -> list[Pair]:
    """Two samples of each prompt, ordered by the proxy judge; equal, empty and tied ones are no comparison."""
    twice: list[list[tuple[str, bool]]] = [[], []]
    starts = range(0, len(prompts), AT_ONCE)
    for start in track(starts, description=description, total=len(starts)):
        for side in twice:
            side += respond([prompt.text for prompt in prompts[start : start + AT_ONCE]])
    kept = [
        (prompt, one, two)
        for prompt, one, two in zip(prompts, *twice, strict=True)
        if one[0].strip() and two[0].strip() and one[0] != two[0]
    ]
    texts = [prompt.opening + side[0] for prompt, *sides in kept for side in sides]
    proxies, golds = (list(map(float, judge(texts))) for judge in (proxy, gold))
    pairs = []
    for place, (prompt, one, two) in enumerate(kept):
        margin, gold_margin = (scores[2 * place] - scores[2 * place + 1] for scores in (proxies, golds))
        if round(margin, 4):
            pairs.append(ordered(prompt, one, two, margin, gold_margin))
    return pairs


def ordered(prompt: Prompt, one: tuple[str, bool], two: tuple[str, bool], margin: float, gold: float) -> Pair:
    """A pair, the one that the proxy judge prefers first; `margin` and `gold` are of the first over the second."""
    (chosen, chosen_ended), (rejected, rejected_ended) = (one, two) if margin > 0 else (two, one)
    return Pair(
        **asdict(prompt),
        chosen=chosen,
        rejected=rejected,
        chosen_ended=chosen_ended,
        rejected_ended=rejected_ended,
        margin=round(abs(margin), 4),
        gold_margin=round(gold if margin > 0 else -gold, 4),
    )


def film_pairs(
    settings: Mapping[str, Any], stages: Path, respond: Respond, proxy: Rate, gold: Rate, judges: Sequence[str]
) -> dict[Split, list[Pair]]:
    """The sampled pairs of every split, made once for these settings and kept, sealed.

    Args:
        judges: Digests of the two judges: pairs that another ordered are not used.
    """
    named = hashlib.sha256(json.dumps([dict(settings), *judges]).encode()).hexdigest()[:10]
    folder = stages / f"pairs-{named}"
    if not (folder / "pairs").exists():
        make_pairs(settings, folder, respond, proxy, gold)
    open_checkpoint(folder / "pairs")  # refused if it changed
    found = [_stored(f"{folder}, {place}", row) for place, row in read_records(folder / "pairs" / "pairs.jsonl")]
    return {split: [pair for pair in found if pair.split == split] for split in SPLITS}


@dataclass(frozen=True)
class Made:
    """What a stage was told, as a run's configuration."""

    model: str
    sampled: int
    test_pairs: int
    tokens: int
    data_seed: int


def make_pairs(settings: Mapping[str, Any], folder: Path, respond: Respond, proxy: Rate, gold: Rate) -> None:
    """Sample, judge, log how far the judges agree, keep."""
    if (folder / LOG_NAME).exists():
        discard(folder, "ppo_dpo_orpo")  # stopped before it had anything
    prompts, wanted = film_prompts(), settings["sampled"]
    counts: dict[Split, int] = {"train": wanted, "validation": max(2, wanted // 4), "test": settings["test_pairs"]}
    for split, count in counts.items():
        if len(prompts[split]) < count:
            raise UserError(f"{count} prompts of {split} films were asked for, there are {len(prompts[split])}")
    seed_everything(settings["data_seed"])
    digest = data_digest([prompt.text for split in SPLITS for prompt in prompts[split][: counts[split]]])
    with Run(folder, project="ppo_dpo_orpo", config=Made(**settings), data=digest) as run:
        made = [
            pair
            for split in SPLITS
            for pair in sample_pairs(prompts[split][: counts[split]], respond, proxy, gold, f"{split} pairs")
        ]
        for split in SPLITS:
            if not any(pair.split == split for pair in made):
                raise UserError(f"no pair is left of {counts[split]} prompts for {split}: ask for more of them")
        longer = [len(pair.chosen.split()) > len(pair.rejected.split()) for pair in made]
        run.log(1, pairs=len(made), agree=share(pair.gold_margin > 0 for pair in made), longer=share(longer))
        with run.sealed("pairs", 1) as inside:
            lines = (json.dumps(asdict(pair), ensure_ascii=False) for pair in made)
            write_text(inside / "pairs.jsonl", "".join(f"{line}\n" for line in lines))


def share(found: Any) -> float:
    """Share of true ones; 0 of none."""
    listed = list(found)
    return sum(listed) / len(listed) if listed else 0.0


def _stored(place: str, row: dict[str, Any]) -> Pair:
    names = {field.name for field in fields(Pair)}
    if names != row.keys():
        raise UserError(f"{place}: is no pair of this project")
    return Pair(**row)


def put_wrong(pairs: Sequence[Pair], rate: float, seed: int) -> list[Pair]:
    """The same pairs with a share of them in the wrong order; a larger rate swaps all that a smaller one does."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)
    swapped = set(order[: round(rate * len(pairs))])
    return [swap(pair) if row in swapped else pair for row, pair in enumerate(pairs)]


def swap(pair: Pair) -> Pair:
    """The two responses exchanged."""
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        chosen_ended=pair.rejected_ended,
        rejected_ended=pair.chosen_ended,
        margin=-pair.margin,
        gold_margin=-pair.gold_margin,
    )


def refuse_leak(pairs: Pairs) -> None:
    """Check that no group and no template of the test's is in training or validation.

    Raises:
        UserError: If one is; names it.
    """
    for name in ("group", "template", "text"):
        test = {getattr(pair, name) for pair in pairs["test"]} - {""}
        for split in ("train", "validation"):
            both = sorted(test & {getattr(pair, name) for pair in pairs[split]})
            if both:
                word = {"group": "film", "template": "template", "text": "prompt"}[name]
                raise UserError(f"a {word} of the test is in {split} too: {both[0]!r}; take it out of one of them")


# ---------------------------------------------------------------- tokens


def encode(pair: Pair, tokenizer: PreTrainedTokenizerFast, *, tokens: int, own: bool = False) -> tuple[Answer, Answer]:
    """Chosen and rejected as token numbers; the end token stands behind a response that ended by itself.

    Raises:
        UserError: If a response is longer than `tokens`, or (`own`: of a person's file) prompt and response do not fit.
    """
    prompt = tokenizer(pair.text, add_special_tokens=False)["input_ids"]
    sides = []
    for text, ended in ((pair.chosen, pair.chosen_ended), (pair.rejected, pair.rejected_ended)):
        found = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * ended
        if own and len(found) > tokens:
            raise UserError(
                f"a response has {len(found)} tokens, --tokens {tokens}: {text[:40]!r}; shorten or raise it"
            )
        whole, most = len(prompt) + len(found), tokenizer.model_max_length
        if own and whole > most:
            raise UserError(f"prompt and response have {whole} tokens, the model {most}: {pair.text[:40]!r}; shorten")
        sides.append(Answer(prompt, found))
    return sides[0], sides[1]
