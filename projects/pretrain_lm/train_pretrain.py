"""Pretrain a small language model: clean the corpus if that is not done, train, evaluate and write samples each epoch.

python -m projects.pretrain_lm.train_pretrain --epochs 4
python -m projects.pretrain_lm.train_pretrain --objective static --mask_ratio 0.3
python -m projects.pretrain_lm.train_pretrain --dataset one.txt --tokenizer char --context 64 --width 128
torchrun --nproc-per-node 2 -m projects.pretrain_lm.train_pretrain --out runs/pretrain_lm/two
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from projects.pretrain_lm import distributed
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.clean_corpus import main as clean
from projects.pretrain_lm.data.clean_corpus import require_same
from projects.pretrain_lm.data.collator import Batch, CustomDataCollator
from projects.pretrain_lm.data.shards import Chunks, Part, batches, count_batches
from projects.pretrain_lm.data.vocabulary import Vocabulary
from projects.pretrain_lm.distributed import Loss
from projects.pretrain_lm.evaluate import Prediction, distinct, predict
from projects.pretrain_lm.models.sampling import Sampling, generate
from projects.pretrain_lm.models.transformer_lm import TransformerLM
from shared import devices, optim
from shared.errors import UserError, command
from shared.files import write_json
from shared.progress import table, track
from shared.runs import (
    Run,
    claim,
    latest_checkpoint,
    new_directory,
    open_checkpoint,
    read_json,
    restore,
    trainable_state,
    verified_tensors,
)
from shared.seeding import generator, seed_everything

EVALUATION_BATCH = 64
SAMPLES, SAMPLE_TOKENS = 16, 60
ALONE = Part()
# Masks of held-out chunks are the same for every run and epoch; four of them ask for more than half of the tokens.
SEED_OF_EVALUATION, MASKS_OF_EVALUATION, MASK_RATIO_OF_EVALUATION = 20_170_201, 4, 0.15


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a run came to.

    Attributes:
        directory: Of the run.
        corpus: Folder of its corpus.
        validation: Of the last epoch, as is `test`.
        test: See `validation`.
        test_bits_per_byte: 0 for a masked model, which does not spell the text.
        bfloat16: Whether matrix products were done in it.
        parameters: Of the model.
        steps: Optimizer steps done.
        tokens: Labels that were learned from.
    """

    directory: Path
    corpus: Path
    validation: Prediction
    test: Prediction
    test_bits_per_byte: float
    bfloat16: bool
    parameters: int
    steps: int
    tokens: int


@dataclass(frozen=True)
class Corpus:
    """A cleaned corpus, as a process sees it.

    Attributes:
        folder: Where it is.
        vocabulary: Its tokenizer.
        report: How it was made.
        part: The share of this process.
    """

    folder: Path
    vocabulary: Vocabulary
    report: dict[str, Any]
    part: Part

    def collator(self, config: Config, *, seed: int) -> CustomDataCollator:
        """For one split."""
        return CustomDataCollator(
            config.objective,
            vocabulary=len(self.vocabulary),
            padding=self.vocabulary.pad,
            mask=self.vocabulary.mask,
            special=(self.vocabulary.end,),
            ratio=config.mask_ratio,
            whole_words=config.whole_words,
            seed=seed,
        )

    def held_out(self, config: Config, split: str) -> Iterator[Batch]:
        """A split in the order of the files. Of every masked model the same is asked, whatever it learned by."""
        chunks = Chunks(self.folder / "chunks" / split, batch=EVALUATION_BATCH)
        if config.objective == "causal":
            yield from batches(chunks, self.collator(config, seed=0))
            return
        fixed = replace(config, objective="static", mask_ratio=MASK_RATIO_OF_EVALUATION, whole_words=False)
        for mask in range(MASKS_OF_EVALUATION):
            yield from batches(chunks, self.collator(fixed, seed=SEED_OF_EVALUATION + mask))


