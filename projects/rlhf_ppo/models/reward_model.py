"""The reward model: a frozen Transformer and a linear head, fitted to preferences after Bradley and Terry."""

# n pairs · b texts · d hidden size

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from projects.rlhf_ppo.models.text_encoder import TextEncoder
from shared import optim
from shared.errors import UserError


def bradley_terry(chosen: Float[Tensor, " n"], rejected: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """−log σ(r_chosen − r_rejected), the mean over pairs.

    Source: Bradley and Terry 1952; Christiano et al. 2017, "Deep RL from Human Preferences", eq. 1.
    """
    return -F.logsigmoid(chosen - rejected).mean()


class RewardModel(nn.Module):
    """Texts → rewards, of mean 0 and deviation 1 over the texts that it was normalised on.

    Attributes:
        encoder: Frozen; its vectors are whitened by the mean and deviation of the training texts.
        head: d → 1, without a bias: only differences of rewards are ever fitted.
    """

    vector_mean: Float[Tensor, " d"]
    vector_scale: Float[Tensor, " d"]
    reward_mean: Float[Tensor, ""]
    reward_scale: Float[Tensor, ""]

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder = encoder.eval()
        self.head = nn.Linear(encoder.hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)
        self.register_buffer("vector_mean", torch.zeros(encoder.hidden_size))
        self.register_buffer("vector_scale", torch.ones(encoder.hidden_size))
        self.register_buffer("reward_mean", torch.zeros(()))
        self.register_buffer("reward_scale", torch.ones(()))

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Float[Tensor, " b"]:
        """Normalised rewards."""
        return (self.raw(self.encoder.embed(texts)) - self.reward_mean) / self.reward_scale

    def raw(self, vectors: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Rewards before normalisation, of the encoder's vectors."""
        return self.head((vectors - self.vector_mean) / self.vector_scale)[:, 0]

    @torch.no_grad()
    def normalise_inputs(self, vectors: Float[Tensor, "b d"]) -> None:
        """Whiten what the head sees by these vectors' mean and deviation."""
        self.vector_mean.copy_(vectors.mean(0))
        self.vector_scale.copy_(vectors.std(0).clamp(min=1e-6))

    @torch.no_grad()
    def normalise_rewards(self, vectors: Float[Tensor, "b d"]) -> None:
        """Shift and scale so that these texts' rewards have mean 0 and deviation 1."""
        rewards = self.raw(vectors)
        self.reward_mean.copy_(rewards.mean())
        self.reward_scale.copy_(rewards.std().clamp(min=1e-6))


@dataclass(frozen=True)
class Pairs:
    """Vectors of preferred and of rejected texts, row by row."""

    chosen: Float[Tensor, "n d"]
    rejected: Float[Tensor, "n d"]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How fitting went.

    Attributes:
        accuracy: Share of validation pairs whose preferred text got the larger reward.
        loss: Validation loss, the lowest over all steps and candidates.
        decay: Weight decay that gave it.
        steps: Steps after which it was reached.
    """

    accuracy: float
    loss: float
    decay: float
    steps: int


def pair_accuracy(chosen: Float[Tensor, " n"], rejected: Float[Tensor, " n"]) -> float:
    """Share of pairs in the right order; a tie is half right."""
    return ((chosen > rejected).float() + 0.5 * (chosen == rejected).float()).mean().item()


def fit_reward_model(
    model: RewardModel,
    train: Pairs,
    validation: Pairs,
    *,
    lr: float,
    decays: Sequence[float] = (0.01, 0.1, 1.0),
    steps: int = 400,
) -> Fit:
    """Fit the head by AdamW; weight decay and the number of steps are those of the lowest validation loss.

    Args:
        model: Its head and both normalisations are changed.
        decays: Candidates for the weight decay.
        steps: At most so many, over all pairs at once.

    Raises:
        UserError: If there is no pair.
    """
    if len(train.chosen) == 0 or len(validation.chosen) == 0:
        raise UserError("too few comparisons: none is left for training or for validation; raise --pairs")
    model.normalise_inputs(torch.cat([train.chosen, train.rejected]))
    fits = [_fit(model, train, validation, lr, decay, steps) for decay in decays]
    best, weight = min(fits, key=lambda fit: fit[0].loss)
    with torch.no_grad():
        model.head.weight.copy_(weight)
    model.normalise_rewards(torch.cat([train.chosen, train.rejected]))
    return best


def _fit(
    model: RewardModel, train: Pairs, validation: Pairs, lr: float, decay: float, steps: int
) -> tuple[Fit, Tensor]:
    """The best step under one weight decay, with the head's weight there."""
    nn.init.zeros_(model.head.weight)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=lr, weight_decay=decay)
    best = Fit(accuracy=0.5, loss=float("inf"), decay=decay, steps=0)
    weight = model.head.weight.detach().clone()
    for step in range(1, steps + 1):
        optim.step(optimizer, bradley_terry(model.raw(train.chosen), model.raw(train.rejected)))
        with torch.no_grad():
            chosen, rejected = model.raw(validation.chosen), model.raw(validation.rejected)
        loss = bradley_terry(chosen, rejected).item()
        if loss < best.loss:
            best = Fit(accuracy=pair_accuracy(chosen, rejected), loss=loss, decay=decay, steps=step)
            weight = model.head.weight.detach().clone()
    return best, weight
