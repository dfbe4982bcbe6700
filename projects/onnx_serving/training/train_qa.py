"""Fine-tune the encoder to answer questions about films; the margin from which it answers is chosen on validation.

python -m projects.onnx_serving.training.train_qa --seed 1
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from projects.onnx_serving.config import Config
from projects.onnx_serving.data import Film, load_films, questions_of
from projects.onnx_serving.inference.spans import MASKED_LOGIT, WindowSplitter
from projects.onnx_serving.inference.torch_backend import TorchEncoder
from projects.onnx_serving.paths import RUNS
from projects.onnx_serving.phrasings import Wording
from projects.onnx_serving.training.evaluate import Prediction, best_threshold, predict_spans, score_at
from projects.onnx_serving.training.windows import Batch, Example, examples_of, shuffled
from shared import devices, optim
from shared.assets import load_encoder, resolve_model
from shared.assets.quiet import quiet
from shared.errors import UserError, command
from shared.files import read_json, write_json
from shared.fingerprint.origin import data_digest
from shared.progress import table, track
from shared.run_directories import claim, new_directory
from shared.runs import Run
from shared.seeding import generator, seed_everything

EVALUATION = 1  # seed of the questions that are validated and tested on: the same for every training seed
SELECTION: tuple[Wording, ...] = ("trained", "validation")  # the threshold is chosen on validation films in these
TESTED: tuple[Wording, ...] = ("trained", "held_out")


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Result of a run; scores in [0, 1], of answerable questions on held-out films where nothing else is said.

    Attributes:
        films_f1: In wordings as trained, as is `films_exact`.
        wordings_f1: In held-out wordings, as is `wordings_exact`.
        no_answer_f1: F1 of "no answer", in wordings as trained.
        wordings_no_answer_f1: The same in held-out wordings.
        threshold: Margin that an answer must reach, chosen on validation.
        validation_f1: Over all questions on validation films, in wordings as trained and in others, at that threshold.
        cpu_seconds: Processor time of training.
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
    directory = config.out or new_directory(RUNS.parent, RUNS.name, config.name)
    claim(directory, resume=config.resume)
    devices.use_all_cores()
    films = films_of(config)
    seed_everything(config.seed)
    model, tokenizer = build(config)
    splitter = WindowSplitter(tokenizer.backend_tokenizer.to_str(), max_length=config.window, stride=config.overlap)
    data = digest_of(films)
    with Run(directory, project="onnx_serving", config=config, resume=config.resume, data=data) as run:
        started = time.process_time()
        step = train(config, model, splitter, films["train"], run)
        seconds = time.process_time() - started
        threshold, validation_f1 = chosen_threshold(model, splitter, films["validation"])
        scores = {"validation_f1": validation_f1, **held_out_scores(model, splitter, films["test"], threshold)}
        run.log(step, **scores, threshold=threshold)
        with run.sealed("model", step) as folder:
            save_model(config, model, tokenizer, threshold, folder)
    metrics = Metrics(directory=directory, threshold=threshold, steps=step, cpu_seconds=round(seconds, 1), **scores)
    write_json(directory / "result.json", {k: v for k, v in vars(metrics).items() if k != "directory"})
    return metrics


def films_of(config: Config) -> dict[str, tuple[Film, ...]]:
    """The films that a configuration trains, validates and tests on."""
    return limited(load_films(), config.limit)


def digest_of(films: dict[str, tuple[Film, ...]]) -> str:
    """Digest of the data: the questions about the films of each split."""
    return data_digest(*([q.as_json() for q in questions_of(part, seed=EVALUATION)] for part in films.values()))


def limited(films: dict[str, tuple[Film, ...]], limit: int | None) -> dict[str, tuple[Film, ...]]:
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
    model.get_input_embeddings().requires_grad_(False)  # words that training lacks keep their place among the others
    return model.to(devices.pick(config.device)), tokenizer


def qa_loss(start: Float[Tensor, "b t"], end: Float[Tensor, "b t"], batch: Batch) -> Float[Tensor, ""]:
    """Mean cross-entropy of the first and the last token, over the tokens that may be one.

    Source: Devlin et al. 2019, §4.2 and §4.3; the tokens of the question are left out of the softmax, as in decoding.
    """
    hidden = ~batch.allowed.to(start.device)
    first, last = batch.first.to(start.device), batch.last.to(start.device)
    return (
        F.cross_entropy(start.masked_fill(hidden, MASKED_LOGIT), first)
        + F.cross_entropy(end.masked_fill(hidden, MASKED_LOGIT), last)
    ) / 2


def train(config: Config, model: PreTrainedModel, splitter: WindowSplitter, films: Sequence[Film], run: Run) -> int:
    """Train all epochs; a checkpoint after each. Returns the steps done."""
    rates = {"all": (lambda _: True, config.lr)}
    optimizer = AdamW(optim.parameter_groups(model, rates, weight_decay=config.weight_decay))
    epochs = [epoch_examples(config, splitter, films, epoch) for epoch in range(config.epochs)]
    sizes = [math.ceil(len(examples) / config.batch_size) for examples in epochs]
    schedule = optim.linear_schedule(optimizer, total=sum(sizes), warmup=config.warmup)
    step, done = run.step, 0
    if run.checkpoint:
        done = run.restore(lambda tensors: load_weights(model, tensors), optimizer, schedule)["epoch"]
    model.train()
    for epoch in range(done, config.epochs):
        source = generator(config.seed, epoch, 1)
        batches = shuffled(epochs[epoch], config.batch_size, pad_id=splitter.pad_id, source=source)
        for batch in track(batches, description=f"{run.directory.name} epoch {epoch + 1}", total=sizes[epoch]):
            loss = loss_of(config, model, batch)
            grad_norm = optim.step(optimizer, loss, max_norm=config.max_norm)
            schedule.step()
            step += 1
            run.log(step, loss=loss.item(), grad_norm=grad_norm, lr=float(schedule.get_last_lr()[0]))
        weights = dict(model.named_parameters())
        run.save(step, weights, optimizer=optimizer, schedule=schedule, extra={"epoch": epoch + 1})
        run.keep_checkpoints(step)
    return step


def loss_of(config: Config, model: PreTrainedModel, batch: Batch) -> Float[Tensor, ""]:
    """The batch's loss; products in bfloat16 where the configuration says so, loss and weights in float32."""
    inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
    rounded = devices.use_bfloat16(config.precision, model.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=rounded):
        output = model(**inputs)
    return qa_loss(output.start_logits.float(), output.end_logits.float(), batch)


