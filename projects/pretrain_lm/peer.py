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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from projects.pretrain_lm.data.clean_corpus import CorpusConfig, require_same, texts_of
from projects.pretrain_lm.data.clean_corpus import main as clean
from projects.pretrain_lm.data.vocabulary import SPECIAL, Vocabulary
from projects.pretrain_lm.models.transformer_lm import Size, TransformerLM
from shared import checks, devices, optim
from shared.errors import UserError, command
from shared.files import write_json, write_text
from shared.progress import track
from shared.runs import Run, claim, new_directory, read_json
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
    """Of each attention."""
    width: int = 128
    """Of the hidden states."""
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
    """Of initial weights and windows."""
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
    """Train one arm. Returns what it came to."""
    claim(config.out)
    devices.use_all_cores()
    text, vocabulary, digest = read_text(config)
    loop = Loop(config, text["train"], len(vocabulary))
    directory = config.out or new_directory(Path("runs"), "pretrain_lm", f"peer-{config.arm}-seed{config.seed}")
    found = math.nan
    with Run(directory, project="pretrain_lm", config=config, data=digest) as run:
        for step in track(range(1, config.steps + 1), description=config.arm, total=config.steps):
            loss = loop.step()
            if step % config.log_every == 0:
                run.log(step, loss=loss)
            if step % config.evaluate_every == 0 or step == config.steps:
                found = validation_loss(loop.scores, text["validation"], config.context)
                run.log(step, validation_loss=found)
        parameters = optim.count_parameters(loop.model)[1]
        result = {"validation_loss": found, "parameters": parameters, "characters": len(vocabulary) - len(SPECIAL)}
        write_json(directory / "result.json", result)
    return result


def read_text(config: PeerConfig) -> tuple[dict[str, Int[Tensor, "..."]], Vocabulary, str]:
    """Tokens of the training and of the validation part of the text, the alphabet, and the digest of both."""
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
    vocabulary = Vocabulary.load(folder)
    parts = {split: "".join(texts_of(corpus, split)) for split in ("train", "validation")}
    tokens = {split: torch.tensor(vocabulary.encode(text)) for split, text in parts.items()}
    return tokens, vocabulary, read_json(folder / "report.json")["digest"]


def write_news(path: Path) -> None:
    """The embedded articles, one after the other, as one plain text of CHARACTERS characters."""
    from shared.assets import news

    text = "\n\n".join(row["text"] for split in news().values() for row in split)
    write_text(path, text[:CHARACTERS])


class Loop:
    """One arm's model, optimizer and windows; `step` is what the benchmark times.

    Args:
        config: The recipe.
        tokens: Of the training text.
        vocabulary: Number of token ids.

    Raises:
        UserError: If the text is shorter than a window.
    """

    def __init__(self, config: PeerConfig, tokens: Int[Tensor, " n"], vocabulary: int) -> None:
        if len(tokens) <= config.context:
            raise UserError(f"{len(tokens)} characters to train on are no more than a window of {config.context}")
        seed_everything(config.seed)
        self.config, self.tokens = config, tokens
        self.model, self.scores = build(config, vocabulary)
        groups = optim.parameter_groups(self.model, {"all": (lambda _: True, config.lr)}, weight_decay=0.1)
        self.optimizer: Optimizer = AdamW(groups, betas=(0.9, 0.99), fused=True)
        self.schedule: LRScheduler = optim.cosine_schedule(self.optimizer, total=config.steps, warmup=0.05, last=0.1)
        self.windows = self._windows()

    def step(self) -> float:
        """One update. Returns the loss before it, in nats a character."""
        ids, labels = next(self.windows)
        loss = F.cross_entropy(self.scores(ids).flatten(0, 1), labels.flatten())
        optim.step(self.optimizer, loss, max_norm=1.0)
        self.schedule.step()
        return loss.item()

    def _windows(self) -> Iterator[tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]]:
        """Random windows and, one further on, their labels: the same for both arms."""
        draw, size = generator(self.config.seed, 6), self.config.context
        offsets = torch.arange(size + 1)
        while True:
            starts = torch.randint(len(self.tokens) - size, (self.config.batch_size, 1), generator=draw)
            window = self.tokens[starts + offsets]
            yield window[:, :-1], window[:, 1:]


Scores = Callable[[Int[Tensor, "b t"]], Float[Tensor, "b t v"]]


def build(config: PeerConfig, vocabulary: int) -> tuple[nn.Module, Scores]:
    """A fresh model and how it scores."""
    if config.arm != "gpt2":
        size = Size(
            vocabulary=vocabulary,
            context=config.context,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            positions="learned" if config.arm == "learned" else "rotary",
            bias=False,
        )
        model = TransformerLM(size)
        return model, model
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=vocabulary,
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
    theirs = GPT2LMHeadModel(shape)
    return theirs, lambda ids: theirs(input_ids=ids).logits


@torch.inference_mode()
def validation_loss(scores: Scores, tokens: Int[Tensor, " n"], context: int) -> float:
    """Mean cross-entropy in nats a character over the whole text, cut into windows one after the other."""
    count = (len(tokens) - 1) // context
    ids = tokens[: count * context].view(count, context)
    labels = tokens[1 : count * context + 1].view(count, context)
    summed = sum(
        F.cross_entropy(scores(some).flatten(0, 1), right.flatten(), reduction="sum").item()
        for some, right in zip(ids.split(64), labels.split(64), strict=True)
    )
    return summed / (count * context)


if __name__ == "__main__":
    command(main, PeerConfig)
