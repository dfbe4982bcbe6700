"""The Trainer's optimizer steps one at a time: to be timed, beside those of another way to train."""

from collections.abc import Iterator

import torch
from transformers import DataCollatorWithPadding

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.training.mixout import targets_of
from projects.hf_finetune.training.models import load_classifier, load_tokenizer
from projects.hf_finetune.training.regularised import RegularisedTrainer
from projects.hf_finetune.training.trainer_config import training_arguments
from shared.seeding import seed_everything


def training_steps(config: Config, folder: str) -> Iterator[None]:
    """Endless optimizer steps as the Trainer's loop takes them: window, step, clipping, update.

    Every arm sees the same batches in the same order.
    """
    seed_everything(config.seed)
    tokenizer = load_tokenizer(config.model, max_length=config.max_length)
    data = prepare(config, tokenizer)
    model = load_classifier(config.model, data.classes, max_length=config.max_length)
    trainer = RegularisedTrainer(
        awp=config.awp,
        mixout=config.mixout,
        targets=targets_of(model),
        model=model,
        args=training_arguments(config, directory=folder, accumulation=1),
        train_dataset=data.splits["train"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        eval_dataset=data.splits["validation"],
    )
    optimizer = trainer.create_optimizer()
    while True:
        batches = iter(trainer.get_train_dataloader())
        while True:
            window, items = trainer.get_batch_samples(batches, 1, torch.device("cpu"))
            if not window:
                break
            trainer.training_step(model, window[0], items)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
            optimizer.step()
            model.zero_grad()
            yield
