"""PPO: sample, ask the proxy judge, update. It sees the training prompts and the judge, and never a pair.

python -m projects.ppo_dpo_orpo.train_ppo --entropy 0.01
"""

# b responses · n of a minibatch · t predicted tokens

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from projects.ppo_dpo_orpo import losses
from projects.ppo_dpo_orpo.config import Config, Method
from projects.ppo_dpo_orpo.data import Pair
from projects.ppo_dpo_orpo.distributed import world_size
from projects.ppo_dpo_orpo.evaluate import distinct
from projects.ppo_dpo_orpo.policies import Batch, Policy, collate
from projects.ppo_dpo_orpo.prepare import Prepared, new_policy, prepare, rate, refuse_no_room
from projects.ppo_dpo_orpo.train_preference import MAX_NORM, Metrics, batch_rows, finished, keep, refuse_nan
from shared import devices, optim
from shared.errors import UserError, command
from shared.progress import track
from shared.run_directories import claim, new_directory
from shared.runs import Run
from shared.seeding import generator, seed_everything
from shared.tensors import load_trainable

VALUE_WEIGHT = 0.1


@dataclass(frozen=True)
class Rollout:
    """One round of sampling, as the policy that sampled sees it; [b t] tensors are 0 outside the mask.

    Attributes:
        batch: Prompts and responses, with the lower layers' states.
        logprobs: log π of the sampled tokens, as `reference` under the reference.
        values: Expected return before each token.
        scores: The proxy judge's, one a response.
    """

    batch: Batch
    logprobs: Float[Tensor, "b t"]
    reference: Float[Tensor, "b t"]
    values: Float[Tensor, "b t"]
    scores: Float[Tensor, " b"]
    responses: list[str]


@dataclass(frozen=True, kw_only=True)
class PPOConfig(Config):
    """The same settings, for a command that trains by PPO only."""

    method: Method = "ppo"
    """What is learned by: ppo."""


def main(config: Config, prepared: Prepared | None = None) -> Metrics:
    """Learn from the proxy judge by PPO, on the prompts of the training pairs.

    Raises:
        UserError: If --out, the model or the prompts cannot be used: before anything is trained.
    """
    if config.method != "ppo":
        raise UserError(f"--method {config.method}: python -m projects.ppo_dpo_orpo.train_preference trains it")
    if world_size() > 1:
        raise UserError("train_ppo runs in one process: start it without torchrun")
    directory = config.out or new_directory(Path("runs"), "ppo_dpo_orpo", config.name)
    claim(directory, resume=config.resume, config=config)
    devices.use_all_cores()
    prepared = prepared or prepare(config)
    refuse_prompts(config, prepared)
    seed_everything(config.seed)
    policy, _ = new_policy(config)
    with Run(directory, project="ppo_dpo_orpo", config=config, resume=config.resume, data=prepared.digest) as run:
        train(config, policy, prepared, run)
    return finished(directory)


def refuse_prompts(config: Config, prepared: Prepared) -> None:
    """Check that a round's prompts are there, and that the model has room for an answer to each.

    Raises:
        UserError: If training has fewer, or one is too long.
    """
    pairs = prepared.encoded["train"].pairs[: config.pairs]
    if len(pairs) < config.prompts:
        raise UserError(f"--prompts {config.prompts}: there are {len(pairs)} for training; lower it and --batch_size")
    refuse_no_room([pair.text for pair in (*pairs, *prepared.prompts)], prepared.tokenizer, config.tokens)


def train(config: Config, policy: Policy, prepared: Prepared, run: Run) -> None:
    """Rounds of sampling and updating, from the run's checkpoint on if it has one."""
    rates = {"value": (lambda name: "value_head" in name, config.value_lr), "adapters": (lambda _: True, config.lr)}
    optimizer, spent = AdamW(optim.parameter_groups(policy, rates)), 0.0
    if run.checkpoint:
        spent = run.restore(partial(load_trainable, policy), optimizer)["core_seconds"]
    pairs, each = prepared.encoded["train"].pairs[: config.pairs], config.updates
    first, rounds = run.step // each + 1, config.last // each
    for turn in track(range(first, rounds + 1), description=run.directory.name, total=rounds, done=first - 1):
        started = time.process_time()
        asked = [pairs[row] for row in batch_rows(len(pairs), config.prompts, config.seed, turn)]
        torch.manual_seed(generator(config.seed, turn).initial_seed())  # a round begun again is the same round
        rollout = collect_rollout(policy, prepared, asked, config)
        sampling = time.process_time() - started
        updated = update(policy, optimizer, rollout, config, generator(config.seed, turn), run.directory, turn * each)
        spent += time.process_time() - started
        described = describe(rollout)
        run.log(
            turn * each,
            core_seconds=spent,
            sampling_share=sampling / (time.process_time() - started),
            judge_calls=turn * config.prompts,
            **described,
            **updated,
        )
        keep(config, policy, optimizer, None, prepared, run, turn * each, spent, described["kl"])


