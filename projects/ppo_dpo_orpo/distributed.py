"""DPO and ORPO on several processes: `torchrun --nproc-per-node 2 -m projects.ppo_dpo_orpo.train_preference --out …`.

Every process takes its share of each batch's pairs, and the gradients are averaged as they appear, so that the update
is the one of the whole batch. Without torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shared import devices


@dataclass(frozen=True)
class Process:
    """One of the processes that train together: its rank, from 0, and how many there are."""

    rank: int = 0
    world_size: int = 1

    def mine(self, rows: list[int]) -> list[int]:
        """This process's rows of a batch, whose number the world's size divides."""
        each = len(rows) // self.world_size
        return rows[self.rank * each : (self.rank + 1) * each]


@contextmanager
def process_group() -> Iterator[Process]:
    """Join the other processes inside the block. Yields which of them this is."""
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


def average_gradients(model: nn.Module, process: Process) -> None:
    """From now on each gradient is, once it is whole, the mean of all processes' gradients.

    The processes build the same graph, so that they meet at the same parameter each time.
    """
    if process.world_size == 1:
        return

    def average(parameter: Tensor) -> None:
        assert parameter.grad is not None, "called when there is one"
        dist.all_reduce(parameter.grad)
        parameter.grad /= process.world_size

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(average)