def main(config: Config) -> Metrics | None:
    """Pretrain a small language model. Returns what it came to (None in all processes but the first)."""
    with distributed.processes() as part:
        return pretrain(config, part)


def pretrain(config: Config, part: Part) -> Metrics | None:
    """`main`, as one of the processes."""
    share_of(config, part)
    if part.rank == 0:
        claim(config.out, resume=config.resume)
        prepare(config)
    distributed.wait(part)
    corpus = read_corpus(config, part)
    seed_everything(config.seed)
    model = TransformerLM(config.size(len(corpus.vocabulary))).to(devices.pick(config.device))
    trainer = Trainer(config, model, corpus)
    if part.rank:
        trainer.train(None)
        return None
    directory = config.out or new_directory(Path("runs"), "pretrain_lm", config.name)
    digest = str(corpus.report["digest"])
    with Run(directory, project="pretrain_lm", config=config, resume=config.resume, data=digest) as run:
        trainer.train(run)
        return finish(trainer, run)


def prepare(config: Config) -> None:
    """Clean the corpus unless that is done. A folder that was not named may not hold another one.

    Raises:
        UserError: If it does.
    """
    if not (config.cleaning.out / "report.json").exists():
        clean(config.cleaning)
    elif config.corpus is None:
        require_same(config.cleaning)


def corpus_digest(config: Config) -> str:
    """Digest of what a configuration learns from, which is cleaned now unless it has been."""
    prepare(config)
    return str(read_corpus(config).report["digest"])


def read_corpus(config: Config, part: Part = ALONE) -> Corpus:
    """The cleaned corpus that the configuration names.

    Raises:
        UserError: If it was cut for another context.
    """
    folder = config.cleaning.out
    made = read_json(folder / "corpus.json")
    if made["context"] != config.context:
        raise UserError(f"{folder} is cut for a context of {made['context']}, not {config.context}")
    return Corpus(folder, Vocabulary.load(folder), read_json(folder / "report.json"), part)


def share_of(config: Config, part: Part) -> int:
    """Chunks of one micro-batch of one process.

    Raises:
        UserError: If the batch does not divide.
    """
    share, left = divmod(config.batch_size, part.world * config.accumulation)
    if left or not share:
        raise UserError(
            f"--batch_size {config.batch_size}: does not divide into {part.world} processes "
            f"of {config.accumulation} micro-batches"
        )
    return share


