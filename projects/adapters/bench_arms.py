"""One arm of the benchmark in a process of its own: answers each line N with the mean milliseconds of N steps.

    python -m projects.adapters.bench_arms ARM JOB.json

0 is answered with its memory, and ends it. `peer_worker.py serve` speaks the same for the other library.
"""

import json
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from projects.adapters.arms import ARMS, build, make_optimizer, read_encoder
from projects.adapters.config import Config
from projects.adapters.data import Batch
from projects.adapters.hooks.forward_hooks import adapters_of, remove_adapters
from projects.adapters.models.adapter import Adapter
from projects.adapters.models.transformer_base import Block, TransformerEncoder
from projects.adapters.train import training_step
from shared.interleave import serve_lines
from shared.seeding import seed_everything


class InlineBlock(Block):
    """A post-norm block with its adapters written into forward(): what the hooks are compared with."""

    @classmethod
    def around(cls, block: Block) -> "InlineBlock":
        """The block's own parts, and the adapters that were hooked to them, called in place."""
        inline = cls.__new__(cls)
        nn.Module.__init__(inline)
        inline.norm_first = block.norm_first
        first, second = (dict(adapters_of(block))[name] for name in ("attention", "feed_forward"))
        remove_adapters(block)
        for name, module in block.named_children():
            inline.add_module(name, module)
        inline.attention_adapter, inline.feed_forward_adapter = first, second
        return inline

    attention_adapter: Adapter
    feed_forward_adapter: Adapter

    def forward(self, x: Float[Tensor, "b t d"], attention_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """As Block's, with both sublayers adapted."""
        x = self.attention_norm(x + self.attention_adapter(self.attention(x, attention_mask), x))
        return self.feed_forward_norm(x + self.feed_forward_adapter(self.feed_forward(x), x))


def write_inline(encoder: TransformerEncoder) -> None:
    """Replace hooks by calls, block by block; the same adapters, trained as before."""
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    encoder.blocks = nn.ModuleList(InlineBlock.around(block) for block in blocks)


MEASURED = ("bottleneck", "inline", "parallel", "lora", "full")


def prepare(arm: str, config: Config, classes: int, *, tagging: bool) -> tuple[Config, nn.Module]:
    """The arm's configuration and model."""
    config = replace(config, **ARMS["bottleneck" if arm == "inline" else arm])
    seed_everything(config.seed)
    encoder, _ = read_encoder(config)
    model = build(config, encoder, classes, tagging=tagging)
    if arm == "inline":
        write_inline(encoder)
    return config, model


def main(arm: str, job: dict[str, Any]) -> None:
    """Serve one arm."""
    torch.set_num_threads(job["threads"])
    config, model = prepare(arm, Config(lr=1e-4), job["classes"], tagging=job["tagging"])
    optimizer = make_optimizer(config, model)
    batches = cycle([Batch(*map(torch.tensor, batch)) for epoch in job["epochs"] for batch in epoch])
    serve_lines(lambda: training_step(config, model, optimizer, next(batches)))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
