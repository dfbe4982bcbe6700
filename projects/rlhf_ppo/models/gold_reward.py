"""The hidden judge: what raters would say of a text, less a fine for short and for repetitive responses.

It plays the people. The reward model sees only its choices, and PPO only the reward model: the gold reward is asked
again after training, to tell what was truly gained from what the reward model was fooled into.
"""

# b texts

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from projects.rlhf_ppo.models.text_encoder import TextEncoder
from shared import batching, optim
from shared.progress import track
from shared.seeding import generator

LAYERS = 3  # of the encoder's top that are trained: three times cheaper than all, and enough
ENOUGH_WORDS = 12  # a response of fewer pays the fine for shortness in proportion


@dataclass(frozen=True)
class GoldScores:
    """The judge's opinion of responses, and what it is made of.

    Attributes:
        total: Sentiment less both fines.
        sentiment: On the scale of the raters' mean, −4 to 4.
        short: 1 for an empty response, 0 from ENOUGH_WORDS words on.
        repeated: Share of the response's word pairs that occurred in it before, 0 to 1.
    """

    total: Float[Tensor, " b"]
    sentiment: Float[Tensor, " b"]
    short: Float[Tensor, " b"]
    repeated: Float[Tensor, " b"]


class GoldReward(nn.Module):
    """An encoder of its own with a regression head, and two rules.

    Attributes:
        short_fine: Points that an empty response costs.
        repeated_fine: Points that a response costs whose word pairs are all repeats.
    """

    def __init__(self, encoder: TextEncoder, *, short_fine: float = 2.0, repeated_fine: float = 4.0):
        super().__init__()
        self.encoder = encoder
        encoder.encoder.encoder.layer[-LAYERS:].requires_grad_(True)
        self.head = nn.Linear(encoder.hidden_size, 1)
        self.short_fine = short_fine
        self.repeated_fine = repeated_fine

    @torch.no_grad()
    def forward(self, prompts: Sequence[str], responses: Sequence[str]) -> GoldScores:
        """Judge responses in the context of their prompts."""
        texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        sentiment = self.head(self.encoder.embed(texts))[:, 0]
        short = torch.tensor([max(0.0, 1 - len(each.split()) / ENOUGH_WORDS) for each in responses])
        repeated = torch.tensor([repetition(each) for each in responses])
        total = sentiment - self.short_fine * short - self.repeated_fine * repeated
        return GoldScores(total, sentiment, short, repeated)


def repetition(text: str) -> float:
    """Share of a text's pairs of neighbouring words that occurred in it before: 1 − distinct-2."""
    words = text.casefold().split()
    pairs = list(itertools.pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def train_gold_reward(
    judge: GoldReward, texts: Sequence[str], scores: Sequence[float], *, lr: float, batch_size: int, seed: int
) -> None:
    """One pass of regression on the raters' means, the top layers and the head; dropout is on meanwhile."""
    target = torch.tensor(scores, dtype=torch.float32)
    groups = optim.parameter_groups(
        judge,
        {"head": (lambda name: name.startswith("head."), 10 * lr), "encoder": (lambda _: True, lr)},
        weight_decay=0.01,
    )
    optimizer = AdamW(groups)
    judge.train()
    source = generator(seed)
    lengths = [len(text) for text in texts]
    batches = batching.of_like_length(batching.shuffled(len(texts), source), lengths, batch_size, source)
    schedule = optim.linear_schedule(optimizer, total=len(batches))
    for rows in track(batches, description="training the judge", total=len(batches)):
        predicted = judge.head(judge.encoder([texts[row] for row in rows]))[:, 0]
        optim.step(optimizer, ((predicted - target[rows]) ** 2).mean(), max_norm=1.0)
        schedule.step()
    judge.eval()