class Trainer:
    """The loop, and what it needs between two steps.

    Args:
        config: Of the run.
        model: On its device.
        corpus: As this process sees it.

    Raises:
        UserError: If a batch cannot be divided, or an epoch has no full batch.
    """

    def __init__(self, config: Config, model: TransformerLM, corpus: Corpus) -> None:
        self.config, self.model, self.corpus, self.part = config, model, corpus, corpus.part
        share = share_of(config, self.part)
        self.loss = Loss(model, bfloat16=config.bfloat16)
        self.learned = distributed.shared(self.loss, self.part)
        train = corpus.folder / "chunks" / "train"
        self.chunks = Chunks(train, batch=share * config.accumulation, seed=config.seed, part=self.part)
        self.per_epoch = count_batches(train, config.batch_size)
        if not self.per_epoch:
            raise UserError(f"{train} holds fewer chunks than one batch of {config.batch_size}: lower --batch_size")
        self.total = config.steps or self.per_epoch * config.epochs
        rates = {"all": (lambda _: True, config.lr)}
        groups = optim.parameter_groups(model, rates, weight_decay=config.weight_decay)
        self.optimizer = AdamW(groups, betas=(0.9, config.beta2), fused=True)
        self.schedule = optim.cosine_schedule(
            self.optimizer, total=self.total, warmup=config.warmup, last=config.last_lr
        )
        self.step = self.tokens = 0
        self.validation: Prediction | None = None

    def train(self, run: Run | None) -> None:
        """Train to the last step; `run` is None in all processes but the first."""
        if self.config.resume:
            self._resume()
        distributed.wait(self.part)  # before the first process may remove the checkpoint that another reads
        while self.step < self.total:
            epoch, self.chunks.skip = divmod(self.step, self.per_epoch)
            for batch in self._shown(self.batches_of(epoch), epoch):
                self.learn(batch, run)
                if run is not None and self.step % self.config.save_every == 0 and self.step < self._end(epoch):
                    self._save(run)
            self._end_of_epoch(epoch + 1, run)

    def _resume(self) -> None:
        """Go on from the last checkpoint. Every process reads it: what they hold stays the same."""
        assert self.config.out is not None, "the configuration was checked"
        checkpoint = latest_checkpoint(self.config.out)
        if checkpoint is None:
            raise UserError(f"{self.config.out} holds no checkpoint to resume from: remove it and start again")
        saved = restore(
            open_checkpoint(checkpoint),
            lambda tensors: load_parameters(self.model, tensors, checkpoint),
            self.optimizer,
            self.schedule,
        )
        self.step, self.tokens = saved["step"], saved["tokens"]

    def batches_of(self, epoch: int) -> Iterator[Batch]:
        """This process's batches of an epoch, behind those that `chunks.skip` leaves out."""
        collator = self.corpus.collator(self.config, seed=self.config.seed)
        self.chunks.epoch = collator.epoch = epoch
        return iter(batches(self.chunks, collator, workers=self.config.workers))

    def _end(self, epoch: int) -> int:
        """Steps done when an epoch is through."""
        return min(self.total, (epoch + 1) * self.per_epoch)

    def _shown(self, stream: Iterable[Batch], epoch: int) -> Iterator[Batch]:
        """The epoch's batches, equally many in every process, with a bar in the first."""
        left = islice(stream, self._end(epoch) - self.step)
        if self.part.rank:
            return left
        total = self._end(epoch) - epoch * self.per_epoch
        return track(left, description=f"epoch {epoch + 1}", total=total, done=self.chunks.skip)

    def learn(self, batch: Batch, run: Run | None) -> None:
        """One update. Every label of the whole batch counts the same, however it is divided."""
        self.learned.train()
        labels, summed = float((batch.labels != -100).sum()), 0.0
        (all_labels,) = distributed.total(self.part, labels)
        for piece in split(batch, self.config.accumulation):
            loss, _ = self.learned(piece)
            # DistributedDataParallel takes the mean over processes; the sum is wanted.
            (loss * self.part.world / all_labels).backward()
            summed += loss.item()
        (mean,) = distributed.total(self.part, summed / all_labels)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_norm)
        rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.step += 1
        self.tokens += int(all_labels)
        if run is not None and self.step % self.config.log_every == 0:
            run.log(self.step, loss=mean, grad_norm=float(norm), lr=rate)

    def _end_of_epoch(self, epoch: int, run: Run | None) -> None:
        """Validation, and for a causal model samples."""
        if run is None:
            return
        found = self.validation = predict(self.loss, self.corpus.held_out(self.config, "validation"))
        logged = {"validation_loss": found.loss, "validation_perplexity": found.perplexity}
        if self.model.size.causal:
            size = bytes_of(self.corpus, "validation")
            logged |= {"validation_bits_per_byte": found.bits_per_byte(size)} | self._samples(epoch, run)
        run.log(self.step, epoch=epoch, **logged)
        self._save(run)

    def _samples(self, epoch: int, run: Run) -> dict[str, float]:
        """Write samples from the end mark alone, which begins every document. Returns their diversity."""
        vocabulary = self.corpus.vocabulary
        written = generate(
            self.model.eval(),
            torch.full((SAMPLES, 1), vocabulary.end, device=self.model.tokens.weight.device),
            tokens=SAMPLE_TOKENS,
            how=Sampling(top_p=0.9),
            generator=generator(self.config.seed, epoch, 4),
            never=(vocabulary.pad, vocabulary.mask, vocabulary.end),
        ).tolist()
        run.text(self.step, "samples", "\n\n".join(vocabulary.decode(ids) for ids in written[:4]))
        return {f"distinct_{size}": distinct(written, size, SAMPLE_TOKENS) for size in (1, 2)}

    def _save(self, run: Run) -> None:
        state, extra = trainable_state(self.model), {"step": self.step, "tokens": self.tokens}  # the tied matrix once
        run.save(self.step, state, optimizer=self.optimizer, schedule=self.schedule, extra=extra)
        run.keep_checkpoints(self.step)


