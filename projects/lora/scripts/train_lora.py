"""Fine-tune a pretrained encoder to classify text: with LoRA, or with one of the arms it is compared with.

python -m projects.lora.scripts.train_lora --rank 16 --lr_ratio 4
python -m projects.lora.scripts.train_lora --dataset movie_reviews --arm full --lr 1e-4
python -m projects.lora.scripts.train_lora --dataset my.csv --text_column question --label_column kind
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from projects.lora.config import Config
from projects.lora.data import Batch, Corpus, Texts, load_corpus
from projects.lora.evaluate import logits_of, score
from projects.lora.models.classifier import Classifier
from projects.lora.models.lora import inject_lora
from projects.lora.probe import fit_probe
from projects.lora.utils.state_utils import write_lora_state
from shared import devices, optim
from shared.assets import load_encoder
from shared.errors import command
from shared.files import write_json
from shared.progress import table, track
from shared.run_directories import claim, new_directory
from shared.runs import Run, open_checkpoint, verified_tensors
from shared.seeding import seed_everything
from shared.tensors import load_trainable, trainable_state


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Result of a run.

    Attributes:
        accuracy: On the test split, 0 to 1; `macro_f1` too.
        validation_accuracy: Best over the epochs; its epoch's weights are the ones tested.
        trained: Number of trainable parameters.
        parameters: Number of all parameters.
        steps: Optimizer steps done.
        seconds: Training and validation, without set-up and test.
    """

    directory: Path
    accuracy: float
    macro_f1: float
    validation_accuracy: float
    trained: int
    parameters: int
    steps: int
    seconds: float


def main(config: Config) -> Metrics:
    """Fine-tune a pretrained encoder to classify text, with LoRA or one of the arms it is compared with."""
    directory = config.out or new_directory(Path("runs"), "lora", config.name)
    claim(directory, resume=config.resume)
    devices.use_all_cores()
    device = devices.pick(config.device)
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    seed_everything(config.seed)
    model = build(config, encoder, len(corpus.classes)).to(device)
    with Run(directory, project="lora", config=config, resume=config.resume, data=corpus.digest()) as run:
        started = time.perf_counter()
        step, validated = probe(model, corpus, run) if config.arm == "head" else train(config, model, corpus, run)
        metrics = evaluate_test(model, corpus.test, run, step, validated, time.perf_counter() - started)
        if config.arm == "lora" and not (directory / "adapter").exists():
            with run.sealed("adapter", step) as folder:
                write_lora_state(model, folder)
    write_json(directory / "result.json", {k: v for k, v in vars(metrics).items() if k != "directory"})
    return metrics


def evaluate_test(model: Classifier, texts: Texts, run: Run, step: int, validated: float, seconds: float) -> Metrics:
    """Score the test split, once, and log it with what training came to."""
    tested = score(logits_of(model, texts), texts.labels)
    trained, parameters = optim.count_parameters(model)
    size = {"trained": trained, "parameters": parameters}
    run.log(step, test_accuracy=tested.accuracy, test_macro_f1=tested.macro_f1, **size, seconds=seconds)
    return Metrics(
        directory=run.directory,
        accuracy=tested.accuracy,
        macro_f1=tested.macro_f1,
        validation_accuracy=validated,
        **size,
        steps=step,
        seconds=seconds,
    )


def read_corpus(config: Config, tokenizer: object) -> Corpus:
    """The configuration's dataset, tokenised."""
    return load_corpus(
        config.dataset,
        tokenizer,
        max_length=config.max_length,
        limit=config.limit,
        text_column=config.text_column,
        label_column=config.label_column,
    )


def build(config: Config, encoder: PreTrainedModel, num_classes: int) -> Classifier:
    """The classifier with exactly the parameters trainable that the arm trains."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # the classifier reads the mean of the tokens: these weights would be counted, not used
    model = Classifier(encoder, encoder.config.hidden_size, num_classes)
    if config.arm == "lora":
        inject_lora(
            encoder,
            config.targets,
            rank=config.rank,
            alpha=config.alpha,
            dropout=config.lora_dropout,
            scaling=config.scaling,
        )
    elif config.arm == "peft":
        inject_peft(config, encoder)
    else:
        encoder.requires_grad_(config.arm == "full")
    return model


def inject_peft(config: Config, encoder: nn.Module) -> None:
    """The same update by the PEFT library, for the side-by-side."""
    import peft

    peft_config = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.scaling == "alpha/sqrt(r)",
        target_modules=list(config.targets),
    )
    encoder.requires_grad_(False)
    peft.inject_adapter_in_model(peft_config, encoder)


def parameter_groups(config: Config, model: nn.Module) -> list[dict[str, object]]:
    """Rates apart for A, B, the head, and (arm full) the encoder. B gets the higher one: LoRA+ (Hayou et al. 2024)."""
    rates = {
        "head": (lambda name: name.startswith("head."), config.head_lr),
        "A": (lambda name: name.endswith((".A", ".lora_A.default.weight")), config.lr),
        "B": (lambda name: name.endswith((".B", ".lora_B.default.weight")), config.lr * config.lr_ratio),
        "encoder": (lambda name: name.startswith("encoder."), config.lr),
    }
    return optim.parameter_groups(model, rates, weight_decay=config.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training is between two epochs: what a checkpoint needs beside the tensors.

    Attributes:
        epoch: Epochs done.
        best: Best validation accuracy so far, reached after `best_step` steps.
        stale: Epochs since then; early stopping compares it with the patience.
    """

    epoch: int = 0
    best: float = -1.0
    best_step: int = 0
    stale: int = 0

    def after(self, accuracy: float, step: int) -> "Progress":
        """One epoch on."""
        if accuracy > self.best:
            return Progress(epoch=self.epoch + 1, best=accuracy, best_step=step)
        return replace(self, epoch=self.epoch + 1, stale=self.stale + 1)