def epoch_examples(config: Config, splitter: WindowSplitter, films: Sequence[Film], epoch: int) -> list[Example]:
    """The windows of an epoch: every epoch asks in other wordings, and about other films in other articles."""
    seed = 1000 * config.seed + epoch
    return examples_of(questions_of(films, seed=seed), splitter, seed=seed)


def predictions_of(
    model: PreTrainedModel, splitter: WindowSplitter, films: Sequence[Film], wording: Wording
) -> list[Prediction]:
    """The model's best span for each question about the films, whatever its margin."""
    questions = questions_of(films, seed=EVALUATION, wording=wording)
    return predict_spans(TorchEncoder(model.eval()), splitter, questions)


def chosen_threshold(model: PreTrainedModel, splitter: WindowSplitter, films: Sequence[Film]) -> tuple[float, float]:
    """The best margin to answer from on validation films, and its F1."""
    predictions = [each for wording in SELECTION for each in predictions_of(model, splitter, films, wording)]
    threshold = best_threshold(predictions)
    return threshold, score_at(predictions, threshold).f1


def held_out_scores(
    model: PreTrainedModel, splitter: WindowSplitter, films: Sequence[Film], threshold: float
) -> dict[str, float]:
    """Scores on held-out films, in wordings that were trained and in wordings that were not."""
    as_trained, reworded = (score_at(predictions_of(model, splitter, films, wording), threshold) for wording in TESTED)
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
    """Write the folder from which `question_answering` makes its pipeline."""
    model.config.question_answering = {"window": config.window, "overlap": config.overlap, "threshold": threshold}
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@torch.no_grad()
def load_weights(model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy saved values into the parameters of the same names."""
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def report(directory: Path) -> None:
    """Print the scores of a finished run."""
    found = read_json(directory / "result.json")
    rows = [
        ("in wordings as trained", found["films_f1"], found["films_exact"], found["no_answer_f1"]),
        ("in wordings never seen", found["wordings_f1"], found["wordings_exact"], found["wordings_no_answer_f1"]),
    ]
    table(str(directory), ["asked of held-out films", "F1", "exact match", "F1 of no answer"], rows)


if __name__ == "__main__":
    report(command(main, Config).directory)