def split(batch: Batch, pieces: int) -> list[Batch]:
    """Micro-batches of equal size."""
    readable = [None] * pieces if batch.readable is None else batch.readable.tensor_split(pieces)
    parts = zip(batch.ids.tensor_split(pieces), batch.labels.tensor_split(pieces), readable, strict=True)
    return [Batch(*part) for part in parts]


def bytes_of(corpus: Corpus, split_name: str) -> int:
    """Bytes of a split's texts."""
    return int(corpus.report["splits"][split_name]["bytes"])


def finish(trainer: Trainer, run: Run) -> Metrics:
    """Read the test split once, log and report."""
    config, model, corpus = trainer.config, trainer.model, trainer.corpus
    validation = trainer.validation or predict(trainer.loss, corpus.held_out(config, "validation"))
    test = predict(trainer.loss, corpus.held_out(config, "test"))
    bits = test.bits_per_byte(bytes_of(corpus, "test")) if model.size.causal else 0.0
    run.log(trainer.step, test_loss=test.loss, test_perplexity=test.perplexity, test_bits_per_byte=bits)
    metrics = Metrics(
        directory=run.directory,
        corpus=corpus.folder,
        validation=validation,
        test=test,
        test_bits_per_byte=bits,
        bfloat16=config.bfloat16,
        parameters=optim.count_parameters(model)[1],
        steps=trainer.step,
        tokens=trainer.tokens,
    )
    written = {name: asdict(value) if isinstance(value, Prediction) else value for name, value in vars(metrics).items()}
    written["test_perplexity"] = test.perplexity
    write_json(run.directory / "result.json", {k: v for k, v in written.items() if k not in ("directory", "corpus")})
    return metrics


def load(directory: Path) -> tuple[Config, TransformerLM, Vocabulary]:
    """A finished run's configuration, model in evaluation mode, and tokenizer.

    Raises:
        UserError: If there is no checkpoint, or its vocabulary is not that of the corpus.
    """
    saved = read_json(directory / "config.json")
    config = Config(**{**saved, "corpus": Path(saved["corpus"]) if saved["corpus"] else None})
    vocabulary = Vocabulary.load(config.cleaning.out)
    checkpoint = latest_checkpoint(directory)
    if checkpoint is None:
        raise UserError(f"{directory} holds no checkpoint")
    model = TransformerLM(config.size(len(vocabulary)))
    load_parameters(model, verified_tensors(checkpoint), checkpoint)
    return config, model.eval(), vocabulary


@torch.no_grad()
def load_parameters(model: TransformerLM, tensors: dict[str, torch.Tensor], checkpoint: Path) -> None:
    """Copy saved values into the parameters of the same names.

    Raises:
        UserError: If the checkpoint is of another vocabulary.
    """
    known, wanted = len(tensors["tokens.weight"]), model.size.vocabulary
    if known != wanted:
        raise UserError(
            f"{checkpoint} knows {known} tokens, the corpus's tokenizer has {wanted}: they do not belong together"
        )
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def report(metrics: Metrics | None) -> None:
    """Print what a run came to."""
    if metrics is None:
        return
    row = (
        f"{metrics.validation.perplexity:.2f}",
        f"{metrics.test.perplexity:.2f}",
        f"{metrics.test_bits_per_byte:.3f}",
        f"{metrics.parameters:,}",
        f"{metrics.steps:,}",
        f"{metrics.tokens:,}",
    )
    columns = ["validation PPL", "test PPL", "bits per byte", "parameters", "steps", "tokens"]
    table(str(metrics.directory), columns, [row])


if __name__ == "__main__":
    report(command(main, Config))
