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
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from projects.pretrain_lm import distributed
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.clean_corpus import main as clean
from projects.pretrain_lm.data.clean_corpus import require_same
from projects.pretrain_lm.data.collator import Batch, CustomDataCollator
from projects.pretrain_lm.data.shards import EpochChunks, batches, count_batches
from projects.pretrain_lm.data.tokenizer import CorpusTokenizer
from projects.pretrain_lm.distributed import Loss, Process
from projects.pretrain_lm.evaluate import Evaluation, distinct, evaluate
from projects.pretrain_lm.models.sampling import Sampling, generate
from projects.pretrain_lm.models.transformer_lm import NO_LABEL, TransformerLM
from shared import devices, optim
from shared.errors import UserError, command
from shared.files import read_json, write_json
from shared.progress import table, track
from shared.run_directories import claim, latest_checkpoint, new_directory
from shared.runs import Run, open_checkpoint, restore, verified_tensors
from shared.seeding import generator, seed_everything
from shared.tensors import trainable_state

EVALUATION_BATCH = 64
SAMPLES, SAMPLE_TOKENS = 16, 60
# Masks of held-out chunks are the same for every run and epoch; four of them ask for more than half of the tokens.
EVALUATION_SEED, EVALUATION_MASKS, EVALUATION_MASK_RATIO = 20_170_201, 4, 0.15


def main(config: Config) -> "Metrics | None":
    """Pretrain a small language model. Returns its metrics (None in all processes but the first)."""
    with distributed.process_group() as process:
        return pretrain(config, process)


def pretrain(config: Config, process: Process) -> "Metrics | None":
    """Prepare the corpus, train and evaluate, as one of the processes."""
    micro_batch_size(config, process)
    if process.rank == 0:
        claim(config.out, resume=config.resume)
        prepare_corpus(config)
    distributed.barrier(process)
    corpus = read_corpus(config)
    seed_everything(config.seed)
    state = new_state(config, corpus, process)
    if process.rank:
        train(config, state, corpus, process, None)
        return None
    directory = config.out or new_directory(Path("runs"), "pretrain_lm", config.name)
    with Run(directory, project="pretrain_lm", config=config, resume=config.resume, data=corpus.digest) as run:
        validation = train(config, state, corpus, process, run)
        return finish(config, state, corpus, validation, run)


# ---------------------------------------------------------------- the corpus


