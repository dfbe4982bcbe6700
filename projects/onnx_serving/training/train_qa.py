"""Fine-tune the encoder to answer questions about films, and keep the epoch that is best on validation.

python -m projects.onnx_serving.training.train_qa --seed 1
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from projects.onnx_serving.config import RUNS, Config
from projects.onnx_serving.data import Film, Question, load_films, questions_of
from projects.onnx_serving.inference.spans import Cutter
from projects.onnx_serving.inference.torch_backend import TorchEncoder
from projects.onnx_serving.training.evaluate import Judged, chosen_threshold, judge, score_at
from projects.onnx_serving.training.windows import Batch, Example, examples_of, shuffled
from shared import devices, optim
from shared.assets import load_encoder, resolve_model
from shared.assets.models import quiet
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint.origin import data_digest
from shared.progress import table, track
from shared.runs import Run, new_directory, verified_tensors
from shared.seeding import seed_everything

HIDDEN = -1e9  # logit of a token that cannot begin or end an answer
EVALUATION = 1  # seed of the questions that are validated and tested on: the same for every training seed


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a run came to; scores in [0, 1], see `training.evaluate`.

    Attributes:
        directory: Of the run.
        films_f1: Answerable questions on held-out films, wordings as trained; `films_exact` likewise.
        films_exact: See `films_f1`.
        wordings_f1: Answerable questions on held-out films in held-out wordings; `wordings_exact` likewise.
        wordings_exact: See `wordings_f1`.
        no_answer_f1: F1 of "no answer" on held-out films, wordings as trained.
        wordings_no_answer_f1: The same in held-out wordings.
        threshold: Margin that an answer must reach, chosen on validation.
        validation_f1: Over all validation questions, of the epoch that was kept.
        steps: Optimizer steps done.
        cpu_seconds: Processor time of training and validation.
    """

    directory: Path
    films_f1: float
    films_exact: float
    wordings_f1: float
    wordings_exact: float
    no_answer_f1: float
    wordings_no_answer_f1: float
    threshold: float
    validation_f1: float
    steps: int
    cpu_seconds: float


def main(config: Config) -> Metrics:
    """Fine-tune an encoder to answer questions about films from their articles, or to say that they do not answer."""
    devices.use_all_cores()
    films = limited(load_films(), config.limit)
    seed_everything(config.seed)
    model, tokenizer = build(config)
    cutter = Cutter(tokenizer.backend_tokenizer.to_str(), length=config.window, overlap=config.overlap)
    validation = questions_of(films["validation"], seed=EVALUATION)
    digest = data_digest(*([q.as_json() for q in questions_of(part, seed=EVALUATION)] for part in films.values()))
    directory = config.out or new_directory(RUNS.parent, RUNS.name, config.name)
    with Run(directory, project="onnx_serving", config=config, resume=config.resume, data=digest) as run:
        started = time.process_time()
        step, progress = train(config, model, cutter, films["train"], validation, run)
        seconds = time.process_time() - started
        scores = tested(model, cutter, films["test"], progress.threshold)
        run.log(step, **scores, threshold=progress.threshold)
        save_model(config, model, tokenizer, progress.threshold, directory / "model")
        run.seal(directory / "model", step)
    metrics = Metrics(
        directory=directory,
        threshold=progress.threshold,
        validation_f1=progress.best,
        steps=step,
        cpu_seconds=round(seconds, 1),
        **scores,
    )
    write_json(directory / "result.json", {k: v for k, v in vars(metrics).items() if k != "directory"})
    return metrics


def limited(films: dict[str, list[Film]], limit: int | None) -> dict[str, list[Film]]:
    """The first films of each split."""
    return {name: part[:limit] for name, part in films.items()}


