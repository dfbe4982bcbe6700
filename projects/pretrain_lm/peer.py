"""nanoGPT's recipe for a CPU: our model beside transformers' GPT2LMHeadModel of the same size, in the same plain loop.

All arms read the same random windows of one plain text, character by character, and learn by the same AdamW, schedule
and clipping. Only the model differs: GPT-2 has learned positions and biases, ours (as in our other runs) rotary
positions and, as in nanoGPT's recipe, no biases. The third arm is ours with learned positions, so that what the
rotary ones do is told apart from the rest.

python -m projects.pretrain_lm.peer --arm ours --seed 1
python -m projects.pretrain_lm.peer --arm gpt2 --dataset tiny_shakespeare.txt
"""

# b windows · t time · v characters

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from projects.pretrain_lm.data.clean_corpus import CorpusConfig, require_same, texts_of
from projects.pretrain_lm.data.clean_corpus import main as clean
from projects.pretrain_lm.data.tokenizer import SPECIAL, CorpusTokenizer
from projects.pretrain_lm.models.transformer_lm import ModelConfig, TransformerLM
from shared import checks, devices, optim
from shared.errors import UserError, command
from shared.files import read_json, write_json, write_text
from shared.progress import track
from shared.run_directories import claim, new_directory
from shared.runs import Run
from shared.seeding import generator, seed_everything

Arm = Literal["ours", "learned", "gpt2"]
ARMS: tuple[Arm, ...] = ("ours", "gpt2")  # of the table
CHARACTERS = 1_115_394  # as many as nanoGPT's text has


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """Train a small character model by nanoGPT's recipe for a CPU."""

    arm: Arm = "ours"
    """ours (rotary positions), learned (ours with learned positions), or gpt2: transformers' GPT2LMHeadModel."""
    dataset: str = "news"
    """A plain text file, or news: the embedded articles' first characters, written out as such a file."""
    layers: int = 4
    """Blocks."""
    heads: int = 4
    """Attention heads of a block."""
    width: int = 128
    """Width of the hidden states."""
    context: int = 64
    """Characters of a window."""
    batch_size: int = 12
    """Windows a step."""
    steps: int = 2000
    """Updates."""
    lr: float = 1e-3
    """Highest rate, after 5 % of the steps; a tenth of it at the end of the cosine."""
    log_every: int = 10
    """Steps between two lines of the loss in the log."""
    evaluate_every: int = 500
    """Steps between two validations."""
    seed: int = 0
    """Seeds initial weights and windows."""
    corpora: Path = Path("runs/pretrain_lm/corpora")
    """Where the text is kept as tokens."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/pretrain_lm/."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "layers", "heads", "width", "context", "batch_size")
        checks.at_least(self, 1, "steps", "log_every", "evaluate_every")
        checks.positive(self, "lr")


def main(config: PeerConfig) -> dict[str, Any]:
    """Train one arm. Returns its validation loss and its size."""
    claim(config.out)
    devices.use_all_cores()
    text, tokenizer, digest = read_text(config)
    model, logits = build(config, len(tokenizer))
    losses = training_losses(config, model, logits, random_windows(config, text["train"]))
    directory = config.out or new_directory(Path("runs"), "pretrain_lm", f"peer-{config.arm}-seed{config.seed}")
    found = math.nan
    with Run(directory, project="pretrain_lm", config=config, data=digest) as run:
        for step in track(range(1, config.steps + 1), description=config.arm, total=config.steps):
            loss = next(losses)
            if step % config.log_every == 0:
                run.log(step, loss=loss)
            if step % config.evaluate_every == 0 or step == config.steps:
                found = validation_loss(logits, text["validation"], config.context)
                run.log(step, validation_loss=found)
        parameters = optim.count_parameters(model)[1]
        result = {"validation_loss": found, "parameters": parameters, "characters": len(tokenizer) - len(SPECIAL)}
        write_json(directory / "result.json", result)
    return result


def read_text(config: PeerConfig) -> tuple[dict[str, Int[Tensor, "..."]], CorpusTokenizer, str]:
    """Tokens of the training and of the validation part of the text, the tokenizer, and the digest of both."""
    path = Path(config.dataset)
    if config.dataset == "news":
        path = config.corpora / "news.txt"
        if not path.exists():
            write_news(path)
    folder = config.corpora / f"peer-{path.stem}"
    corpus = CorpusConfig(dataset=str(path), tokenizer="char", context=config.context, out=folder)
    if (folder / "report.json").exists():
        require_same(corpus)
    else:
        clean(corpus)
    tokenizer = CorpusTokenizer.load(folder)
    texts = {split: "".join(texts_of(corpus, split)) for split in ("train", "validation")}
    tokens = {split: torch.tensor(tokenizer.encode(text)) for split, text in texts.items()}
    return tokens, tokenizer, read_json(folder / "report.json")["digest"]


def write_news(path: Path) -> None:
    """The embedded articles, one after the other, as one plain text of CHARACTERS characters."""
    from shared.assets import news

    text = "\n\n".join(row["text"] for split in news().values() for row in split)
    write_text(path, text[:CHARACTERS])


Logits = Callable[[Int[Tensor, "b t"]], Float[Tensor, "b t v"]]
Window = tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]  # of a batch: characters, and the next ones


def build(config: PeerConfig, vocab_size: int) -> tuple[nn.Module, Logits]:
    """A new model, and how it computes logits."""
    seed_everything(config.seed)
    if config.arm == "gpt2":
        return build_gpt2(config, vocab_size)
    model = TransformerLM(
        ModelConfig(
            vocab_size=vocab_size,
            context_length=config.context,
            num_layers=config.layers,
            num_heads=config.heads,
            hidden_size=config.width,
            positions="learned" if config.arm == "learned" else "rotary",
            bias=False,
        )
    )
    return model, model


def build_gpt2(config: PeerConfig, vocab_size: int) -> tuple[nn.Module, Logits]:
    """The library's GPT2LMHeadModel of the same size."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=vocab_size,
        n_positions=config.context,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,  # it would keep keys and values that training has no use for
        bos_token_id=1,
        eos_token_id=1,
    )
    gpt2 = GPT2LMHeadModel(shape)
    return gpt2, lambda ids: gpt2(input_ids=ids).logits


