"""The same pairs, settings and adapters in TRL's DPOTrainer: where accelerators and several machines are waiting.

python -m projects.ppo_dpo_orpo.train_preference --trainer trl

TRL keeps no lower layers' states and asks the reference at every step; on one processor that is slower than the loop of
train_preference.py (see results/), on accelerators its data parallelism and precision are what is wanted. `accelerate
launch -m projects.ppo_dpo_orpo.train_preference --trainer trl` starts it there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import AdamW
from torch.utils.data import SequentialSampler

from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.policies import Policy
from projects.ppo_dpo_orpo.prepare import Encoded, Prepared, new_policy
from projects.ppo_dpo_orpo.train_preference import RESULT, Metrics, batch_rows, margins, right
from shared import optim
from shared.errors import UserError
from shared.files import write_json
from shared.run_directories import claim
from shared.runs import Run
from shared.seeding import seed_everything
from shared.tensors import trainable_state

if TYPE_CHECKING:
    from trl import DPOTrainer

KEPT = ("ref_chosen_logps", "ref_rejected_logps")
"""What TRL calls the reference's log-probabilities of a pair."""


def main(config: Config, directory: Path, prepared: Prepared) -> Metrics:
    """Train by TRL, then keep the adapters in a run of ours, so that everything else here reads them.

    Raises:
        UserError: If TRL is not installed, or --out is in use.
    """
    claim(directory)
    seed_everything(config.seed)
    policy, _ = new_policy(config)
    training = prepared.training(config)
    rows = [
        row
        for step in range(1, config.last + 1)
        for row in batch_rows(len(training.pairs), config.batch_size, config.seed, step)
    ]
    with Run(directory, project="ppo_dpo_orpo", config=config, data=prepared.digest) as run:
        trainer = dpo_trainer(config, policy, prepared, training, rows, directory / "trl")
        trainer.train()
        for entry in trainer.state.log_history:
            if "loss" in entry:
                run.log(entry["step"], loss=entry["loss"], accuracy=entry["rewards/accuracies"])
        found = margins(config, policy.eval(), prepared.encoded["validation"], prepared.tokenizer.pad_token_id)
        run.log(config.last, validation_accuracy=right(found), validation_margin=found.mean().item())
        run.save(config.last, trainable_state(policy))
    write_json(directory / RESULT, {"best_step": config.last, "validation": right(found)})
    return Metrics(directory, config.last, right(found), 0.0)


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
        raise UserError("--trainer trl: TRL is not installed; pip install trl==1.16.0") from None
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
