"""A Transformer over patches of a series: tokens are short stretches, as in PatchTST, and channels share the
weights.
"""

# b batch · n points · p points of a patch · t tokens · d width · h heads · w window in tokens

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from projects.ts_anomaly.models.attention import full_attention, sliding_attention

FEATURES = 2  # of a point: its compressed value, and whether it is a gap
Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of the last tokens, a pair a layer."""


def features(values: Float[Tensor, "b n"]) -> Float[Tensor, "b n f"]:
    """Scaled values with large ones compressed (asinh), gaps as 0 with a flag: a gap is a mask, not a zero."""
    gap = values.isnan()
    return torch.stack([torch.asinh(values.nan_to_num(0.0)), gap.to(values.dtype)], -1)


def patched(points: Float[Tensor, "b n f"], patch: int) -> Float[Tensor, "b t pf"]:
    """Patches without overlap; n is a multiple of `patch`."""
    return points.reshape(points.shape[0], -1, patch * points.shape[2])


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a norm (Xiong et al. 2020).

    Args:
        width: d.
        heads: h, a divisor of d.
        window: w, tokens that a token sees; a bias for each distance.
        kind: "sliding" sees the past alone and streams; "full" sees all tokens of a window.
    """

    def __init__(self, width: int, heads: int, window: int, kind: Literal["sliding", "full"]) -> None:
        super().__init__()
        self.heads, self.kind = heads, kind
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, window))
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(
        self, x: Float[Tensor, "b t d"], past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "b t d"], tuple[Tensor, Tensor]]:
        """New states, and the keys and values that later tokens will see."""
        b, t, d = x.shape
        mixed = self.qkv_proj(self.norm_attention(x)).reshape(b, t, 3, self.heads, d // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # each (b, h, t, d/h)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        if self.kind == "sliding":
            attended = sliding_attention(query, key, value, self.bias)
        else:
            attended, _ = full_attention(query, key, value, self.bias, causal=False)
        x = x + self.out_proj(attended.transpose(1, 2).reshape(b, t, d))
        x = x + self.mlp(self.norm_mlp(x))
        keep = self.bias.shape[1] - 1
        return x, (
            key[:, :, key.shape[2] - min(keep, key.shape[2]) :],
            value[:, :, value.shape[2] - min(keep, value.shape[2]) :],
        )


class Encoder(nn.Module):
    """Patches in, states out.

    Args:
        patch: p, points of a token.
        width: d.
        layers: Blocks.
        heads: h.
        window: w.
        kind: As for `Block`.
        channels: Channels that are mixed in one token; 1 keeps them independent, each a row of the batch.
    """

    def __init__(
        self,
        patch: int = 4,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        window: int = 64,
        kind: Literal["sliding", "full"] = "sliding",
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.patch, self.window = patch, window
        self.embed = nn.Linear(patch * FEATURES * channels, width)
        self.blocks = nn.ModuleList(Block(width, heads, window, kind) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, patches: Float[Tensor, "b t pf"], cache: Cache | None = None
    ) -> tuple[Float[Tensor, "b t d"], Cache]:
        """States of tokens, and the cache with which the next tokens go on."""
        x, kept = self.embed(patches), []
        for number, block in enumerate(self.blocks):
            x, pair = block(x, cache[number] if cache else None)
            kept.append(pair)
        return self.norm(x), kept

    @property
    def reach(self) -> int:
        """Points before a point that its state depends on, at most."""
        return self.patch * (len(self.blocks) * (self.window - 1) + 1) - 1
