"""Attention for long series: full, sliding window and linear, each with the memory that its name says.

Positions are distances: a learned bias a head for each distance (Raffel et al. 2020, T5), so that the same shape
scores the same wherever it stands, and a stream can go on for ever.
"""

# b batch · h heads · t queries · s keys · d width of a head · w window (keys that a query sees, itself included)

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BLOCK = 16  # queries that are compared with their keys at once: fewer waste less outside the band of w


def sliding_attention(
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b h s d"],
    value: Float[Tensor, "b h s d"],
    bias: Float[Tensor, "h w"],
) -> Float[Tensor, "b h t d"]:
    """Each query sees the last w keys up to its own: memory and time grow with t · w, not with t².

    The last t of the s keys belong to the queries; those before them are the past, as a cache gives it.

    Source: Beltagy et al. 2020, "Longformer", §3.1, one-sided.
    """
    (b, h, t, d), s, w = query.shape, key.shape[2], bias.shape[1]
    block = min(BLOCK, t)
    missing = max(0, w - 1 - (s - t))  # keys before the beginning of time
    tail = -t % block
    key, value = (F.pad(each[:, :, max(0, s - t - w + 1) :], (0, 0, missing, tail)) for each in (key, value))
    blocks = (t + tail) // block
    queries = F.pad(query, (0, 0, 0, tail)).reshape(b, h, blocks, block, d)
    keys, values = (each.unfold(2, block + w - 1, block).transpose(3, 4) for each in (key, value))
    allowed = _band(bias, block, blocks, missing)  # (h, blocks, block, block + w − 1)
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)
    return attended.reshape(b, h, blocks * block, d)[:, :, :t]


def _band(bias: Float[Tensor, "h w"], block: int, blocks: int, missing: int) -> Float[Tensor, "h n q k"]:
    """Bias by distance inside the band, −∞ outside it and on keys that do not exist."""
    w = bias.shape[1]
    distance = torch.arange(block)[:, None] + w - 1 - torch.arange(block + w - 1)[None, :]
    inside = (distance >= 0) & (distance < w)
    band = torch.where(inside, bias[:, distance.clamp(0, w - 1)], -torch.inf)[:, None]
    if missing == 0:
        return band
    real = torch.arange(block + w - 1)[None] + block * torch.arange(blocks)[:, None] >= missing
    return torch.where(real[None, :, None, :], band, -torch.inf)


def full_attention(
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b h t d"],
    value: Float[Tensor, "b h t d"],
    bias: Float[Tensor, "h w"],
    *,
    causal: bool = True,
) -> tuple[Float[Tensor, "b h t d"], Float[Tensor, "b h t t"]]:
    """Every query sees every key (up to its own if causal); the weights come too. Distances from w − 1 on share a
    bias.
    """
    t = query.shape[2]
    distance = torch.arange(t)[:, None] - torch.arange(t)[None, :]
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + bias[:, distance.abs().clamp(max=bias.shape[1] - 1)]
    if causal:
        scores = scores.masked_fill(distance < 0, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ value, weights


def linear_attention(
    query: Float[Tensor, "b h t d"], key: Float[Tensor, "b h t d"], value: Float[Tensor, "b h t d"]
) -> Float[Tensor, "b h t d"]:
    """Causal attention whose kernel is φ(q)·φ(k), φ = elu + 1: sums over the past instead of t² weights.

    Source: Katharopoulos et al. 2020, "Transformers are RNNs", eq. 9 to 12; in chunks, so that memory is t · d.
    """
    q, k = F.elu(query) + 1, F.elu(key) + 1
    state = torch.zeros(*q.shape[:2], q.shape[3], value.shape[3])
    total = torch.zeros(*q.shape[:2], q.shape[3])
    out = []
    for at in range(0, q.shape[2], BLOCK):
        qs, ks, vs = (each[:, :, at : at + BLOCK] for each in (q, k, value))
        inside = (qs @ ks.transpose(2, 3)).tril()
        above = qs @ state + inside @ vs
        below = (qs * total[:, :, None]).sum(-1) + inside.sum(-1)
        out.append(above / below[..., None])
        state, total = state + ks.transpose(2, 3) @ vs, total + ks.sum(2)
    return torch.cat(out, 2)
