"""The same pairs, settings and adapters in TRL's DPOTrainer: where accelerators and several machines are waiting.

python -m projects.ppo_dpo_orpo.train_preference --trainer trl

TRL keeps no lower layers' states and asks the reference at every step; on one processor that is slower than the loop of
train_preference.py (see results/), on accelerators its data parallelism and precision are what is wanted. `accelerate
launch -m projects.ppo_dpo_orpo.train_preference --trainer trl` starts it there.
"""

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import AdamW
from torch.utils.data import SequentialSampler

from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.distributed import Process, after_the_first
from projects.ppo_dpo_orpo.policies import Policy
from projects.ppo_dpo_orpo.prepare import Encoded, Prepared, new_policy, prepare
from projects.ppo_dpo_orpo.train_preference import RESULT, Metrics, batch_rows, margins, refuse_uneven, right
from shared import optim
from shared.errors import UserError
from shared.files import write_json
from shared.run_directories import claim
from shared.runs import Run
from shared.seeding import seed_everything
from shared.tensors import trainable_state

if TYPE_CHECKING:
    from trl import DPOTrainer

MISSING = "--trainer trl: TRL is not installed; pip install trl==1.16.0"
KEPT = ("ref_chosen_logps", "ref_rejected_logps")
"""What TRL calls the reference's log-probabilities of a pair."""


def main(config: Config, directory: Path, prepared: Prepared | None = None) -> Metrics | None:
    """Train by TRL, then keep the adapters in a run of ours, so that everything else here reads them.

    Of several processes the first writes; None in the others.

    Raises:
        UserError: If TRL is not installed, --out is in use, or the processes cannot divide a batch.
    """
    try:
        from accelerate import PartialState  # TRL's trainer finds this group, and makes none of its own
    except ImportError:
        raise UserError(MISSING) from None

    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        return learn(config, directory, prepared, Process(state.process_index, state.num_processes))
    finally:
        gc.collect()  # the trainer's circles hold the group, whose threads end with the last that does
        state.destroy_process_group()


def learn(config: Config, directory: Path, prepared: Prepared | None, process: Process) -> Metrics | None:
    """Claim, prepare, train and write, in one of the processes."""
    process.refuse_undivided(config.batch_size)
    if process.rank == 0:
        claim(directory)
    prepared = prepared or after_the_first(process, partial(prepare, config))
    refuse_uneven(config, prepared, process)
    seed_everything(config.seed)
    policy, _ = new_policy(config)
    training = prepared.training(config)
    rows = [
        row
        for step in range(1, config.last + 1)
        for row in batch_rows(len(training.pairs), config.batch_size, config.seed, step)
    ]
    with ExitStack() as held:
        run = None
        if process.rank == 0:
            run = held.enter_context(Run(directory, project="ppo_dpo_orpo", config=config, data=prepared.digest))
        process.wait()  # the run's folder is begun by the run
        each = replace(config, batch_size=config.batch_size // process.world_size)
        trainer = dpo_trainer(each, policy, prepared, training, rows, directory / "trl")
        trainer.train()
        if run is None:
            return None
        return written(run, trainer, config, policy, prepared)


def written(run: Run, trainer: "DPOTrainer", config: Config, policy: Policy, prepared: Prepared) -> Metrics:
    """TRL's log and the adapters in a run of ours."""
    for entry in trainer.state.log_history:
        if "loss" in entry:
            run.log(entry["step"], loss=entry["loss"], accuracy=entry["rewards/accuracies"])
    found = margins(config, policy.eval(), prepared.encoded["validation"], prepared.tokenizer.pad_token_id)
    run.log(config.last, validation_accuracy=right(found), validation_margin=found.mean().item())
    run.save(config.last, trainable_state(policy))
    write_json(run.directory / RESULT, {"best_step": config.last, "validation": right(found)})
    return Metrics(run.directory, config.last, right(found), 0.0)


def dpo_trainer(
    config: Config,
    policy: Policy,
    prepared: Prepared,
    training: Encoded,
    rows: Sequence[int],
    out: Path,
    *,
    kept: bool = False,
) -> "DPOTrainer":
    """TRL's trainer on the very token numbers, in the very order, at the same rates.

    Args:
        kept: Whether the reference's log-probabilities are computed once, as with TRL's precompute_ref_log_probs.
    """
    try:
        from trl import DPOConfig, DPOTrainer
    except ImportError:
        raise UserError(MISSING) from None
    from datasets import Dataset

    class InOrder(DPOTrainer):
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    settings = DPOConfig(
        output_dir=str(out), per_device_train_batch_size=config.batch_size, max_steps=config.last, beta=config.beta,
        max_grad_norm=1.0, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(), bf16=False, activation_checkpointing=False, seed=config.seed,
        label_smoothing=config.label_noise if config.method == "cdpo" else 0.0, max_length=None,
        loss_type=["sigmoid"],
    )  # fmt: skip
    texts = [{"prompt": p.text, "chosen": p.chosen, "rejected": p.rejected} for p in training.pairs]
    optimizer = AdamW(optim.parameter_groups(policy, {"adapters": (lambda _: True, config.lr)}))
    trainer = InOrder(
        model=policy.language,
        args=settings,
        processing_class=prepared.tokenizer,
        train_dataset=Dataset.from_list(texts),
        optimizers=(optimizer, optim.linear_schedule(optimizer, total=config.last)),
    )
    trainer.precompute_ref_logps = kept
    trainer.train_dataset = Dataset.from_list([tokens_of(training, row, kept) for row in rows])
    return trainer


def tokens_of(training: Encoded, row: int, kept: bool = False) -> dict[str, Any]:
    """A pair as TRL's collator takes it: a response that was cut has no end token."""
    chosen, rejected = training.answers[row]
    ids = {"prompt_ids": chosen.prompt, "chosen_ids": chosen.response, "rejected_ids": rejected.response}
    return ids | (dict(zip(KEPT, training.reference[row].tolist(), strict=True)) if kept else {})
