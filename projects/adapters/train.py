"""Train an encoder to classify texts or to tag entities: by adapters, whole, or from random weights.

python -m projects.adapters.train --adapter_type parallel --scale 4 --dataset movie_reviews
python -m projects.adapters.train --adapter_type none --no-freeze_base --lr 1e-4              full fine-tuning
python -m projects.adapters.train --adapter_type none --no-freeze_base --no-pretrained        from scratch
python -m projects.adapters.train --dataset ner-3 --optimizer adafactor --lr 0.05
"""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from projects.adapters.arms import build_model, load_base, make_optimizer
from projects.adapters.config import Config
from projects.adapters.data import IGNORE_INDEX, Batch, Corpus, load_corpus
from projects.adapters.evaluate import evaluate
from projects.adapters.state import write_adapters
from shared import devices, optim
from shared.errors import command
from shared.files import write_json
from shared.progress import table, track
from shared.run_directories import claim, new_directory
from shared.runs import Run, verified_tensors
from shared.seeding import seed_everything
from shared.tensors import load_trainable, trainable_state


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a run came to.

    Attributes:
        accuracy: On the test split, 0 to 1, as are `macro_f1` and `entity_f1`.
        entity_f1: None where texts are classified.
        validation_score: Entity F1, or accuracy, of the epoch that was kept.
        trained: Parameters that training moved, of all `parameters`.
        seconds: Training and validation, without set-up and test.
    """

    directory: Path
    accuracy: float
    macro_f1: float
    entity_f1: float | None
    validation_score: float
    trained: int
    parameters: int
    steps: int
    seconds: float

    @property
    def score(self) -> float:
        """Entity F1 where there is one, else accuracy."""
        return self.accuracy if self.entity_f1 is None else self.entity_f1


def main(config: Config) -> Metrics:
    """Train an encoder to classify texts or to tag entities, by adapters or whole."""
    directory = config.out or new_directory(Path("runs"), "adapters", config.name)
    claim(directory, resume=config.resume)
    devices.use_all_cores()
    device = devices.pick(config.device)
    model, corpus = prepare(config)
    model.to(device)
    with Run(directory, project="adapters", config=config, resume=config.resume, data=corpus.digest()) as run:
        started = time.perf_counter()
        step, validated = train(config, model, make_optimizer(config, model), corpus, run)
        seconds = time.perf_counter() - started
        metrics = score_and_log(model, corpus, run, steps=step, validation_score=validated, seconds=seconds)
        if config.adapted and config.freeze_base and not (directory / "adapter").exists():
            with run.sealed("adapter", step) as folder:
                write_adapters(model, folder, config, classes=corpus.classes, tagging=corpus.tagging)
    write_json(directory / "result.json", {k: v for k, v in vars(metrics).items() if k != "directory"})
    return metrics


def prepare(config: Config) -> tuple[nn.Module, Corpus]:
    """The model that a configuration trains, before its first step, and the data."""
    seed_everything(config.seed)
    encoder, tokenizer = load_base(config)
    corpus = load_corpus(config, tokenizer)
    seed_everything(config.seed)  # again: reading may have drawn
    return build_model(config, encoder, len(corpus.classes), tagging=corpus.tagging), corpus


def score_and_log(
    model: nn.Module, corpus: Corpus, run: Run, *, steps: int, validation_score: float, seconds: float
) -> Metrics:
    """Score the model on the test split, which no earlier step has read, and log what the run came to."""
    tested = evaluate(model, corpus.test, corpus.classes, tagging=corpus.tagging)
    trained, parameters = optim.count_parameters(model)
    run.log(steps, **tested.log_entries("test"), trained=trained, parameters=parameters, seconds=seconds)
    return Metrics(
        directory=run.directory,
        **vars(tested),
        validation_score=validation_score,
        trained=trained,
        parameters=parameters,
        steps=steps,
        seconds=seconds,
    )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training is between two epochs: what a checkpoint needs beside the tensors.

    Attributes:
        epoch: Epochs done.
        best: Best validation score so far.
        best_step: Steps done when it was reached.
    """

    epoch: int = 0
    best: float = -1.0
    best_step: int = 0

    def after(self, score: float, step: int) -> "Progress":
        """Progress one epoch later; of equal scores the earlier counts as best."""
        if score > self.best:
            return Progress(epoch=self.epoch + 1, best=score, best_step=step)
        return Progress(epoch=self.epoch + 1, best=self.best, best_step=self.best_step)


