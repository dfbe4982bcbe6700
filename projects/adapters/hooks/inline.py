"""The same adapters written into the blocks instead of hooked to them: what hooks are compared with."""

from typing import cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from projects.adapters.hooks.forward_hooks import adapters_of, remove_adapters
from projects.adapters.models.adapter import Adapter
from projects.adapters.models.transformer_base import Block, TransformerEncoder


class InlineBlock(nn.Module):
    """A post-norm block that calls the adapters itself which were hooked to its two sublayers."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        hooked: dict[str, Adapter] = dict(adapters_of(block))
        remove_adapters(block)
        self.block, self.attention_adapter = block, hooked["attention"]
        self.feed_forward_adapter = hooked["feed_forward"]

    def forward(self, x: Float[Tensor, "b t d"], attention_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Hidden states after the block, as of the block with hooks."""
        block = self.block
        x = block.attention_norm(x + self.attention_adapter(block.attention(x, attention_mask), x))
        return block.feed_forward_norm(x + self.feed_forward_adapter(block.feed_forward(x), x))


def write_inline(encoder: TransformerEncoder) -> None:
    """Replace the hooks of every block by calls; the adapters stay the same, and are trained as before."""
    encoder.blocks = nn.ModuleList(InlineBlock(cast(Block, block)) for block in encoder.blocks)