@dataclass(frozen=True)
class Corpus:
    """A cleaned corpus: its folder, its tokenizer, and the report of how it was made."""

    folder: Path
    tokenizer: CorpusTokenizer
    report: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the texts and of how they were cut into chunks."""
        return str(self.report["digest"])

    def num_bytes(self, split: str) -> int:
        """Bytes of a split's texts."""
        return int(self.report["splits"][split]["bytes"])

    def collator(self, config: Config, *, seed: int, epoch: int = 0) -> CustomDataCollator:
        """The collator of a configuration's objective."""
        return CustomDataCollator(
            config.objective,
            vocab_size=len(self.tokenizer),
            pad_id=self.tokenizer.pad_id,
            mask_id=self.tokenizer.mask_id,
            special_ids=(self.tokenizer.end_id,),
            mask_ratio=config.mask_ratio,
            whole_words=config.whole_words,
            seed=seed,
            epoch=epoch,
        )

    def training_batches(self, config: Config, process: Process, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """This process's batches of an epoch, without the first `skip` ones."""
        chunks = EpochChunks(
            self.folder / "chunks" / "train",
            batch_size=micro_batch_size(config, process) * config.accumulation,
            seed=config.seed,
            epoch=epoch,
            skip=skip,
            process=process,
        )
        return iter(batches(chunks, self.collator(config, seed=config.seed, epoch=epoch), workers=config.workers))

    def held_out(self, config: Config, split: str) -> Iterator[Batch]:
        """A split in the order of the files. All masked models get the same masks, whatever they are trained with."""
        chunks = EpochChunks(self.folder / "chunks" / split, batch_size=EVALUATION_BATCH)
        if config.objective == "causal":
            yield from batches(chunks, self.collator(config, seed=0))
            return
        fixed = replace(config, objective="static", mask_ratio=EVALUATION_MASK_RATIO, whole_words=False)
        for mask in range(EVALUATION_MASKS):
            yield from batches(chunks, self.collator(fixed, seed=EVALUATION_SEED + mask))


def prepare_corpus(config: Config) -> None:
    """Clean the corpus unless that is done. A folder that was not named may not hold another one.

    Raises:
        UserError: If it does.
    """
    if not (config.cleaning.out / "report.json").exists():
        clean(config.cleaning)
    elif config.corpus is None:
        require_same(config.cleaning)


def corpus_digest(config: Config) -> str:
    """Digest of a configuration's training data, which is cleaned now unless it has been."""
    prepare_corpus(config)
    return read_corpus(config).digest


def read_corpus(config: Config) -> Corpus:
    """The cleaned corpus that the configuration names.

    Raises:
        UserError: If it was cut for another context.
    """
    folder = config.cleaning.out
    made = read_json(folder / "corpus.json")
    if made["context"] != config.context:
        raise UserError(f"{folder} is cut for a context of {made['context']}, not {config.context}")
    return Corpus(folder, CorpusTokenizer.load(folder), read_json(folder / "report.json"))


# ---------------------------------------------------------------- training


@dataclass
class TrainState:
    """What training changes, and what a checkpoint brings back.

    Attributes:
        loss: The model's loss.
        parallel_loss: The same, its gradients averaged over the processes.
        steps_per_epoch: Full batches of an epoch.
        total_steps: Steps at whose end the schedule ends.
        step: Optimizer steps done.
        tokens: Labels trained on.
    """

    model: TransformerLM
    loss: Loss
    parallel_loss: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    steps_per_epoch: int
    total_steps: int
    step: int = 0
    tokens: int = 0

    def end_of_epoch(self, epoch: int) -> int:
        """Steps done when an epoch, counted from 0, is through."""
        return min(self.total_steps, (epoch + 1) * self.steps_per_epoch)


def new_state(config: Config, corpus: Corpus, process: Process) -> TrainState:
    """A new model with its optimizer and schedule.

    Raises:
        UserError: If an epoch has no full batch.
    """
    model = TransformerLM(config.model_config(len(corpus.tokenizer))).to(devices.pick(config.device))
    loss = Loss(model, bfloat16=config.bfloat16)
    folder = corpus.folder / "chunks" / "train"
    per_epoch = count_batches(folder, config.batch_size)
    if not per_epoch:
        raise UserError(f"{folder} holds fewer chunks than one batch of {config.batch_size}: lower --batch_size")
    total = config.steps or per_epoch * config.epochs
    rates = {"all": (lambda _: True, config.lr)}
    groups = optim.parameter_groups(model, rates, weight_decay=config.weight_decay)
    optimizer = AdamW(groups, betas=(0.9, config.beta2), fused=True)
    schedule = optim.cosine_schedule(optimizer, total=total, warmup=config.warmup, last=config.last_lr)
    return TrainState(model, loss, distributed.data_parallel(loss, process), optimizer, schedule, per_epoch, total)


def micro_batch_size(config: Config, process: Process) -> int:
    """Chunks of one micro-batch of one process.

    Raises:
        UserError: If the batch does not divide.
    """
    size, left = divmod(config.batch_size, process.world_size * config.accumulation)
    if left or not size:
        raise UserError(
            f"--batch_size {config.batch_size}: does not divide into {process.world_size} processes "
            f"of {config.accumulation} micro-batches"
        )
    return size


def train(config: Config, state: TrainState, corpus: Corpus, process: Process, run: Run | None) -> Evaluation | None:
    """Train to the last step. Returns the last validation; `run` is None in all processes but the first."""
    if config.resume:
        resume(config, state)
    distributed.barrier(process)  # before the first process may remove the checkpoint that another reads
    validation = None
    while state.step < state.total_steps:
        epoch, skip = divmod(state.step, state.steps_per_epoch)
        end = state.end_of_epoch(epoch)
        training_batches = corpus.training_batches(config, process, epoch, skip)
        for batch in shown(islice(training_batches, end - state.step), state, epoch, process):
            logged = train_step(config, state, batch, process)
            if run is not None and state.step % config.log_every == 0:
                run.log(state.step, **logged)
            if run is not None and state.step % config.save_every == 0 and state.step < end:
                save_checkpoint(state, run)
        if run is not None:
            validation = evaluate_epoch(config, state, corpus, epoch + 1, run)
            save_checkpoint(state, run)
    return validation


def train_step(config: Config, state: TrainState, batch: Batch, process: Process) -> dict[str, float]:
    """Update the weights once. Returns loss, gradient norm and rate.

    Every label of the whole batch counts the same, however the batch is divided.
    """
    state.parallel_loss.train()
    labels, summed = float((batch.labels != NO_LABEL).sum()), 0.0
    (all_labels,) = distributed.all_reduce_sum(process, labels)
    for micro_batch in split_batch(batch, config.accumulation):
        loss, _ = state.parallel_loss(micro_batch)
        # DistributedDataParallel takes the mean over processes; the sum is wanted.
        (loss * process.world_size / all_labels).backward()
        summed += loss.item()
    (mean,) = distributed.all_reduce_sum(process, summed / all_labels)
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.max_norm)
    lr = state.optimizer.param_groups[0]["lr"]
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.schedule.step()
    state.step += 1
    state.tokens += int(all_labels)
    return {"loss": mean, "grad_norm": float(norm), "lr": lr}


