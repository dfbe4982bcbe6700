"""What twenty raters would say of a text: their mean from −4 to 4, from film reviews, the same for all.

    judge = load_judge()
    judge.rate(["A moving, beautifully acted film."])
    judge.correlation, judge.digest

It is trained once (some minutes), on reviews that are for training, and kept beside the converted models. What it says
of a text outside film reviews is extrapolation. Results that rest on it say its digest: two that say another cannot be
compared.
"""

# b texts · t tokens · d width

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from shared import batching, optim
from shared.assets import load_dataset, load_encoder
from shared.assets.conversion import cache_folder, made_once
from shared.errors import UserError
from shared.files import write_json
from shared.progress import track
from shared.seeding import generator, seed_everything

FORMAT = 1
"""Raise it when `train_judge` makes another judge than before."""
LAYERS, LR, HEAD_LR, BATCH, MAX_LENGTH = 3, 3e-4, 3e-3, 32, 64  # the top layers: three times cheaper than all
AT_ONCE = 64
WEIGHTS, SAID = "judge.safetensors", "judge.json"


class Rater(nn.Module):
    """An encoder, the mean of its last hidden states over the real tokens, and a linear head."""

    def __init__(self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # unused here
        self.encoder = encoder.requires_grad_(False)
        self.encoder.encoder.layer[-LAYERS:].requires_grad_(True)
        self.head = nn.Linear(encoder.config.hidden_size, 1)
        self.tokenizer = tokenizer

    def forward(self, texts: Sequence[str]) -> Float[Tensor, " b"]:
        """One score a text; alone or in a batch, it is the same."""
        batch = self.tokenizer(list(texts), truncation=True, padding=True, return_tensors="pt")
        hidden = self.encoder(**batch).last_hidden_state  # (b,t,d)
        weights = batch["attention_mask"][..., None].to(hidden.dtype)
        scores: Float[Tensor, " b"] = self.head((hidden * weights).sum(1) / weights.sum(1))[:, 0]
        return scores

    def trained(self) -> dict[str, Tensor]:
        """The parameters that differ from the pretrained encoder's."""
        return {name: each.detach().contiguous() for name, each in self.named_parameters() if each.requires_grad}


@dataclass(frozen=True)
class Judge:
    """The judge, in evaluation mode.

    Attributes:
        rater: Its model.
        correlation: Pearson's, with the raters' means of `reviews` reviews that it did not learn from.
        digest: SHA-256 of its trained weights.
    """

    rater: Rater
    correlation: float
    reviews: int
    digest: str

    @torch.no_grad()
    def rate(self, texts: Sequence[str]) -> Float[Tensor, " b"]:
        """Scores of texts, about −4 to 4; texts of like length go together."""
        return _rated(self.rater, texts)


def load_judge(model: str = "minilm", *, reviews: int | None = None, after: int = 0) -> Judge:
    """The judge of this machine, trained the first time.

    Args:
        model: The encoder below it.
        reviews: How many of the training reviews it learns from; by default all.
        after: How many of them it leaves out before that: two judges that share no review differ in this.

    Raises:
        UserError: If its weights are not those that were kept, or the cache cannot be written.
    """
    settings = [model, reviews, LAYERS, LR, HEAD_LR, BATCH, MAX_LENGTH, *([after] if after else [])]
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    target = cache_folder() / "models" / f"judge-{name[:16]}-v{FORMAT}"
    folder = made_once(
        target, partial(train_judge, model, reviews, after), notice="training the judge once, some minutes"
    )
    said = json.loads((folder / SAID).read_text(encoding="utf-8"))
    if (digest := _digest(folder / WEIGHTS)) != said["weights"]:
        raise UserError(f"{folder}: the judge's weights changed since it was trained; remove the folder")
    rater = Rater(*load_encoder(model, max_length=MAX_LENGTH))
    rater.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    return Judge(rater.eval(), said["correlation"], said["reviews"], digest)


def train_judge(model: str, reviews: int | None, after: int, folder: Path) -> None:
    """One pass of regression on the raters' means; writes the weights and how well they agree with unseen reviews."""
    data = load_dataset("movie_reviews")
    part = slice(after, None if reviews is None else after + reviews)
    texts, target = list(data["train"]["text"])[part], torch.tensor(list(data["train"]["score"])[part])
    seed_everything(0)
    rater = Rater(*load_encoder(model, max_length=MAX_LENGTH)).train()
    parts = {"head": (lambda name: name.startswith("head."), HEAD_LR), "encoder": (lambda _: True, LR)}
    optimizer = AdamW(optim.parameter_groups(rater, parts, weight_decay=0.01))
    source = generator(0)
    batches = batching.of_like_length(batching.shuffled(len(texts), source), list(map(len, texts)), BATCH, source)
    schedule = optim.linear_schedule(optimizer, total=len(batches))
    for rows in track(batches, description="training the judge", total=len(batches)):
        loss = ((rater([texts[row] for row in rows]) - target[rows]) ** 2).mean()
        optim.step(optimizer, loss, max_norm=1.0)
        schedule.step()
    held_out = data["validation"]
    with torch.no_grad():
        both = torch.stack([_rated(rater.eval(), list(held_out["text"])), torch.tensor(list(held_out["score"]))])
    save_file(rater.trained(), folder / WEIGHTS)
    said = {"correlation": float(torch.corrcoef(both)[0, 1]), "reviews": len(held_out)}
    write_json(folder / SAID, {**said, "weights": _digest(folder / WEIGHTS)})


def _rated(rater: Rater, texts: Sequence[str]) -> Float[Tensor, " b"]:
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    scores = torch.empty(len(texts))
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        scores[rows] = rater([texts[row] for row in rows])
    return scores


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
