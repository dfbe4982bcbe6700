"""The plain Transformer of the field: hide patches of a window, reconstruct them, and call anomalous what comes out
wrong.
"""

# b batch · n points of a window · p points of a patch · t tokens · d width

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from projects.ts_anomaly.models.encoder import Encoder, features, patched


class Masked(nn.Module):
    """An encoder that sees a whole window, and a head that reconstructs patches.

    Args:
        length: Points of a window.
        patch: Points of a token.
        width: d.
        layers: Blocks.
        heads: How many attention has.
    """

    def __init__(self, length: int = 64, patch: int = 4, width: int = 48, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.length, self.patch = length, patch
        self.encoder = Encoder(patch, width, layers, heads, length // patch, "full")
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.position_embedding = nn.Parameter(0.02 * torch.randn(length // patch, width))
        self.head = nn.Linear(width, patch)

    def forward(self, values: Float[Tensor, "b n"], hide: Bool[Tensor, "b t"]) -> Float[Tensor, "b n"]:
        """Reconstruction of a window whose hidden patches are not seen; compressed as `features` does."""
        tokens = self.encoder.embed(patched(features(values), self.patch))
        tokens = torch.where(hide[..., None], self.hidden, tokens) + self.position_embedding
        for block in self.encoder.blocks:
            tokens, _ = block(tokens)
        return self.head(self.encoder.norm(tokens)).flatten(1)

    def loss(self, values: Float[Tensor, "b n"], draws: torch.Generator, share: float = 0.3) -> Float[Tensor, ""]:
        """Squared error of hidden points that are no gaps."""
        tokens = self.length // self.patch
        hide = torch.rand(len(values), tokens, generator=draws) < share
        wanted = hide.repeat_interleave(self.patch, 1) & ~values.isnan()
        errors = (self(values, hide) - features(values)[..., 0]) ** 2
        return (errors * wanted).sum() / wanted.sum().clamp(min=1)

    def score(self, values: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """Squared error of the last point, whose patch is hidden; a gap has none."""
        hide = torch.zeros(len(values), self.length // self.patch, dtype=torch.bool)
        hide[:, -1] = True
        errors = (self(values, hide) - features(values)[..., 0]) ** 2
        return torch.where(values[:, -1].isnan(), 0.0, errors[:, -1])
