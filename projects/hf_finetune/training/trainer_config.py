"""The Trainer's arguments and callbacks, as functions of our configuration."""

import os

from torch import Tensor
from transformers import TrainerCallback, TrainingArguments

from projects.hf_finetune.config import Config
from projects.hf_finetune.training.callbacks import (
    FAULT,
    EarlyStopping,
    InjectedFault,
    ProgressBar,
    RunLog,
    SaveEverySteps,
    Sealing,
)
from shared.runs import Run

EVALUATION_BATCH = 64


def training_arguments(config: Config, *, directory: str, accumulation: int) -> TrainingArguments:
    """The Trainer's arguments.

    Args:
        directory: Where it writes its checkpoints.
        accumulation: Micro-batches of a step; it divides the batch, whose size does not change.
    """
    return TrainingArguments(
        output_dir=directory,
        per_device_train_batch_size=config.batch_size // accumulation,
        gradient_accumulation_steps=accumulation,
        per_device_eval_batch_size=min(EVALUATION_BATCH, 4 * config.batch_size // accumulation),
        num_train_epochs=config.epochs,
        learning_rate=config.lr,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,  # below 1 the library takes it for a share
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_norm,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=None,  # `Sealing` keeps the best and the newest
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put an average in the place of a NaN; the run's log stops at one
        report_to="none",  # the run writes TensorBoard's file itself, and seals it
        restore_callback_states_from_checkpoint=True,  # or early stopping would start to count anew
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=config.device == "cpu",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        log_level="error",
    )


def callbacks(config: Config, run: Run, *, accumulation: int, targets: dict[str, Tensor]) -> list[TrainerCallback]:
    """Early stopping, the log, sealed checkpoints and one bar; in tests also a fault."""
    chosen: list[TrainerCallback] = [
        EarlyStopping(config.patience),
        RunLog(run),
        Sealing(run, accumulation, targets),
        SaveEverySteps(config.save_every),
        ProgressBar(run.directory.name),
    ]
    if os.environ.get(FAULT):
        chosen.append(InjectedFault(os.environ[FAULT], config.batch_size // accumulation))
    return chosen
