"""DPO (also conservative), IPO and ORPO: a step is a forward pass of the upper layers over chosen and rejected answers.

python -m projects.ppo_dpo_orpo.train_preference --method orpo --kind adapter
torchrun --nproc-per-node 2 -m projects.ppo_dpo_orpo.train_preference --out runs/ppo_dpo_orpo/two
"""

# b pairs

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from projects.ppo_dpo_orpo import losses
from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.distributed import Process, after_the_first, average_gradients, process_group
from projects.ppo_dpo_orpo.policies import Batch, Policy
from projects.ppo_dpo_orpo.prepare import Encoded, Prepared, new_policy, prepare
from shared import optim
from shared.errors import UserError, command
from shared.files import write_json
from shared.progress import track
from shared.run_directories import claim, latest_checkpoint, new_directory
from shared.runs import Run, open_checkpoint, restore
from shared.seeding import generator, seed_everything
from shared.tensors import load_trainable, trainable_state

MAX_NORM = 1.0
TIE = 1e-3
"""Nats: at the start all margins are 0 but for rounding, and a pair within it counts as half right."""
RESULT = "result.json"


@dataclass(frozen=True)
class Metrics:
    """A finished run.

    Attributes:
        best_step: The step with the highest accuracy on validation pairs, of those that were watched.
        validation: Accuracy there.
        core_seconds: Processor time of all steps, sampling and judging included, validation left out.
    """

    directory: Path
    best_step: int
    validation: float
    core_seconds: float


def main(config: Config, prepared: Prepared | None = None) -> Metrics | None:
    """Learn from preference pairs by DPO or ORPO; None in every process of torchrun but the first.

    Raises:
        UserError: If --out, the model or the pairs cannot be used: before anything is trained.
    """
    if config.method == "ppo":
        raise UserError("--method ppo: python -m projects.ppo_dpo_orpo.train_ppo trains it")
    directory = config.out or new_directory(Path("runs"), "ppo_dpo_orpo", config.name)
    if config.trainer == "trl":
        from projects.ppo_dpo_orpo import trl_trainer  # not everybody has it

        return trl_trainer.main(config, directory, prepared)
    with process_group() as process:
        process.refuse_undivided(config.batch_size)
        if process.rank == 0:
            claim(directory, resume=config.resume, config=config)
        prepared = prepared or after_the_first(process, partial(prepare, config))
        refuse_uneven(config, prepared, process)
        seed_everything(config.seed)
        policy, _ = new_policy(config)
        average_gradients(policy, process)
        with ExitStack() as held:
            run = None
            if process.rank == 0:
                opened = Run(
                    directory, project="ppo_dpo_orpo", config=config, resume=config.resume, data=prepared.digest
                )
                run = held.enter_context(opened)
            train(config, policy, prepared, directory, run, process)
        return finished(directory) if process.rank == 0 else None


def refuse_uneven(config: Config, prepared: Prepared, process: Process) -> None:
    """Check that a batch is whole where processes divide it.

    Raises:
        UserError: If there are fewer pairs than a batch has: one process trains on all of them.
    """
    there = len(prepared.training(config).pairs)
    if process.world_size > 1 and there < config.batch_size:
        raise UserError(f"--batch_size {config.batch_size}: there are {there} pairs to divide; lower it")


def train(
    config: Config, policy: Policy, prepared: Prepared, directory: Path, run: Run | None, process: Process
) -> None:
    """The loop, from the last checkpoint on if the configuration says so. Only the first process writes."""
    optimizer = AdamW(optim.parameter_groups(policy, {"adapters": (lambda _: True, config.lr)}))
    schedule = optim.linear_schedule(optimizer, total=config.last)
    training, spent, done = prepared.training(config), 0.0, 0
    if config.resume and (kept := latest_checkpoint(directory)):
        extra = restore(open_checkpoint(kept), partial(load_trainable, policy), optimizer, schedule)
        spent, done = extra["core_seconds"], extra["step"]
    pad = prepared.tokenizer.pad_token_id
    for step in track(range(done + 1, config.last + 1), description=directory.name, total=config.last, done=done):
        started = time.process_time()
        rows = batch_rows(len(training.pairs), config.batch_size, config.seed, step)
        mine = process.mine(rows)
        tokens = sum(len(training.answers[row][0].response) for row in rows) / process.world_size
        loss, seen = preference_loss(config, policy, training.batch(mine, pad), training.reference[mine], tokens)
        refuse_nan(loss, step, directory)
        norm = optim.step(optimizer, loss, max_norm=MAX_NORM)
        schedule.step()
        spent += time.process_time() - started
        if run:
            run.log(step, loss=loss.item(), grad_norm=norm, core_seconds=spent, **seen)
        keep(config, policy, optimizer, schedule, prepared, run, step, spent, seen["kl"])


