"""A person's own pairs: a .jsonl file of prompt, chosen and rejected, as texts or messages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from projects.ppo_dpo_orpo.data import SPLITS, Pair, Split
from shared.assets.records import read_records
from shared.assets.splits import FRACTIONS, assign
from shared.errors import UserError

MOST_BYTES = 50_000_000
FEWEST = 4
"""Pairs of a file: training, validation and test have one each, and training some more."""


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerFast) -> dict[Split, list[Pair]]:
    """Pairs of a .jsonl file: prompt, chosen, rejected as texts or as messages; split and film if it has them.

    Without a `split` column, groups (the `film`, else the prompt) are divided 0.75, 0.10, 0.15.

    Raises:
        UserError: With the line: a missing field, an empty response, two equal ones, a file too large or too small.
    """
    if path.suffix.lower() not in (".jsonl", ".json"):
        raise UserError(f"--dataset {path}: neither films nor a .jsonl file of prompt, chosen, rejected")
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: larger than {MOST_BYTES // 1_000_000} MB")
    rows = [_own(f"{path}, {place}", row, tokenizer) for place, row in read_records(path)]
    if len(rows) < FEWEST:
        raise UserError(f"{path}: holds {len(rows)} pairs, at least {FEWEST} are needed")
    if any(split is None for split, _ in rows):
        given: dict[str, Any] = dict(assign([pair.group for _, pair in rows], [""] * len(rows), FRACTIONS))
        pairs = [replace(pair, split=given[pair.group]) for _, pair in rows]
    else:
        pairs = [pair for _, pair in rows]
    found: dict[Split, list[Pair]] = {split: [pair for pair in pairs if pair.split == split] for split in SPLITS}
    for split in SPLITS:
        if not found[split]:
            raise UserError(f"{path}: no pair is left for {split}; more films or prompts are needed")
    return found


def _own(place: str, row: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[Split | None, Pair]:
    """A checked record, and the split that it names."""
    for name in ("chosen", "rejected"):
        if row.get(name) in (None, "", []):
            raise UserError(f"{place}: lacks {name}, or it is empty")
    if isinstance(row["chosen"], list):
        told: tuple[Any, ...] = _messages(place, row, tokenizer)
    else:
        told = (row.get("prompt"), row["chosen"], row["rejected"])
    prompt, chosen, rejected = told
    for name, text in {"prompt": prompt, "chosen": chosen, "rejected": rejected}.items():
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{place}: {name} is missing, empty or no text")
    if chosen == rejected:
        raise UserError(f"{place}: chosen and rejected are equal; there is nothing to prefer")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise UserError(f"{place}: split is {split!r}, not one of {', '.join(SPLITS)}")
    group = str(row.get("film") or prompt)
    pair = Pair(
        split=split or "train", group=group, template="", opening="", text=prompt, chosen=chosen, rejected=rejected
    )
    return split, pair


def _messages(place: str, row: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[str, str, str]:
    """Prompt and responses of conversations, through the tokenizer's template. The last message is the response."""
    if not isinstance(row["rejected"], list):
        raise UserError(f"{place}: chosen and rejected must both be messages, or both texts")
    asked = row.get("prompt") or []
    if isinstance(asked, list) and asked and row["chosen"][:1] == asked[:1]:
        asked = []  # the conversation is there whole
    sides = []
    for name in ("chosen", "rejected"):
        talk = [*(asked if isinstance(asked, list) else [{"role": "user", "content": asked}]), *row[name]]
        said = [part for m in talk for part in ((m.get("role"), m.get("content")) if isinstance(m, dict) else (None,))]
        if not all(isinstance(part, str) for part in said):
            raise UserError(f"{place}: {name} holds a message without role and content")
        if len(talk) < 2 or talk[-1]["role"] != "assistant":
            raise UserError(f"{place}: {name} does not end with a message of the assistant after another")
        sides.append(talk)
    if sides[0][:-1] != sides[1][:-1]:
        raise UserError(f"{place}: chosen and rejected do not answer the same messages")
    if tokenizer.chat_template is None:
        raise UserError(f"{place}: holds messages, but this model's tokenizer has no chat template; write texts")
    prompt = tokenizer.apply_chat_template(sides[0][:-1], tokenize=False, add_generation_prompt=True)
    return prompt, sides[0][-1]["content"], sides[1][-1]["content"]