def split_batch(batch: Batch, pieces: int) -> list[Batch]:
    """Micro-batches of equal size."""
    masks = [None] * pieces if batch.attention_mask is None else batch.attention_mask.tensor_split(pieces)
    parts = zip(batch.input_ids.tensor_split(pieces), batch.labels.tensor_split(pieces), masks, strict=True)
    return [Batch(*part) for part in parts]


def shown(stream: Iterable[Batch], state: TrainState, epoch: int, process: Process) -> Iterable[Batch]:
    """The batches of an epoch, in the first process with a progress bar."""
    if process.rank:
        return stream
    start = epoch * state.steps_per_epoch
    total = state.end_of_epoch(epoch) - start
    return track(stream, description=f"epoch {epoch + 1}", total=total, done=state.step - start)


def evaluate_epoch(config: Config, state: TrainState, corpus: Corpus, epoch: int, run: Run) -> Evaluation:
    """Evaluate on validation and log it, with the diversity of samples if the model is causal."""
    found = evaluate(state.loss, corpus.held_out(config, "validation"))
    logged = {"validation_loss": found.loss, "validation_perplexity": found.perplexity}
    if state.model.config.causal:
        bits = found.bits_per_byte(corpus.num_bytes("validation"))
        logged |= {"validation_bits_per_byte": bits} | log_samples(config, state, corpus, epoch, run)
    run.log(state.step, epoch=epoch, **logged)
    return found


def log_samples(config: Config, state: TrainState, corpus: Corpus, epoch: int, run: Run) -> dict[str, float]:
    """Write samples from the end mark alone, which begins every document. Returns their diversity."""
    tokenizer = corpus.tokenizer
    device = state.model.token_embedding.weight.device
    samples = generate(
        state.model.eval(),
        torch.full((SAMPLES, 1), tokenizer.end_id, device=device),
        new_tokens=SAMPLE_TOKENS,
        sampling=Sampling(top_p=0.9),
        generator=generator(config.seed, epoch, 4),
        suppressed=(tokenizer.pad_id, tokenizer.mask_id, tokenizer.end_id),
    ).tolist()
    run.text(state.step, "samples", "\n\n".join(tokenizer.decode(ids) for ids in samples[:4]))
    return {f"distinct_{n}": distinct(samples, n, SAMPLE_TOKENS) for n in (1, 2)}


# ---------------------------------------------------------------- checkpoints