@torch.no_grad()
def collect_rollout(policy: Policy, prepared: Prepared, asked: Sequence[Pair], config: Config) -> Rollout:
    """Sample once, then evaluate by the forward pass of the update in minibatches of its size: its first ratio is 1.

    Raises:
        UserError: If the judge says NaN or an infinity of a response: nothing has been updated by it.
    """
    prompts = prepared.tokenizer([pair.text for pair in asked], add_special_tokens=False)["input_ids"]
    answers = policy.sample(prompts, tokens=config.tokens, ends=prepared.ends)
    responses = [prepared.tokenizer.decode(answer.response, skip_special_tokens=True) for answer in answers]
    scores = rate(prepared.judges.proxy, [pair.opening + text for pair, text in zip(asked, responses, strict=True)])
    batch = policy.lower(collate(answers, prepared.tokenizer.pad_token_id))
    parts = [batch.rows(slice(at, at + config.batch_size)) for at in range(0, len(asked), config.batch_size)]
    logprobs, _, values = (torch.cat(each) for each in zip(*map(policy.evaluate, parts), strict=True))
    with policy.as_reference():
        reference = torch.cat([policy.logprobs(part) for part in parts])
    return Rollout(batch, logprobs, reference, values, torch.tensor(scores), responses)


def update(
    policy: Policy,
    optimizer: AdamW,
    rollout: Rollout,
    config: Config,
    order: torch.Generator,
    directory: Path,
    step: int,
) -> dict[str, float]:
    """Some epochs of clipped updates on one rollout.

    Returns:
        Means over all minibatches, and of the first one `first_ratio`, the largest |ρ − 1|.
    """
    mask = rollout.batch.mask
    kl = rollout.logprobs - rollout.reference
    rewards = losses.token_rewards(rollout.scores, kl, mask, beta=config.kl_weight)
    advantages, returns = losses.gae(rewards, rollout.values, mask, gamma=1.0, lam=config.lam)
    advantages = losses.whiten(advantages, mask)
    logged = []
    for _ in range(config.epochs):
        for rows in torch.randperm(len(mask), generator=order).split(config.batch_size):
            loss, terms = ppo_loss(policy, rollout, rows, advantages[rows], returns[rows], config)
            refuse_nan(loss, step, directory)
            terms["grad_norm"] = optim.step(optimizer, loss, max_norm=MAX_NORM)
            logged.append(terms)
    means = {name: sum(each[name] for each in logged) / len(logged) for name in logged[0] if name != "ratio"}
    return {**means, "first_ratio": logged[0]["ratio"], "first_clipped": logged[0]["clipped"]}


def ppo_loss(
    policy: Policy,
    rollout: Rollout,
    rows: Tensor,
    advantages: Float[Tensor, "n t"],
    returns: Float[Tensor, "n t"],
    config: Config,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a minibatch: surrogate + weight · value loss − weight · entropy; and its terms for the log."""
    mask, old = rollout.batch.mask[rows], rollout.logprobs[rows]
    logprobs, entropies, values = policy.evaluate(rollout.batch.rows(rows))
    surrogate, clipped = losses.ppo_surrogate(logprobs, old, advantages, mask, clip=config.clip)
    error = losses.value_loss(values, rollout.values[rows], returns, mask, clip=config.clip)
    entropy = losses.masked_mean(entropies, mask)
    loss = surrogate + VALUE_WEIGHT * error - config.entropy * entropy
    named = {"loss": loss, "value_loss": error, "entropy": entropy, "clipped": clipped}
    return loss, {
        **{name: term.item() for name, term in named.items()},
        "ratio": torch.where(mask, logprobs.detach() - old, 0).exp().sub(1).abs().max().item(),
    }


def describe(rollout: Rollout) -> dict[str, float]:
    """What the reader of a log wants of a rollout; `kl` is the mean of Σ log π − log π_ref, unbiased."""
    return {
        "proxy": rollout.scores.mean().item(),
        "kl": losses.masked_sum(rollout.logprobs - rollout.reference, rollout.batch.mask).mean().item(),
        "kl_k3": losses.masked_sum(losses.k3(rollout.logprobs, rollout.reference), rollout.batch.mask).mean().item(),
        "tokens": rollout.batch.mask.sum(1).float().mean().item(),
        "distinct_2": distinct(rollout.responses, 2),
    }


if __name__ == "__main__":
    command(main, PPOConfig)
