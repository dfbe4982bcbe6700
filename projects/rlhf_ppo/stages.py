"""The three results that PPO starts from: judge, preferences, reward model. Each is made once and kept, sealed.

A stage lives in a directory that is named after the fields of the configuration it depends on, so another setting makes
another stage and never finds the wrong one.
"""

# n texts · d width

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import (
    Preference,
    Split,
    balance_lengths,
    of_split,
    openings,
    prefer,
    read_preferences,
    write_preferences,
)
from projects.rlhf_ppo.models.gold_reward import GoldReward, train_gold
from projects.rlhf_ppo.models.policy import Policy, end_tokens
from projects.rlhf_ppo.models.reward_model import Pairs, RewardModel, fit_reward_model, pair_accuracy
from projects.rlhf_ppo.models.text_encoder import TextEncoder
from projects.rlhf_ppo.rollout import Prompts
from shared.assets import load_causal_lm, load_dataset, load_encoder
from shared.errors import UserError
from shared.fingerprint.citations import LOG_NAME
from shared.fingerprint.origin import data_digest
from shared.progress import track
from shared.runs import Run, discard, open_checkpoint, trainable_state, verified_tensors
from shared.seeding import seed_everything

SAMPLED_AT_ONCE = 32
SHARES: dict[Split, float] = {"train": 1.0, "validation": 0.25, "test": 0.5}


def stage_directory(config: Config, stage: str) -> Path:
    """Where a stage is kept."""
    text = json.dumps(config.part(stage), sort_keys=True, default=str)
    return config.stages / f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def stage_run(config: Config, stage: str, data: str) -> Run:
    """A new run in a stage's directory; what an interrupted attempt left there is removed, if it is that.

    Raises:
        UserError: If there is anything else in the directory.
    """
    directory = stage_directory(config, stage)
    if (directory / LOG_NAME).exists():
        discard(directory, "rlhf_ppo")
    return Run(directory, project="rlhf_ppo", config=replace(config, seed=config.data_seed), data=data)


def text_encoder(config: Config) -> TextEncoder:
    """A fresh copy of the encoder: judge and reward model never share weights."""
    return TextEncoder(*load_encoder(config.encoder, max_length=config.max_length))


# ---------------------------------------------------------------- the judge


def gold_reward(config: Config) -> GoldReward:
    """The judge, trained on the raters' means if it is not there yet."""
    seed_everything(config.data_seed)
    gold = GoldReward(text_encoder(config))
    checkpoint = stage_directory(config, "gold") / "checkpoints" / "step-000001"
    if not checkpoint.exists():
        learn_gold(config, gold)
    load_trainable(gold, verified_tensors(checkpoint))
    return gold.eval()


def learn_gold(config: Config, gold: GoldReward) -> None:
    """Train the judge, log how well it agrees with raters of unseen reviews, and keep it."""
    reviews = load_dataset("movie_reviews")
    train = reviews["train"] if config.gold_texts is None else reviews["train"].select(range(config.gold_texts))
    texts, scores = list(train["text"]), [round(float(score), 4) for score in train["score"]]
    with stage_run(config, "gold", data_digest(texts, scores)) as run:
        train_gold(gold, texts, scores, lr=config.gold_lr, batch_size=32, seed=config.data_seed)
        validation = reviews["validation"]
        with torch.no_grad():
            predicted = gold.head(gold.encoder.vectors(list(validation["text"])))[:, 0]
        raters = torch.tensor(list(validation["score"]))
        run.log(1, correlation=torch.corrcoef(torch.stack([predicted, raters]))[0, 1].item())
        run.save(1, trainable_state(gold))


# ---------------------------------------------------------------- the preferences


def split_openings(config: Config) -> dict[Split, list[str]]:
    """Prompts of each split: no review is in two, and no opening."""
    reviews = load_dataset("movie_reviews")
    seen: set[str] = set()
    prompts: dict[Split, list[str]] = {}
    for split in SHARES:
        found = openings(list(reviews[split]["text"]), config.prompt_words)
        prompts[split] = [prompt for prompt in found if prompt not in seen]
        seen.update(prompts[split])
    return prompts


def require_texts(config: Config) -> None:
    """Check that there are as many reviews and openings as the configuration asks for.

    Raises:
        UserError: If there are fewer.
    """
    reviews = len(load_dataset("movie_reviews")["train"])
    if config.gold_texts is not None and config.gold_texts > reviews:
        raise UserError(f"--gold_texts {config.gold_texts}: there are {reviews}")
    found = split_openings(config)
    if len(found["train"]) < config.prompts or not all(found.values()):
        raise UserError(
            f"--prompt_words {config.prompt_words}: leaves {len(found['train'])} prompts for training and "
            f"{len(found['test'])} held out, too few for --prompts {config.prompts}"
        )


def preferences(config: Config, gold: GoldReward) -> list[Preference]:
    """The comparisons of all splits, made if they are not there yet."""
    folder = stage_directory(config, "preferences") / "pairs"
    if not folder.exists():
        make_preferences(config, gold)
    open_checkpoint(folder)  # refuses what changed since it was made
    return read_preferences(folder / "preferences.jsonl")