def save_checkpoint(state: TrainState, run: Run) -> None:
    """Save everything that `resume` needs, and remove the checkpoint before."""
    weights = trainable_state(state.model)  # the tied matrix once
    extra = {"step": state.step, "tokens": state.tokens}
    run.save(state.step, weights, optimizer=state.optimizer, schedule=state.schedule, extra=extra)
    run.keep_checkpoints(state.step)


def resume(config: Config, state: TrainState) -> None:
    """Bring the state to the last checkpoint. Every process reads it: their states stay the same.

    Raises:
        UserError: If there is none.
    """
    assert config.out is not None, "the configuration was checked"
    checkpoint = latest_checkpoint(config.out)
    if checkpoint is None:
        raise UserError(f"{config.out} holds no checkpoint to resume from: remove it and start again")
    saved = restore(
        open_checkpoint(checkpoint),
        lambda tensors: load_weights(state.model, tensors, checkpoint),
        state.optimizer,
        state.schedule,
    )
    state.step, state.tokens = saved["step"], saved["tokens"]


def load_run(directory: Path) -> tuple[Config, TransformerLM, CorpusTokenizer]:
    """A finished run's configuration, model in evaluation mode, and tokenizer.

    Raises:
        UserError: If there is no checkpoint, or its vocabulary is not that of the corpus.
    """
    saved = read_json(directory / "config.json")
    config = Config(**{**saved, "corpus": Path(saved["corpus"]) if saved["corpus"] else None})
    tokenizer = CorpusTokenizer.load(config.cleaning.out)
    checkpoint = latest_checkpoint(directory)
    if checkpoint is None:
        raise UserError(f"{directory} holds no checkpoint")
    model = TransformerLM(config.model_config(len(tokenizer)))
    load_weights(model, verified_tensors(checkpoint), checkpoint)
    return config, model.eval(), tokenizer


@torch.no_grad()
def load_weights(model: TransformerLM, tensors: dict[str, torch.Tensor], checkpoint: Path) -> None:
    """Copy saved values into the parameters of the same names.

    Raises:
        UserError: If the checkpoint is of another vocabulary, or of another version of the model.
    """
    missing = [name for name, _ in model.named_parameters() if name not in tensors]
    if missing:
        raise UserError(f"{checkpoint} holds no {missing[0]}: another version of the model saved it; train again")
    saved, wanted = len(tensors["token_embedding.weight"]), model.config.vocab_size
    if saved != wanted:
        raise UserError(
            f"{checkpoint} knows {saved} tokens, the corpus's tokenizer has {wanted}: they do not belong together"
        )
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


# ---------------------------------------------------------------- the result


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Result of a run.

    Attributes:
        corpus: Folder of its corpus.
        validation: After the last epoch, as is `test`.
        test_bits_per_byte: 0 for a masked model, which does not spell the text.
        bfloat16: Whether matrix products were done in it.
        tokens: Labels trained on.
    """

    directory: Path
    corpus: Path
    validation: Evaluation
    test: Evaluation
    test_bits_per_byte: float
    bfloat16: bool
    parameters: int
    steps: int
    tokens: int


def finish(config: Config, state: TrainState, corpus: Corpus, validation: Evaluation | None, run: Run) -> Metrics:
    """Evaluate on the test split once, log, and write result.json."""
    test = evaluate(state.loss, corpus.held_out(config, "test"))
    bits = test.bits_per_byte(corpus.num_bytes("test")) if state.model.config.causal else 0.0
    run.log(state.step, test_loss=test.loss, test_perplexity=test.perplexity, test_bits_per_byte=bits)
    metrics = Metrics(
        directory=run.directory,
        corpus=corpus.folder,
        validation=validation or evaluate(state.loss, corpus.held_out(config, "validation")),
        test=test,
        test_bits_per_byte=bits,
        bfloat16=config.bfloat16,
        parameters=optim.count_parameters(state.model)[1],
        steps=state.step,
        tokens=state.tokens,
    )
    result = {name: value for name, value in asdict(metrics).items() if name not in ("directory", "corpus")}
    write_json(run.directory / "result.json", {**result, "test_perplexity": test.perplexity})
    return metrics


def report(metrics: Metrics | None) -> None:
    """Print the result of a run."""
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
