"""The same script on several processes: `torchrun --nproc-per-node 2 -m projects.pretrain_lm.train_pretrain …`.

Without torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

# DistributedDataParallel imports this when it is made. By then there is a group, which becomes the default argument
# of its functions: no destroy_process_group ends such a group's threads, and one of them aborts the exit now and then.
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from projects.pretrain_lm.data.collator import Batch
from projects.pretrain_lm.models.transformer_lm import TransformerLM
from shared import devices


@dataclass(frozen=True)
class Process:
    """One of the processes that train together: its rank, from 0, and how many there are."""

    rank: int = 0
    world_size: int = 1


@contextmanager
def process_group() -> Iterator[Process]:
    """Join the other processes inside the block. Yields which of them this is.

    What was wrapped inside must be out of reach at its end: the group's threads are waited for when the last that holds
    the group lets go of it, and the interpreter has to be whole for that (pytorch/pytorch#179291).
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        devices.use_all_cores()
        yield Process()
        return
    torch.set_num_threads(max(1, devices.cores() // world_size))
    dist.init_process_group("gloo")
    try:
        yield Process(dist.get_rank(), world_size)
    finally:
        dist.destroy_process_group()


def all_reduce_sum(process: Process, *values: float) -> list[float]:
    """Sums over all processes."""
    if process.world_size == 1:
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(summed)
    return summed.tolist()


def barrier(process: Process) -> None:
    """Wait until every process is here."""
    if process.world_size > 1:
        dist.barrier()


class Loss(nn.Module):
    """A model's loss as a forward pass, which is what DistributedDataParallel wraps.

    Args:
        model: On its device.
        bfloat16: Do matrix products in bfloat16; weights, norms and the loss stay in float32.
    """

    def __init__(self, model: TransformerLM, *, bfloat16: bool = False) -> None:
        super().__init__()
        self.model, self.autocast = model, bfloat16

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        """(summed cross-entropy in nats, number of labels) of a batch."""
        device = self.model.token_embedding.weight.device
        batch = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            return self.model.loss(batch.input_ids, batch.labels, batch.attention_mask)


def data_parallel(loss: Loss, process: Process) -> nn.Module:
    """The loss, its gradients averaged over the processes if there are several."""
    return loss if process.world_size == 1 else DistributedDataParallel(loss)