def make_preferences(config: Config, gold: GoldReward) -> None:
    """Sample two continuations a prompt, let the judge prefer, balance, log, keep."""
    model, tokenizer = load_causal_lm(config.model)
    policy = Policy(model, rank=1, temperature=config.temperature, ends=end_tokens(tokenizer)).eval()
    seed_everything(config.data_seed)
    prompts = {split: found[: round(config.pairs * SHARES[split])] for split, found in split_openings(config).items()}
    with stage_run(config, "preferences", data_digest(*prompts.values())) as run:
        draw = random.Random(config.data_seed)
        made = [
            pair for split in SHARES for pair in compare(config, policy, tokenizer, gold, split, prompts[split], draw)
        ]
        kept = [pair for split in SHARES for pair in balanced(config, of_split(made, split), draw)]
        run.log(1, sampled=len(made), kept=len(kept), against_gold=mean(pair.against_gold for pair in kept))
        with run.sealed("pairs", 1) as folder:
            write_preferences(folder, kept)
            write_preferences(folder, made, name="sampled")  # before balancing, to tell what it took away


def balanced(config: Config, pairs: list[Preference], draw: random.Random) -> list[Preference]:
    """With as many long as short texts preferred, if that is asked for."""
    return balance_lengths(pairs, draw) if config.balance else pairs


def compare(
    config: Config,
    policy: Policy,
    tokenizer: object,
    gold: GoldReward,
    split: Split,
    prompts: Sequence[str],
    draw: random.Random,
) -> list[Preference]:
    """One comparison a prompt; two equal continuations are none, and are left out."""
    twice: list[list[str]] = [[], []]
    starts = range(0, len(prompts), SAMPLED_AT_ONCE)
    for start in track(starts, description=f"continuations, {split}", total=len(starts)):
        batch = Prompts(tokenizer, list(prompts[start : start + SAMPLED_AT_ONCE]))
        for side in twice:
            side += batch.decode(policy.sample(batch.ids, batch.attention, tokens=config.tokens))
    golds = [gold(prompts, side).total.tolist() for side in twice]
    return [
        Preference(
            split=split,
            prompt=prompt,
            a=a,
            b=b,
            preferred=prefer(gold_a, gold_b, noise=config.noise, draw=draw),
            gold_a=round(gold_a, 4),
            gold_b=round(gold_b, 4),
        )
        for prompt, a, b, gold_a, gold_b in zip(prompts, *twice, *golds, strict=True)
        if a != b
    ]


# ---------------------------------------------------------------- the reward model


@dataclass(frozen=True)
class Fitted:
    """The reward model and its share of held-out pairs in the right order."""

    model: RewardModel
    pairs: list[Preference]
    accuracy: float


def reward_model(config: Config, pairs: list[Preference]) -> Fitted:
    """The reward model, fitted to the training pairs if it is not there yet; test pairs are read once, here."""
    model = RewardModel(text_encoder(config))
    directory = stage_directory(config, "reward")
    checkpoint = directory / "checkpoints" / "step-000001"
    if not checkpoint.exists():
        learn_reward(config, model, pairs)
    load_reward(model, verified_tensors(checkpoint))
    held_out = of_split(pairs, "test")
    with torch.no_grad():
        chosen, rejected = (model([getattr(p, side) for p in held_out]) for side in ("chosen", "rejected"))
    return Fitted(model, held_out, pair_accuracy(chosen, rejected))


def learn_reward(config: Config, model: RewardModel, pairs: list[Preference]) -> None:
    """Fit, log, keep."""
    train, validation = (as_vectors(model, of_split(pairs, split)) for split in ("train", "validation"))
    with stage_run(config, "reward", data_digest([(p.chosen, p.rejected) for p in pairs])) as run:
        fit = fit_reward_model(model, train, validation, lr=config.reward_lr)
        run.log(1, validation_accuracy=fit.accuracy, validation_loss=fit.loss, decay=fit.decay, steps=fit.steps)
        run.save(1, {"head.weight": model.head.weight, **dict(model.named_buffers(recurse=False))})


def as_vectors(model: RewardModel, pairs: Sequence[Preference]) -> Pairs:
    """The encoder's vectors of both texts of each pair."""
    both = model.encoder.vectors([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    return Pairs(both[: len(pairs)], both[len(pairs) :])


@torch.no_grad()
def load_reward(model: RewardModel, tensors: dict[str, torch.Tensor]) -> None:
    """Copy what `learn_reward` kept."""
    model.head.weight.copy_(tensors["head.weight"])
    for name, buffer in model.named_buffers(recurse=False):
        buffer.copy_(tensors[name])


@torch.no_grad()
def load_trainable(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy saved values into the trainable parameters of the same names."""
    for name, parameter in trainable_state(model).items():
        parameter.copy_(tensors[name])


def mean(values: object) -> float:
    """Of anything that can be counted; 0 of nothing."""
    numbers = [float(value) for value in values]  # type: ignore[attr-defined]
    return sum(numbers) / len(numbers) if numbers else 0.0
