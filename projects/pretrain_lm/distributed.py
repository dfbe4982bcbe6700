"""The same script on several processes: `torchrun --nproc-per-node 2 -m projects.pretrain_lm.train_pretrain …`.

Without torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

# DistributedDataParallel imports this when it is made. By then there is a group, which becomes the default argument
# of its functions: no destroy_process_group ends such a group's threads, and one of them aborts the exit now and then.
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from projects.pretrain_lm.data.collator import Batch
from projects.pretrain_lm.data.shards import Part
from projects.pretrain_lm.models.transformer_lm import TransformerLM
from shared import devices


@contextmanager
def processes() -> Iterator[Part]:
    """Join the others inside the block. Yields which of them this is.

    What was wrapped inside must be out of reach at its end: the group's threads are waited for when the last that holds
    the group lets go of it, and the interpreter has to be whole for that (pytorch/pytorch#179291).
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        devices.use_all_cores()
        yield Part()
        return
    torch.set_num_threads(max(1, devices.cores() // world))
    dist.init_process_group("gloo")
    try:
        yield Part(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def total(part: Part, *values: float) -> list[float]:
    """Sums over all processes."""
    if part.world == 1:
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(summed)
    return summed.tolist()


def wait(part: Part) -> None:
    """Until every process is here."""
    if part.world > 1:
        dist.barrier()


class Loss(nn.Module):
    """A model's loss as a forward pass, which is what DistributedDataParallel wraps.

    Args:
        model: On its device.
        bfloat16: Do matrix products in bfloat16; weights, norms and the loss stay in float32.
    """

    def __init__(self, model: TransformerLM, *, bfloat16: bool = False) -> None:
        super().__init__()
        self.model, self.rounded = model, bfloat16

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        """(summed cross-entropy in nats, number of labels) of a batch."""
        device = self.model.tokens.weight.device
        batch = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.rounded):
            return self.model.loss(batch.ids, batch.labels, batch.readable)


def shared(loss: Loss, part: Part) -> nn.Module:
    """The loss, its gradients averaged over the processes if there are several."""
    return loss if part.world == 1 else DistributedDataParallel(loss)
