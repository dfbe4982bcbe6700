"""What a training keeps in its run's checkpoints, to go on as if it had never been stopped."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from projects.ts_anomaly.learned import extra_of
from shared.errors import UserError
from shared.runs import Run, verified_tensors


@dataclass
class Moved:
    """What a step moves beside the weights."""

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    draws: torch.Generator
    random: np.random.Generator

    def drawn(self) -> dict[str, Any]:
        """States of both generators as JSON values."""
        return {"draws": self.draws.get_state().numpy().tobytes().hex(), "random": self.random.bit_generator.state}

    def redraw(self, told: dict[str, Any]) -> None:
        """Undo of `drawn`."""
        self.draws.set_state(torch.tensor(list(bytes.fromhex(told["draws"])), dtype=torch.uint8))
        self.random.bit_generator.state = told["random"]


@dataclass
class Keep:
    """What a training needs to go on as if it had never been stopped, in a run's checkpoints.

    Attributes:
        run: Where it is kept.
        size: Bytes of the file that is learned from.
        begun: Processor time at the start, less what was used before a stop.
    """

    run: Run
    size: int | None
    begun: float

    @property
    def seconds(self) -> float:
        """Processor time of the training so far."""
        return time.process_time() - self.begun

    def save(self, step: int, loss: float, model: torch.nn.Module, moved: Moved) -> None:
        """A checkpoint, in the place of the one before."""
        told = {"loss": loss, "size": self.size, "seconds": self.seconds, **moved.drawn()}
        self.run.save(step, dict(model.state_dict()), optimizer=moved.optimizer, schedule=moved.schedule, extra=told)
        self.run.keep_checkpoints(step)

    def restore(self, steps: int, model: torch.nn.Module, moved: Moved) -> tuple[int, float]:
        """Go on from the run's checkpoint, if it is resumed. Returns the steps done and the last loss."""
        if self.run.checkpoint is None:
            return 0, math.nan
        extra = extra_of(self.run.directory)
        if "loss" not in extra:
            raise UserError(f"{self.run.directory} was made by an earlier version: train again, to another --out")
        if self.run.step >= steps:
            model.load_state_dict(verified_tensors(self.run.checkpoint))
        else:
            self.run.restore(model.load_state_dict, moved.optimizer, moved.schedule)
            moved.redraw(extra)
            self.begun -= extra["seconds"]
        return self.run.step, extra["loss"]