def train(config: Config, model: Classifier, corpus: Corpus, run: Run) -> tuple[int, float]:
    """Train, keep the epoch that is best on validation. Returns (steps done, its validation accuracy)."""
    optimizer = AdamW(parameter_groups(config, model))
    steps_per_epoch = -(-len(corpus.train) // config.batch_size)
    total = steps_per_epoch * config.epochs
    schedule = optim.linear_schedule(optimizer, total=total, warmup=config.warmup)
    step, progress = run.step, Progress()
    if run.checkpoint:
        progress = Progress(**run.restore(lambda tensors: load_trainable(model, tensors), optimizer, schedule))
    while progress.epoch < config.epochs and progress.stale < config.patience:
        model.train()
        batches = corpus.train.shuffled_batches(config.batch_size, seed=config.seed, epoch=progress.epoch)
        for batch in track(
            batches, description=f"{run.directory.name} epoch {progress.epoch + 1}", total=steps_per_epoch
        ):
            loss, grad_norm = training_step(config, model, optimizer, batch)
            schedule.step()
            step += 1
            run.log(step, loss=loss, grad_norm=grad_norm, lr=float(schedule.get_last_lr()[0]))
        validated = score(logits_of(model, corpus.validation), corpus.validation.labels)
        run.log(step, validation_accuracy=validated.accuracy, validation_macro_f1=validated.macro_f1)
        progress = progress.after(validated.accuracy, step)
        run.save(step, trainable_state(model), optimizer=optimizer, schedule=schedule, extra=asdict(progress))
        run.keep_checkpoints(progress.best_step, step)
    load_trainable(model, verified_tensors(run.checkpoint_path(progress.best_step), run.key))
    return step, progress.best


def training_step(config: Config, model: Classifier, optimizer: Optimizer, batch: Batch) -> tuple[float, float]:
    """One update. Returns (mean loss before it, norm of the gradient before clipping)."""
    device = model.head.weight.device
    losses = []

    def summed(part: Batch) -> torch.Tensor:
        loss = F.cross_entropy(model(part.input_ids, part.attention_mask), part.labels, reduction="sum")
        losses.append(loss.item())
        return loss

    parts = batch.to(device).split(min(config.accumulation, len(batch.labels)))
    terms = ((summed(part), len(part.labels)) for part in parts)
    grad_norm = optim.accumulated_step(optimizer, terms, total=len(batch.labels), max_norm=config.max_norm)
    return sum(losses) / len(batch.labels), grad_norm


def probe(model: Classifier, corpus: Corpus, run: Run) -> tuple[int, float]:
    """The arm `head`: a convex problem, solved at once. Returns (0 steps, validation accuracy)."""
    if run.checkpoint:  # solved, and stopped before the test
        load_trainable(model, verified_tensors(run.checkpoint, run.key))
        return 0, json.loads(open_checkpoint(run.checkpoint, run.key).read("state.json"))["extra"][
            "validation_accuracy"
        ]
    fitted = fit_probe(model, corpus.train, corpus.validation)
    run.log(0, **fitted)
    run.save(0, trainable_state(model), extra=fitted)
    return 0, fitted["validation_accuracy"]


def report(metrics: Metrics) -> None:
    """Print what a run came to."""
    share = f"{metrics.trained:,} ({metrics.trained / metrics.parameters:.2%})"
    row = (metrics.accuracy, metrics.macro_f1, metrics.validation_accuracy, share, f"{metrics.seconds:.0f} s")
    table(
        str(metrics.directory),
        ["test accuracy", "macro-F1", "validation accuracy", "trained parameters", "time"],
        [row],
    )


if __name__ == "__main__":
    report(command(main, Config))