def train(config: Config, model: nn.Module, optimizer: Optimizer, corpus: Corpus, run: Run) -> tuple[int, float]:
    """Train, keep the epoch that is best on validation. Returns (steps done, its validation score)."""
    steps_per_epoch = -(-len(corpus.train) // config.batch_size)
    total = steps_per_epoch * config.epochs
    schedule = optim.linear_schedule(optimizer, total=total, warmup=config.warmup)
    curve = corpus.validation.first(config.curve_rows)
    step, progress = run.step, Progress()
    if run.checkpoint:
        progress = Progress(**run.restore(lambda tensors: load_trainable(model, tensors), optimizer, schedule))
    while progress.epoch < config.epochs:
        batches = corpus.train.shuffled(config.batch_size, seed=config.seed, epoch=progress.epoch)
        title, losses = f"{run.directory.name} epoch {progress.epoch + 1}", []
        for batch in track(batches, description=title, total=steps_per_epoch):
            loss, grad_norm = training_step(config, model, optimizer, batch)
            schedule.step()
            step += 1
            losses.append(loss)
            if len(losses) == config.log_every or not math.isfinite(loss):
                run.log(step, loss=sum(losses) / len(losses), grad_norm=grad_norm)
                losses = []
            if step % config.eval_every == 0:
                point = evaluate(model, curve, corpus.classes, tagging=corpus.tagging)
                run.log(step, curve_score=point.primary)
        validated = evaluate(model, corpus.validation, corpus.classes, tagging=corpus.tagging)
        run.log(step, **validated.log_entries("validation"))
        progress = progress.after(validated.primary, step)
        run.save(step, trainable_state(model), optimizer=optimizer, schedule=schedule, extra=asdict(progress))
        run.keep_checkpoints(progress.best_step, step)
    load_trainable(model, verified_tensors(run.checkpoint_path(progress.best_step), run.key))
    return step, progress.best


def training_step(config: Config, model: nn.Module, optimizer: Optimizer, batch: Batch) -> tuple[float, float]:
    """One update. Returns (mean loss before it, norm of the gradient before clipping)."""
    model.train()  # reaches adapters and head; a frozen base stays in evaluation mode
    loss = loss_of(model, batch.to(next(model.parameters()).device))
    value = loss.item()
    return value, optim.step(optimizer, loss, max_norm=config.max_norm)


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over texts, or over the first pieces of words."""
    logits = model(batch.input_ids, batch.attention_mask)  # (b,c) or (b,t,c)
    return F.cross_entropy(logits.flatten(0, -2), batch.labels.flatten(), ignore_index=IGNORE_INDEX)


def report(title: str, runs: dict[str, Metrics]) -> None:
    """Print a row of scores for each run."""
    rows = [
        (
            name,
            m.accuracy,
            m.macro_f1,
            "–" if m.entity_f1 is None else m.entity_f1,
            m.validation_score,
            f"{m.trained:,} ({m.trained / m.parameters:.2%})",
            f"{m.seconds:.0f} s",
        )
        for name, m in runs.items()
    ]
    columns = ["trained", "test accuracy", "macro-F1", "entity F1", "validation", "parameters", "time"]
    table(title, columns, rows)


if __name__ == "__main__":
    finished = command(main, Config)
    report(str(finished.directory), {finished.directory.name: finished})