def training_losses(config: PeerConfig, model: nn.Module, logits: Logits, windows: Iterable[Window]) -> Iterator[float]:
    """Train, one step a loss: that of its batch before the update, in nats a character."""
    optimizer = optimizer_of(config, model)
    schedule = optim.cosine_schedule(optimizer, total=config.steps, warmup=0.05, last=0.1)
    for ids, labels in windows:
        loss = F.cross_entropy(logits(ids).flatten(0, 1), labels.flatten())
        optim.step(optimizer, loss, max_norm=1.0)
        schedule.step()
        yield loss.item()


def optimizer_of(config: PeerConfig, model: nn.Module) -> Optimizer:
    """AdamW as nanoGPT sets it, the same for every arm."""
    groups = optim.parameter_groups(model, {"all": (lambda _: True, config.lr)}, weight_decay=0.1)
    return AdamW(groups, betas=(0.9, 0.99), fused=True)


def random_windows(config: PeerConfig, tokens: Int[Tensor, " n"]) -> Iterator[Window]:
    """Random windows and, one further on, their labels: the same for every arm.

    Raises:
        UserError: If the text is no longer than a window.
    """
    last = len(tokens) - config.context
    if last < 1:
        raise UserError(f"{len(tokens)} characters to train on are no more than a window of {config.context}")
    random, offsets, shape = generator(config.seed, 6), torch.arange(config.context + 1), (config.batch_size, 1)
    drawn = (tokens[torch.randint(last, shape, generator=random) + offsets] for _ in count())
    return ((window[:, :-1], window[:, 1:]) for window in drawn)


@torch.inference_mode()
def validation_loss(logits: Logits, tokens: Int[Tensor, " n"], context: int) -> float:
    """Mean cross-entropy in nats a character over the whole text, cut into windows one after the other."""
    rows = (len(tokens) - 1) // context
    ids = tokens[: rows * context].view(rows, context)
    labels = tokens[1 : rows * context + 1].view(rows, context)
    summed = sum(
        F.cross_entropy(logits(batch).flatten(0, 1), targets.flatten(), reduction="sum").item()
        for batch, targets in zip(ids.split(64), labels.split(64), strict=True)
    )
    return summed / (rows * context)


if __name__ == "__main__":
    command(main, PeerConfig)
