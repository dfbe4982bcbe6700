"""Fine-tune a pretrained encoder with the Trainer, in a process that may run out of memory and be started again.

python -m projects.hf_finetune.training.train --awp 0.0001 --mixout 0.2
python -m projects.hf_finetune.training.train --dataset my.csv --text_column review --label_column stars --scores
python -m projects.hf_finetune.training.train --out runs/hf_finetune/mine --resume
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerFast, PrinterCallback
from transformers.utils.logging import disable_progress_bar

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import PreparedData, prepare
from projects.hf_finetune.evaluation.eval import evaluate
from projects.hf_finetune.evaluation.metrics import trainer_metrics
from projects.hf_finetune.training.callbacks import TARGETS
from projects.hf_finetune.training.mixout import mixout_targets
from projects.hf_finetune.training.models import load_classifier, load_tokenizer
from projects.hf_finetune.training.regularised import RegularisedTrainer
from projects.hf_finetune.training.supervisor import (
    Attempt,
    die_with_parent,
    ending_at_once,
    read_attempt,
    run_child,
    spawn,
    supervise,
)
from projects.hf_finetune.training.trainer_config import callbacks, training_arguments
from shared import devices
from shared.errors import command, reported
from shared.files import read_json, write_json
from shared.fingerprint.citations import CHECKPOINTS
from shared.progress import table
from shared.run_directories import claim, latest_checkpoint, new_directory
from shared.runs import Run, open_checkpoint, verified_tensors
from shared.seeding import seed_everything

LOGS = Path("projects/hf_finetune/logs")


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a run came to.

    Attributes:
        accuracy: On the test split, 0 to 1, as are the four numbers after it.
        ece: Expected calibration error.
        validation_macro_f1: Score of the epoch that was kept.
        micro_batch: Sentences in a micro-batch at the end.
        seconds: Training and validation in the last process, without set-up and test.
    """

    directory: Path
    accuracy: float
    precision: float
    recall: float
    macro_f1: float
    ece: float
    validation_macro_f1: float
    steps: int
    micro_batch: int
    seconds: float


def main(config: Config) -> Metrics:
    """Fine-tune a pretrained encoder to tell the tone of a text, with AWP, mixout, both or neither."""
    directory = config.out or new_directory(Path("runs"), "hf_finetune", config.name)
    claim(directory, resume=config.resume)
    supervise(replace(config, out=directory), spawn)
    if config.out is None:
        link_from_logs(directory)
    return read_metrics(directory)


