"""Association discrepancy: an anomaly finds it hard to attend beyond its neighbours.

Source: Xu et al. 2022, "Anomaly Transformer", ICLR, eq. 2 to 6. Departure: tokens are patches, and only the last
point of a window is scored, so that the score streams; in TSB-AD's tables this model is last, which is said beside
ours.
"""

# b batch · h heads · n points of a window · p points of a patch · t tokens · d width

import torch
from jaxtyping import Float
from torch import Tensor, nn

from projects.ts_anomaly.models.attention import full_attention
from projects.ts_anomaly.models.encoder import FEATURES, features, patched

SMALL = 1e-4


class AnomalyAttention(nn.Module):
    """Attention that gives its weights (the series association) beside a Gaussian of learned width (the prior)."""

    bias: Tensor
    distance: Tensor

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.sigma_proj = nn.Linear(width, heads)
        self.register_buffer("bias", torch.zeros(heads, tokens))
        place = torch.arange(tokens)
        self.register_buffer("distance", (place[:, None] - place[None, :]).abs().float())

    def forward(self, x: Float[Tensor, "b t d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Attended states (b, t, d), prior and series association, each (b, h, t, t) with rows that sum to 1."""
        b, t, d = x.shape
        query, key, value = self.qkv_proj(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended, series = full_attention(query, key, value, self.bias, causal=False)
        sigma = 3 ** (torch.sigmoid(5 * self.sigma_proj(x)) + 1e-5) - 1  # as the authors bound it: 0 to 2
        sigma = sigma.permute(0, 2, 1)[..., None]  # (b, h, t, 1)
        prior = torch.exp(-(self.distance**2) / (2 * sigma**2)) / sigma
        return self.out_proj(attended.transpose(1, 2).reshape(b, t, d)), prior / prior.sum(-1, keepdim=True), series


def discrepancy(prior: Float[Tensor, "b h t t"], series: Float[Tensor, "b h t t"]) -> Float[Tensor, "b t"]:
    """Symmetric Kullback–Leibler divergence of prior and series association, mean over heads (eq. 3)."""

    def divergence(p: Tensor, q: Tensor) -> Tensor:
        return (p * ((p + SMALL).log() - (q + SMALL).log())).sum(-1)

    return (divergence(prior, series) + divergence(series, prior)).mean(1)


class Association(nn.Module):
    """Reconstruction with anomaly attention. Arguments as for `Masked`."""

    def __init__(self, length: int = 64, patch: int = 4, width: int = 48, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.length, self.patch = length, patch
        self.embed = nn.Linear(patch * FEATURES, width)
        self.attention = nn.ModuleList(AnomalyAttention(width, heads, length // patch) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)) for _ in range(layers)
        )
        self.position_embedding = nn.Parameter(0.02 * torch.randn(length // patch, width))
        self.head = nn.Linear(width, patch)

    def forward(self, values: Float[Tensor, "b n"]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Reconstruction (b, n), and the associations of each layer."""
        x = self.embed(patched(features(values), self.patch)) + self.position_embedding
        priors, series = [], []
        for number, (attention, mlp) in enumerate(zip(self.attention, self.mlps, strict=True)):
            attended, prior, own = attention(self.norms[2 * number](x))
            x = x + attended
            x = x + mlp(self.norms[2 * number + 1](x))
            priors.append(prior)
            series.append(own)
        return self.head(x).flatten(1), priors, series

    def losses(self, values: Float[Tensor, "b n"], weight: float = 3.0) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Minimax (eq. 5): the prior moves towards the series association, then that one away from the prior.

        Both are to be minimised, the first with respect to the prior alone, the second to all else.
        """
        rebuilt, priors, series = self(values)
        points = features(values)
        error = (((rebuilt - points[..., 0]) ** 2) * (1 - points[..., 1])).mean()
        near = torch.stack([discrepancy(p, s.detach()).mean() for p, s in zip(priors, series, strict=True)]).mean()
        far = torch.stack([discrepancy(p.detach(), s).mean() for p, s in zip(priors, series, strict=True)]).mean()
        return error + weight * near, error - weight * far

    def score(self, values: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """Error of the last point, times the softmax over tokens of minus the discrepancy (eq. 6)."""
        rebuilt, priors, series = self(values)
        apart = torch.stack([discrepancy(p, s) for p, s in zip(priors, series, strict=True)]).mean(0)
        error = (rebuilt[:, -1] - features(values)[:, -1, 0]) ** 2
        return torch.where(values[:, -1].isnan(), 0.0, torch.softmax(-apart, -1)[:, -1] * error)
