"""Adapters: a narrow two-layer network beside a frozen sublayer, in series or in parallel.

Both add scale · up(relu(down(·))) to what a sublayer (attention or feed-forward) returns, before the residual sum and
the norm. They differ in what they read: the bottleneck adapter the sublayer's output, the parallel one its input.
"""

# d hidden size · m bottleneck

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from shared.errors import UserError

Init = Literal["he", "xavier", "zero_up"]
Gain = Literal["he", "xavier"]


class Adapter(nn.Module):
    """What both kinds share: two projections, their initialisation, and the switch that hooks look at.

    Args:
        bottleneck: Inner size m; one adapter has 2dm + d + m parameters.
        init: "zero_up" starts the up-projection (weight and bias) at zero, so that the network starts as the base;
            "he" and "xavier" draw both projections from that distribution, which breaks the identity.
        down_init: Distribution of the down-projection when `init` is "zero_up"; else it is that of `init`.
        dropout: Probability, between the two projections.
        scale: Factor on what is added; He 2022 takes 4 for the parallel adapter.

    Raises:
        UserError: If the bottleneck is not positive, or scale or dropout is out of range.
    """

    def __init__(
        self,
        hidden_size: int,
        bottleneck: int,
        *,
        init: Init = "zero_up",
        down_init: Gain = "he",
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if bottleneck < 1:
            raise UserError(f"bottleneck {bottleneck}: an adapter needs at least one inner unit")
        if not 0 < scale < math.inf or not 0 <= dropout < 1:
            raise UserError(f"scale {scale} must be positive and finite, dropout {dropout} in [0, 1)")
        self.hidden_size, self.bottleneck, self.scale = hidden_size, bottleneck, scale
        self.enabled = True
        self.handle: RemovableHandle | None = None  # of the hook that calls this adapter
        self.down = nn.Linear(hidden_size, bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(bottleneck, hidden_size)
        init_projection(self.down, down_init if init == "zero_up" else init)
        init_projection(self.up, init)

    def update(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """up(relu(down(x))): what is added, before the scale."""
        return self.up(self.dropout(torch.relu(self.down(x))))  # (*b,d) -> (*b,m) -> (*b,d)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        shape = f"hidden_size={self.hidden_size}, bottleneck={self.bottleneck}"
        return f"{shape}, scale={self.scale:g}, enabled={self.enabled}"


class AdapterBottleneck(Adapter):
    """In series: h + scale · up(relu(down(h))), where h is what the sublayer returned.

    Source: Houlsby et al. 2019, figure 2 (right). Departs: ReLU for the nonlinearity, so that He's gain is the one
    derived for it; the up-projection starts at zero exactly, not at a normal of 0.01.

    >>> adapter = AdapterBottleneck(8, 2)
    >>> h = torch.randn(3, 8)
    >>> torch.equal(adapter(h), h)
    True
    >>> sum(p.numel() for p in adapter.parameters()) == 2 * 8 * 2 + 8 + 2
    True
    """

    def forward(
        self, sublayer_output: Float[Tensor, "*b d"], sublayer_input: Tensor | None = None
    ) -> Float[Tensor, "*b d"]:
        """The adapted output; this kind does not read the sublayer's input."""
        del sublayer_input
        return torch.add(sublayer_output, self.update(sublayer_output), alpha=self.scale)


class AdapterParallel(Adapter):
    """Beside: sublayer(x) + scale · up(relu(down(x))), where x is what the sublayer was given.

    Source: He et al. 2022, "Towards a unified view", §3.3 and table 1 (parallel adapter, scaled).

    >>> adapter = AdapterParallel(8, 2, scale=4.0)
    >>> x, output = torch.randn(3, 8), torch.randn(3, 8)
    >>> torch.equal(adapter(output, x), output)
    True
    """

    def forward(
        self, sublayer_output: Float[Tensor, "*b d"], sublayer_input: Float[Tensor, "*b d"]
    ) -> Float[Tensor, "*b d"]:
        """The adapted output."""
        return torch.add(sublayer_output, self.update(sublayer_input), alpha=self.scale)


KINDS: dict[str, type[AdapterBottleneck] | type[AdapterParallel]] = {
    "bottleneck": AdapterBottleneck,
    "parallel": AdapterParallel,
}


def init_projection(layer: nn.Linear, init: Init) -> None:
    """Fill a projection; biases start at zero.

    he: normal, variance 2/fan_in (He et al. 2015, eq. 10). xavier: uniform, variance 2/(fan_in + fan_out) (Glorot and
    Bengio 2010, eq. 16). zero_up: zeros.
    """
    if init == "he":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def adapter_parameters(hidden_size: int, bottleneck: int) -> int:
    """Parameters of one adapter: two matrices and their biases.

    >>> adapter_parameters(384, 64)
    49600
    """
    return 2 * hidden_size * bottleneck + hidden_size + bottleneck
