"""The three results that PPO starts from: judge, preferences, reward model. Each is made once and kept, sealed.

A stage lives in a directory that is named after the settings it depends on, so another setting makes another stage and
never finds the wrong one.
"""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import (
    Preference,
    Split,
    balance_lengths,
    of_split,
    prefer,
    read_preferences,
    write_preferences,
)
from projects.rlhf_ppo.data.prompts import SPLITS, Reviews
from projects.rlhf_ppo.models.gold_reward import GoldReward, train_gold_reward
from projects.rlhf_ppo.models.reward_model import Pairs, RewardModel, fit_reward_model, pair_accuracy
from projects.rlhf_ppo.models.text_encoder import TextEncoder
from shared.fingerprint.citations import LOG_NAME
from shared.fingerprint.origin import data_digest
from shared.progress import track
from shared.run_directories import discard
from shared.runs import Run, open_checkpoint, verified_tensors
from shared.seeding import seed_everything
from shared.tensors import load_trainable, trainable_state

Respond = Callable[[Sequence[str]], list[str]]
"""Prompts → one sampled response each."""
SAMPLED_AT_ONCE = 32


@dataclass(frozen=True)
class Stage:
    """Where a result is kept.

    Attributes:
        directory: Named after the settings that the result depends on.
        config: Written beside it.
    """

    directory: Path
    config: Config

    @classmethod
    def of(cls, config: Config, name: str) -> "Stage":
        """The stage "gold", "preferences" or "reward" of a configuration."""
        text = json.dumps(config.stage_settings(name), sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return cls(config.stages / f"{name}-{digest}", replace(config, seed=config.data_seed))

    @property
    def checkpoint(self) -> Path:
        """A model's weights."""
        return self.directory / "checkpoints" / "step-000001"

    @property
    def pairs(self) -> Path:
        """The preferences, sealed."""
        return self.directory / "pairs"

    def open_run(self, data: str) -> Run:
        """A new run in the directory; what an interrupted attempt left there is removed, if it is that.

        Raises:
            UserError: If there is anything else in the directory.
        """
        if (self.directory / LOG_NAME).exists():
            discard(self.directory, "rlhf_ppo")
        return Run(self.directory, project="rlhf_ppo", config=self.config, data=data)


# ---------------------------------------------------------------- the judge


def load_judge(
    stage: Stage, encoder: TextEncoder, reviews: Reviews, *, limit: int | None, lr: float, seed: int
) -> GoldReward:
    """The judge, trained on the raters' means of reviews (all, or the first `limit`) if it is not there yet."""
    seed_everything(seed)
    judge = GoldReward(encoder)
    if not stage.checkpoint.exists():
        train_judge(stage, judge, reviews, limit=limit, lr=lr, seed=seed)
    load_trainable(judge, verified_tensors(stage.checkpoint))
    return judge.eval()


def train_judge(stage: Stage, judge: GoldReward, reviews: Reviews, *, limit: int | None, lr: float, seed: int) -> None:
    """Train the judge, log how well it agrees with raters of unseen reviews, and keep it."""
    train, validation = reviews["train"], reviews["validation"]
    train = train if limit is None else train.select(range(limit))
    texts, scores = list(train["text"]), [round(float(score), 4) for score in train["score"]]
    with stage.open_run(data_digest(texts, scores)) as run:
        train_gold_reward(judge, texts, scores, lr=lr, batch_size=32, seed=seed)
        with torch.no_grad():
            predicted = judge.head(judge.encoder.embed(list(validation["text"])))[:, 0]
        raters = torch.tensor(list(validation["score"]))
        run.log(1, correlation=torch.corrcoef(torch.stack([predicted, raters]))[0, 1].item())
        run.save(1, trainable_state(judge))


# ---------------------------------------------------------------- the preferences


def load_preferences(
    stage: Stage,
    respond: Respond,
    judge: GoldReward,
    prompts: dict[Split, list[str]],
    *,
    noise: float,
    balance: bool,
    seed: int,
) -> list[Preference]:
    """The comparisons of all splits, made if they are not there yet, one a prompt of each split."""
    if not stage.pairs.exists():
        make_preferences(stage, respond, judge, prompts, noise=noise, balance=balance, seed=seed)
    return read_pairs(stage)


def read_pairs(stage: Stage, name: str = "preferences") -> list[Preference]:
    """The comparisons that are kept, or ("sampled") all of them, before balancing.

    Raises:
        UserError: If they changed since they were made.
    """
    open_checkpoint(stage.pairs)
    return read_preferences(stage.pairs / f"{name}.jsonl")


def make_preferences(
    stage: Stage,
    respond: Respond,
    judge: GoldReward,
    prompts: dict[Split, list[str]],
    *,
    noise: float,
    balance: bool,
    seed: int,
) -> None:
    """Sample two continuations a prompt, let the judge prefer, balance, log, keep."""
    seed_everything(seed)
    draw = random.Random(seed)
    with stage.open_run(data_digest(*prompts.values())) as run:
        sampled = [pair for split in SPLITS for pair in compare(respond, judge, split, prompts[split], noise, draw)]
        kept = sampled
        if balance:
            kept = [pair for split in SPLITS for pair in balance_lengths(of_split(sampled, split), draw)]
        against = sum(pair.against_gold for pair in kept) / max(len(kept), 1)
        run.log(1, sampled=len(sampled), kept=len(kept), against_gold=against)
        with run.sealed("pairs", 1) as folder:
            write_preferences(folder, kept)
            write_preferences(folder, sampled, name="sampled")  # to tell what balancing took away


def compare(
    respond: Respond, judge: GoldReward, split: Split, prompts: Sequence[str], noise: float, draw: random.Random
) -> list[Preference]:
    """One comparison a prompt; two equal continuations are none, and are left out."""
    twice: list[list[str]] = [[], []]
    starts = range(0, len(prompts), SAMPLED_AT_ONCE)
    for start in track(starts, description=f"continuations, {split}", total=len(starts)):
        for side in twice:
            side += respond(prompts[start : start + SAMPLED_AT_ONCE])
    golds = [judge(prompts, side).total.tolist() for side in twice]
    return [
        Preference(
            split=split,
            prompt=prompt,
            a=a,
            b=b,
            preferred=prefer(gold_a, gold_b, noise=noise, draw=draw),
            gold_a=round(gold_a, 4),
            gold_b=round(gold_b, 4),
        )
        for prompt, a, b, gold_a, gold_b in zip(prompts, *twice, *golds, strict=True)
        if a != b
    ]


# ---------------------------------------------------------------- the reward model


def load_reward_model(
    stage: Stage, encoder: TextEncoder, pairs: list[Preference], *, lr: float
) -> tuple[RewardModel, float]:
    """The reward model, fitted to the training pairs if it is not there yet, and its accuracy on the test pairs."""
    model = RewardModel(encoder)
    if not stage.checkpoint.exists():
        fit_and_keep(stage, model, pairs, lr=lr)
    load_head_and_buffers(model, verified_tensors(stage.checkpoint))
    test = of_split(pairs, "test")  # read once, here
    with torch.no_grad():
        chosen, rejected = model([pair.chosen for pair in test]), model([pair.rejected for pair in test])
    return model, pair_accuracy(chosen, rejected)


def fit_and_keep(stage: Stage, model: RewardModel, pairs: list[Preference], *, lr: float) -> None:
    """Fit, log, keep."""
    train, validation = (embed_pairs(model, of_split(pairs, split)) for split in ("train", "validation"))
    with stage.open_run(data_digest([(p.chosen, p.rejected) for p in pairs])) as run:
        fit = fit_reward_model(model, train, validation, lr=lr)
        run.log(1, validation_accuracy=fit.accuracy, validation_loss=fit.loss, decay=fit.decay, steps=fit.steps)
        run.save(1, {"head.weight": model.head.weight, **dict(model.named_buffers(recurse=False))})


def embed_pairs(model: RewardModel, pairs: Sequence[Preference]) -> Pairs:
    """The encoder's vectors of both texts of each pair."""
    both = model.encoder.embed([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    return Pairs(both[: len(pairs)], both[len(pairs) :])


@torch.no_grad()
def load_head_and_buffers(model: RewardModel, tensors: dict[str, torch.Tensor]) -> None:
    """Copy what `fit_and_keep` kept."""
    model.head.weight.copy_(tensors["head.weight"])
    for name, buffer in model.named_buffers(recurse=False):
        buffer.copy_(tensors[name])