def fit(attempt: Attempt) -> Metrics:
    """Train, keep the epoch that is best on validation, save it for `pipeline`, and read the test split once."""
    config, directory = attempt.config, attempt.config.out
    assert directory is not None
    devices.use_all_cores()
    disable_progress_bar()  # of the library, for each file that it writes
    devices.pick(config.device)
    model, tokenizer, data = load_model_and_data(config)
    described = replace(config, memory_gb=None)  # says where it ran, not what it did: a resumed run may have more
    with (
        Run(directory, project="hf_finetune", config=described, resume=attempt.resume, data=data.digest) as run,
        ending_at_once(attempt.own_process),
    ):
        started = time.perf_counter()
        progress = train(attempt, model, tokenizer, data, run)
        seconds = time.perf_counter() - started
        model.load_state_dict(verified_tensors(run.checkpoint_path(progress["best_step"]), run.key))
        write_json(directory / "data.json", data.report)
        save_for_pipeline(model, tokenizer, run, progress["step"])
        found = evaluate(model, tokenizer, data.splits["test"], data.classes, directory / "evaluation")
        tested = {name: found[name] for name in ("accuracy", "precision", "recall", "macro_f1", "ece")}
        ran = {"micro_batch": config.batch_size // attempt.accumulation, "seconds": seconds}
        run.log(progress["step"], **{f"test_{name}": value for name, value in tested.items()}, **ran)
    result = {**tested, "validation_macro_f1": progress["best"], "steps": progress["step"], **ran}
    write_json(directory / "result.json", result)
    return read_metrics(directory)


def load_model_and_data(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, PreparedData]:
    """The classifier before its first step, its tokenizer, and the data."""
    tokenizer = load_tokenizer(config.model, max_length=config.max_length)
    data = prepare(config, tokenizer)
    seed_everything(config.seed)
    return load_classifier(config.model, data.classes, max_length=config.max_length), tokenizer, data


def make_trainer(
    config: Config,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    data: PreparedData,
    *,
    directory: Path,
    accumulation: int,
    **more: Any,
) -> RegularisedTrainer:
    """The Trainer of a configuration; `more` are its targets of mixout and its callbacks."""
    trainer = RegularisedTrainer(
        awp=config.awp,
        mixout=config.mixout,
        model=model,
        args=training_arguments(config, directory=str(directory), accumulation=accumulation),
        train_dataset=data.splits["train"],
        eval_dataset=data.splits["validation"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=trainer_metrics,
        **more,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(
    attempt: Attempt, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, data: PreparedData, run: Run
) -> dict[str, Any]:
    """Let the Trainer train. Returns the last step, and of the best epoch its step and validation macro-F1."""
    config, accumulation = attempt.config, attempt.accumulation
    unfinished = run.directory / CHECKPOINTS / ".trainer.tmp"
    targets = pretrained_targets(config, model, run)
    around = callbacks(config, run, accumulation=accumulation, targets=targets)
    told: dict[str, Any] = {"directory": unfinished, "accumulation": accumulation}
    trainer = make_trainer(config, model, tokenizer, data, **told, targets=targets, callbacks=around)
    if not finished(run.checkpoint, config):
        trainer.train(resume_from_checkpoint=str(run.checkpoint) if run.checkpoint else None)
    if unfinished.exists():
        unfinished.rmdir()
    last = latest_checkpoint(run.directory)
    assert last is not None, "the Trainer saves at the end of every epoch"
    return progress_of(last)


def pretrained_targets(config: Config, model: PreTrainedModel, run: Run) -> dict[str, Tensor]:
    """What mixout returns to: the weights as loaded, or on resuming those that the checkpoint kept."""
    if config.mixout == 0:
        return {}
    if run.checkpoint is None:
        return mixout_targets(model)
    return load(open_checkpoint(run.checkpoint, run.key).read(TARGETS))


def progress_of(checkpoint: Path) -> dict[str, Any]:
    """Where training stood at a checkpoint: its step, early stopping's counters, and how many steps there are."""
    saved = read_json(checkpoint / "trainer_state.json")
    counters = saved["stateful_callbacks"]["EarlyStopping"]["attributes"]
    return {"step": saved["global_step"], "of": saved["max_steps"], **counters}


def finished(checkpoint: Path | None, config: Config) -> bool:
    """Whether nothing is left to train: the process ended between its last checkpoint and its result.

    The Trainer would take one more step before it noticed that patience was over.
    """
    if checkpoint is None:
        return False
    progress = progress_of(checkpoint)
    return progress["step"] >= progress["of"] or progress["patience_counter"] >= config.patience


def save_for_pipeline(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, run: Run, step: int) -> None:
    """Write and seal <run>/model, which `pipeline("text-classification", …)` takes as it is."""
    with run.sealed("model", step) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def link_from_logs(directory: Path) -> None:
    """Show the run below logs/, where the brief looks for it; weights stay out of the source tree."""
    if LOGS.is_dir():
        link = LOGS / directory.name
        if link.is_symlink():
            link.unlink()  # of a run that had this name before
        elif link.exists():
            return  # somebody's own file
        link.symlink_to(Path("../../..") / directory)


def read_metrics(directory: Path) -> Metrics:
    """The metrics that a finished run left behind."""
    return Metrics(directory=directory, **read_json(directory / "result.json"))


def report(metrics: Metrics) -> None:
    """Print what a run came to."""
    names = ("accuracy", "precision", "recall", "macro_f1", "ece", "validation_macro_f1")
    row = [getattr(metrics, name) for name in names] + [metrics.steps, f"{metrics.seconds:.0f} s"]
    columns = ["test accuracy", "precision", "recall", "macro-F1", "ECE", "validation macro-F1", "steps", "time"]
    table(str(metrics.directory), columns, [row])


def child(request: Path) -> int:
    """The training process that `spawn` started."""
    die_with_parent()
    with reported():
        return run_child(read_attempt(request), fit)
    raise AssertionError("unreachable")  # `reported` exits or re-raises


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2])))
    report(command(main, Config))