def build(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The encoder with a new head that gives each token a start and an end logit.

    Raises:
        UserError: If the model is no encoder, or has fewer positions than a window.
    """
    from transformers import AutoModelForQuestionAnswering

    _, tokenizer = load_encoder(config.model, max_length=config.window)  # refuses in one line what cannot be loaded
    with quiet():
        try:
            model = AutoModelForQuestionAnswering.from_pretrained(resolve_model(config.model), dtype=torch.float32)
        except ValueError as error:
            raise UserError(f"--model {config.model}: {str(error).splitlines()[0]}") from None
    return model.to(devices.pick(config.device)), tokenizer


def qa_loss(start: Float[Tensor, "b t"], end: Float[Tensor, "b t"], batch: Batch) -> Float[Tensor, ""]:
    """Mean cross-entropy of the first and the last token, over the tokens that may be one.

    Source: Devlin et al. 2019, §4.2 and §4.3; the tokens of the question are left out of the softmax, as in decoding.
    """
    hidden = ~batch.allowed.to(start.device)
    first, last = batch.first.to(start.device), batch.last.to(start.device)
    return (
        F.cross_entropy(start.masked_fill(hidden, HIDDEN), first)
        + F.cross_entropy(end.masked_fill(hidden, HIDDEN), last)
    ) / 2


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training is between two epochs.

    Attributes:
        epoch: Epochs done.
        best: Best validation F1 so far, `best_step` the steps done then, `threshold` the margin chosen then.
        best_step: See `best`.
        threshold: See `best`.
    """

    epoch: int = 0
    best: float = -1.0
    best_step: int = 0
    threshold: float = 0.0

    def after(self, f1: float, step: int, threshold: float) -> "Progress":
        """One epoch on."""
        if f1 > self.best:
            return Progress(epoch=self.epoch + 1, best=f1, best_step=step, threshold=threshold)
        return Progress(epoch=self.epoch + 1, best=self.best, best_step=self.best_step, threshold=self.threshold)


def train(
    config: Config,
    model: PreTrainedModel,
    cutter: Cutter,
    films: Sequence[Film],
    validation: Sequence[Question],
    run: Run,
) -> tuple[int, Progress]:
    """Train; afterwards the model has the weights of the epoch that was best on validation."""
    optimizer = AdamW(
        optim.parameter_groups(model, {"all": (lambda _: True, config.lr)}, weight_decay=config.weight_decay)
    )
    epochs = [epoch_examples(config, cutter, films, epoch) for epoch in range(config.epochs)]
    total = sum(math.ceil(len(examples) / config.batch_size) for examples in epochs)
    schedule = optim.linear_schedule(optimizer, total=total, warmup=config.warmup)
    step, progress = run.step, Progress()
    if run.checkpoint:
        progress = Progress(**run.restore(lambda tensors: load_all(model, tensors), optimizer, schedule))
    for epoch in range(progress.epoch, config.epochs):
        model.train()
        batches = shuffled(epochs[epoch], config.batch_size, padding=cutter.padding, seed=1000 * config.seed + epoch)
        count = math.ceil(len(epochs[epoch]) / config.batch_size)
        for batch in track(batches, description=f"{run.directory.name} epoch {epoch + 1}", total=count):
            inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
            output = model(**inputs)
            loss = qa_loss(output.start_logits, output.end_logits, batch)
            grad_norm = optim.step(optimizer, loss, max_norm=config.max_norm)
            schedule.step()
            step += 1
            run.log(step, loss=loss.item(), grad_norm=grad_norm, lr=float(schedule.get_last_lr()[0]))
        judged = judged_by(model, cutter, validation)
        threshold = chosen_threshold(judged)
        f1 = score_at(judged, threshold).f1
        run.log(step, validation_f1=f1, validation_threshold=threshold)
        progress = progress.after(f1, step, threshold)
        run.save(step, dict(model.named_parameters()), optimizer=optimizer, schedule=schedule, extra=asdict(progress))
        run.keep_checkpoints(progress.best_step, step)
    load_all(model, verified_tensors(run.checkpoint_path(progress.best_step), run.key))
    return step, progress


def epoch_examples(config: Config, cutter: Cutter, films: Sequence[Film], epoch: int) -> list[Example]:
    """The windows of an epoch: every epoch asks in other wordings, and about other films in other articles."""
    seed = 1000 * config.seed + epoch
    return examples_of(questions_of(films, seed=seed), cutter, seed=seed)


def judged_by(model: PreTrainedModel, cutter: Cutter, questions: Sequence[Question]) -> list[Judged]:
    """The model's best span for each question, whatever its margin."""
    return judge(TorchEncoder(model.eval()), cutter, questions)


def tested(model: PreTrainedModel, cutter: Cutter, films: Sequence[Film], threshold: float) -> dict[str, float]:
    """Scores on held-out films, in wordings that were trained and in wordings that were not."""
    as_trained, reworded = (
        score_at(judged_by(model, cutter, questions_of(films, seed=EVALUATION, held_out=held_out)), threshold)
        for held_out in (False, True)
    )
    return {
        "films_f1": as_trained.answered_f1,
        "films_exact": as_trained.answered_exact,
        "no_answer_f1": as_trained.no_answer_f1,
        "wordings_f1": reworded.answered_f1,
        "wordings_exact": reworded.answered_exact,
        "wordings_no_answer_f1": reworded.no_answer_f1,
    }


def save_model(
    config: Config, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, threshold: float, folder: Path
) -> None:
    """Write the folder that `inference.pipelines.question_answering` reads, unless it is there from before."""
    if folder.exists():
        return
    model.config.question_answering = {"window": config.window, "overlap": config.overlap, "threshold": threshold}
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@torch.no_grad()
def load_all(model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy saved values into the parameters of the same names."""
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def report(metrics: Metrics) -> None:
    """Print what a run came to."""
    columns = ["asked of held-out films", "F1", "exact match", "F1 of no answer"]
    rows = [
        ("in wordings as trained", metrics.films_f1, metrics.films_exact, metrics.no_answer_f1),
        ("in wordings never seen", metrics.wordings_f1, metrics.wordings_exact, metrics.wordings_no_answer_f1),
    ]
    table(str(metrics.directory), columns, rows)


if __name__ == "__main__":
    report(command(main, Config))
