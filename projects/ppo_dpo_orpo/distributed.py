"""DPO and ORPO on several processes: `torchrun --nproc-per-node 2 -m projects.ppo_dpo_orpo.train_preference --out …`.

Every process takes its share of each batch's pairs, and the gradients are averaged as they appear, so that the update
is the one of the whole batch. Without torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shared import devices
from shared.errors import UserError

Made = TypeVar("Made")
LONGEST_WAIT = timedelta(hours=6)
"""For the first process, which samples and judges the pairs while the others wait."""


@dataclass(frozen=True)
class Process:
    """One of the processes that train together: its rank, from 0, and how many there are."""

    rank: int = 0
    world_size: int = 1

    def mine(self, rows: list[int]) -> list[int]:
        """This process's rows of a batch, whose number the world's size divides."""
        each = len(rows) // self.world_size
        return rows[self.rank * each : (self.rank + 1) * each]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world_size > 1:
            dist.barrier()

    def refuse_undivided(self, size: int) -> None:
        """Refuse a batch that the processes cannot share alike.

        Raises:
            UserError: If their number does not divide it.
        """
        if size % self.world_size:
            raise UserError(f"--batch_size {size}: must be a multiple of {self.world_size} processes")


def world_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group() -> Iterator[Process]:
    """Join the other processes inside the block. Yields which of them this is."""
    if world_size() == 1:
        devices.use_all_cores()
        yield Process()
        return
    torch.set_num_threads(max(1, devices.cores() // world_size()))
    dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    try:
        yield Process(dist.get_rank(), world_size())
    finally:
        dist.destroy_process_group()


def after_the_first(process: Process, made: Callable[[], Made]) -> Made:
    """What `made` returns, in the first process before all others: what it keeps on disk, they read."""
    if process.rank == 0:
        own = made()
    process.wait()
    return own if process.rank == 0 else made()


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
