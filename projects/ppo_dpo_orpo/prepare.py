"""All that training starts from and no training changes: pairs, tokens, states of the frozen layers, the reference.

A study prepares once and trains many times: what is here depends neither on the method nor on the kind of adapter.
"""

# k pairs · n answers · s tokens · d hidden size

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from projects.ppo_dpo_orpo import data, pair_files
from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.data import Pair, Pairs, Split
from projects.ppo_dpo_orpo.losses import masked_sum
from projects.ppo_dpo_orpo.policies import Answer, Batch, Policy, collate, end_tokens
from shared.assets import load_causal_lm
from shared.errors import UserError
from shared.files import atomic_path
from shared.fingerprint.origin import data_digest
from shared.judge import load_judge
from shared.progress import track
from shared.tensors import load_tensors

HALF = 3962
"""Reviews that each judge learns from: the proxy the first half of the training reviews, the gold judge the second."""
AT_ONCE = 16
FORMAT = 1
"""Raise it when the states of a text become others than before."""


@runtime_checkable
class Rates(Protocol):
    """What is asked of a judge."""

    @property
    def digest(self) -> str:
        """Tells it from another."""

    def rate(self, texts: Sequence[str]) -> Float[Tensor, " b"]:
        """One score a text."""


@dataclass(frozen=True)
class Judges:
    """Who labels the pairs and rewards PPO, and who is asked at the end only. Both stand on MiniLM."""

    proxy: Rates
    gold: Rates


def film_judges() -> Judges:
    """Two judges that share no review, trained the first time (some minutes each)."""
    return Judges(load_judge(reviews=HALF), load_judge(reviews=HALF, after=HALF))


@dataclass(frozen=True)
class Encoded:
    """Pairs as tokens, with the lower layers' states and the reference's log-probabilities.

    Attributes:
        answers: Chosen and rejected of each pair.
        reference: log π_ref of chosen and rejected, summed over the response's tokens.
    """

    pairs: Sequence[Pair]
    answers: list[tuple[Answer, Answer]]
    reference: Float[Tensor, "k 2"]

    def batch(self, rows: Sequence[int], pad: int) -> Batch:
        """Pairs as one batch: all chosen responses, then all rejected ones."""
        return collate([self.answers[row][side] for side in (0, 1) for row in rows], pad)

    def swapped(self, pairs: Sequence[Pair]) -> "Encoded":
        """The same for pairs of which some are exchanged, or fewer."""
        turned = [pair.chosen != own.chosen for pair, own in zip(pairs, self.pairs, strict=False)]
        answers = [pair[::-1] if turn else pair for pair, turn in zip(self.answers, turned, strict=False)]
        reference = torch.stack([r.flip(0) if turn else r for r, turn in zip(self.reference, turned, strict=False)])
        return Encoded(pairs, answers, reference)


@dataclass(frozen=True)
class Prepared:
    """What every cell of a study shares.

    Attributes:
        digest: SHA-256 of the pairs and of both judges.
        prompts: Test prompts that are answered, one a group.
    """

    tokenizer: PreTrainedTokenizerFast
    ends: tuple[int, ...]
    judges: Judges
    encoded: dict[Split, Encoded]
    prompts: list[Pair]
    digest: str

    def training(self, config: Config) -> Encoded:
        """The training pairs of a cell: so many, with so many in the wrong order."""
        whole = self.encoded["train"]
        some = data.put_wrong(whole.pairs[: config.pairs], config.wrong, config.data_seed)
        return whole.swapped(some)


def prepare(config: Config, judges: Judges | None = None) -> Prepared:
    """Load or make the pairs, and compute once what no training changes.

    Raises:
        UserError: If the model or the pairs cannot be used: before anything is trained.
    """
    policy, tokenizer = new_policy(config)
    own = config.dataset != "films"
    found: Pairs = pair_files.read_pairs(Path(config.dataset), tokenizer) if own else {}
    if own:  # refused before the judges train
        data.refuse_leak(found)
        check_lengths(found, tokenizer, config.tokens)
    judges = judges or film_judges()
    if not own:
        found = sampled_pairs(config, policy, tokenizer, judges)
        data.refuse_leak(found)
    stages = None if own else stages_of(config)
    encoded = {split: encode(policy, tokenizer, found[split], config.tokens, split, stages) for split in data.SPLITS}
    prompts = list({pair.group: pair for pair in reversed(found["test"])}.values())[::-1][: config.held_out]
    columns = [[(p.text, p.chosen, p.rejected) for p in found[split]] for split in data.SPLITS]
    digest = data_digest(*columns, [judges.proxy.digest, judges.gold.digest])
    return Prepared(tokenizer, end_tokens(tokenizer), judges, encoded, prompts, digest)