def preference_loss(
    config: Config, policy: Policy, batch: Batch, reference: Float[Tensor, "b 2"], tokens: float
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch of pairs, and what is logged of it.

    Args:
        batch: All chosen responses, then all rejected ones.
        tokens: Response tokens of all chosen ones, over which ORPO's likelihood is a mean.
    """
    nats, mask = policy.logprobs(batch), batch.mask
    chosen, rejected = losses.masked_sum(nats, mask).chunk(2)
    margin = losses.dpo_margin(chosen, rejected, reference[:, 0], reference[:, 1])
    if config.method == "orpo":
        mean_chosen, mean_rejected = losses.row_mean(nats, mask).chunk(2)
        loss = losses.orpo_loss(mean_chosen, mean_rejected, -chosen.sum() / tokens, weight=config.weight)
        margin = (losses.log_odds(mean_chosen) - losses.log_odds(mean_rejected)).detach()
    elif config.method == "ipo":
        loss = losses.ipo_loss(margin, beta=config.beta).mean()
    else:
        wrong = config.label_noise if config.method == "cdpo" else 0.0
        loss = losses.dpo_loss(margin, beta=config.beta, wrong=wrong).mean()
    return loss, {
        "accuracy": right(margin.detach()),
        "margin": margin.mean().item(),
        "chosen": (chosen.detach() - reference[:, 0]).mean().item(),
        "rejected": (rejected.detach() - reference[:, 1]).mean().item(),
        # the answers were drawn from the reference, so that this is an unbiased estimate of KL(π_ref‖π)
        "kl": (reference - torch.stack([chosen, rejected], 1).detach()).mean().item(),
    }


def right(margin: Float[Tensor, " b"]) -> float:
    """Share of pairs that are put right; one within TIE counts half."""
    return torch.where(margin.abs() < TIE, 0.5, (margin > 0).float()).mean().item()


def batch_rows(pairs: int, size: int, seed: int, step: int) -> list[int]:
    """Rows of the step's batch (from 1): every pair once a pass, in an order that (seed, pass) decides."""
    each = max(1, pairs // size)
    order = torch.randperm(pairs, generator=generator(seed, (step - 1) // each + 1)).tolist()
    first = (step - 1) % each * size
    return list(order[first : first + size])


@torch.no_grad()
def margins(config: Config, policy: Policy, encoded: Encoded, pad: int, at_once: int = 8) -> Float[Tensor, " k"]:
    """By how much the policy prefers each pair's chosen response: its own reward, in the method's own sense.

    DPO and PPO: log-ratio to the reference, summed. ORPO, which knows no reference: the mean log-probability.
    """
    found = torch.empty(len(encoded.pairs))
    lengths = [sum(len(answer.response) for answer in both) for both in encoded.answers]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), at_once):
        rows = order[start : start + at_once]
        batch = encoded.batch(rows, pad)
        nats = policy.logprobs(batch)
        if config.method == "orpo":
            chosen, rejected = losses.row_mean(nats, batch.mask).chunk(2)
            found[rows] = chosen - rejected
        else:
            chosen, rejected = losses.masked_sum(nats, batch.mask).chunk(2)
            found[rows] = losses.dpo_margin(chosen, rejected, *encoded.reference[rows].T)
    return found


def keep(
    config: Config,
    policy: Policy,
    optimizer: AdamW,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    prepared: Prepared,
    run: Run | None,
    step: int,
    spent: float,
    kl: float,
) -> None:
    """Ask validation at the steps that are watched, save, and stop where the policy has left the language.

    Raises:
        UserError: If the divergence is beyond its limit; names the last checkpoint.
    """
    if run is None:
        return
    if kl > config.kl_limit:
        raise stopped(
            f"the divergence reached {kl:.1f} nats a response (--kl_limit {config.kl_limit:g})", step, run.directory
        )
    if step in config.watched:
        found = margins(config, policy, prepared.encoded["validation"], prepared.tokenizer.pad_token_id)
        run.log(step, validation_accuracy=right(found), validation_margin=found.mean().item())
    if step in config.watched or step % config.save_every == 0:
        extra = {"core_seconds": spent, "step": step}
        run.save(step, trainable_state(policy), optimizer=optimizer, schedule=schedule, extra=extra)
        run.keep_checkpoints(*[each for each in config.watched if each <= step], step)


def refuse_nan(loss: Tensor, step: int, directory: Path) -> None:
    """Stop before a loss that is no number moves anything.

    Raises:
        UserError: Names the last checkpoint.
    """
    if not torch.isfinite(loss):
        raise stopped(f"the loss is {loss.item()}", step, directory)


def stopped(what: str, step: int, directory: Path) -> UserError:
    """One line for a run that cannot go on."""
    last = latest_checkpoint(directory)
    return UserError(
        f"{what} at step {step}: training stopped; lower --lr. Last checkpoint: {last.name if last else 'none'}"
    )


def finished(directory: Path) -> Metrics:
    """What validation chose, from the run's own log, written beside it."""
    from shared.fingerprint import team_key
    from shared.fingerprint.citations import read_source

    records: Sequence[dict[str, float]] = read_source(directory, team_key()).log.records
    watched = [record for record in records if "validation_accuracy" in record]
    best = max(watched, key=lambda record: record["validation_accuracy"])
    spent = max(record.get("core_seconds", 0.0) for record in records)
    metrics = Metrics(directory, int(best["step"]), best["validation_accuracy"], spent)
    write_json(directory / RESULT, {"best_step": metrics.best_step, "validation": metrics.validation})
    return metrics


if __name__ == "__main__":
    command(main, Config)