def stages_of(config: Config) -> Path:
    """Where pairs and states are kept: those of a folder's weights apart, since they change under one name."""
    files, told = sorted(Path(config.model).glob("*.safetensors")), hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            told.update(hashlib.file_digest(file, "sha256").digest())
    return config.stages / f"weights-{told.hexdigest()[:10]}" if files else config.stages


def new_policy(config: Config) -> tuple[Policy, PreTrainedTokenizerFast]:
    """A policy at its start, and the tokenizer. Seeds nothing: the caller did."""
    model, tokenizer = load_causal_lm(config.model)
    values = config.method == "ppo"
    return Policy(model, config.kind, size=config.width, upper=config.upper, values=values), tokenizer


def check_lengths(pairs: Pairs, tokenizer: PreTrainedTokenizerFast, tokens: int) -> None:
    """Refuse over-long responses of a person's file, whichever split they are in."""
    for split in data.SPLITS:
        for pair in pairs[split]:
            data.encode(pair, tokenizer, tokens=tokens, own=True)


def refuse_no_room(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, tokens: int) -> None:
    """Check that the model has positions for each prompt and an answer of `tokens`.

    Raises:
        UserError: If it has not: the library would end in an index error, some rounds later.
    """
    longest = max(map(len, tokenizer(list(texts), add_special_tokens=False)["input_ids"]))
    if longest + tokens > tokenizer.model_max_length:
        most = tokenizer.model_max_length
        raise UserError(
            f"--tokens {tokens}: behind a prompt of {longest} tokens, the model takes {most} in all; lower it"
        )


def sampled_pairs(
    config: Config, policy: Policy, tokenizer: PreTrainedTokenizerFast, judges: Judges
) -> dict[Split, list[Pair]]:
    """Pairs of two samples of the start, ordered by the proxy judge; made once and kept."""
    ends = end_tokens(tokenizer)

    def respond(texts: Sequence[str]) -> list[tuple[str, bool]]:
        refuse_no_room(texts, tokenizer, config.tokens)
        prompts = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        with policy.as_reference():
            answers = policy.sample(prompts, tokens=config.tokens, ends=ends)
        return [(tokenizer.decode(a.response, skip_special_tokens=True), a.response[-1] in ends) for a in answers]

    digests = (judges.proxy.digest, judges.gold.digest)
    rates = (partial(rate, judges.proxy), partial(rate, judges.gold))
    return data.film_pairs(config.stage_settings(), stages_of(config), respond, *rates, digests)


def rate(judge: Rates, texts: Sequence[str]) -> list[float]:
    """A judge's scores as numbers.

    Raises:
        UserError: If one is NaN or infinite.
    """
    scores = judge.rate(texts)
    if not torch.isfinite(scores).all():
        raise UserError(f"the judge said {scores[~torch.isfinite(scores)][0].item()} of a text: nothing was made of it")
    return list(scores.tolist())


def encode(
    policy: Policy,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[Pair],
    tokens: int,
    split: str,
    stages: Path | None = None,
) -> Encoded:
    """Tokens, states and reference of pairs; where `stages` is given, states and reference are kept there."""
    flat = [answer for pair in pairs for answer in data.encode(pair, tokenizer, tokens=tokens)]
    told = data_digest([(each.prompt, each.response) for each in flat], [policy.cut, FORMAT])
    kept = stages / f"states-{split}-{told[:12]}.safetensors" if stages else None
    if kept and kept.exists():
        found = load_tensors(kept)
        states, reference = found["states"].split([len(a.prompt) + len(a.response) for a in flat]), found["reference"]
    else:
        states, reference = states_of(policy, flat, tokenizer.pad_token_id, split)
        if kept:
            with atomic_path(kept) as temporary:
                save_file({"states": torch.cat(list(states)), "reference": reference}, temporary)
    flat = [replace(answer, states=one) for answer, one in zip(flat, states, strict=True)]
    return Encoded(pairs, list(zip(flat[::2], flat[1::2], strict=True)), reference.view(-1, 2))


@torch.no_grad()
def states_of(
    policy: Policy, flat: Sequence[Answer], pad: int, split: str
) -> tuple[Sequence[Tensor], Float[Tensor, " n"]]:
    """States of the lower layers and the reference's log-probability of each answer; like lengths go together."""
    order = sorted(range(len(flat)), key=lambda row: len(flat[row].prompt) + len(flat[row].response))
    states, reference = [torch.empty(0)] * len(flat), torch.empty(len(flat))
    starts = range(0, len(order), AT_ONCE)
    for start in track(starts, description=f"states and reference, {split}", total=len(starts)):
        rows = order[start : start + AT_ONCE]
        batch = policy.lower(collate([flat[row] for row in rows], pad))
        with policy.as_reference():
            reference[rows] = masked_sum(policy.logprobs(batch), batch.mask)
        for place, row in enumerate(rows):
            assert batch.states is not None, "just computed"
            states[row] = batch.states[place, : len(flat[row].prompt) + len(flat[row].response)].clone()
    return states, reference
