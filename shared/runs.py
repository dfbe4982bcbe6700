"""A run is a directory: configuration, environment, metrics, checkpoints, all fingerprinted as they are written.

    runs/<project>/<name>/
        config.json  env.json  metrics.jsonl  events.out.tfevents.*  checkpoints/step-000120/

A checkpoint holds model.safetensors, optimizer.safetensors, random.safetensors, state.json and its manifest. It appears
under its name only when it is whole.
"""

import dataclasses
import json
import math
import platform
import secrets
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter

from shared import devices, optim, seeding
from shared.errors import UserError
from shared.files import atomic_directory, write_json
from shared.fingerprint import ChainedLog, seal_directory, team_key, verify

VERSIONS_OF = ("torch", "transformers", "peft", "datasets", "safetensors", "numpy")


class Run:
    """A run's directory, open for writing; use it as a context manager.

    Leaving the block without an error closes the log; leaving it with one keeps the log open-ended (INCOMPLETE), so
    that the run can be resumed.

    Args:
        directory: Made if it is not there.
        project: Name of the project, for the fingerprint.
        config: A dataclass; saved as config.json and compared on resume.
        resume: Continue from the last checkpoint instead of starting.

    Raises:
        UserError: If the directory holds a run and `resume` is false, or holds none (or another) and it is true.
    """

    def __init__(self, directory: Path, *, project: str, config: Any, resume: bool = False) -> None:
        self.directory = directory
        self.project = project
        self.key = team_key()
        described = describe_config(config)
        self.checkpoint = latest_checkpoint(directory) if resume else None
        if resume:
            self._continue(described)
        else:
            self._start(described)
        step = self.step if self.checkpoint else None
        self._board = SummaryWriter(str(directory), purge_step=None if step is None else step + 1)

    def _start(self, config: dict[str, Any]) -> None:
        if self.directory.exists() and (not self.directory.is_dir() or any(self.directory.iterdir())):
            raise UserError(f"{self.directory} is in use and is not overwritten: pass --resume, or another --out")
        self.id = secrets.token_hex(8)
        write_json(self.directory / "config.json", config)
        write_json(self.directory / "env.json", describe_environment())
        identity = {"run": self.id, "project": self.project}
        self.log_file = ChainedLog(self.directory / "metrics.jsonl", self.key, identity)
        self.step = 0

    def _continue(self, config: dict[str, Any]) -> None:
        saved = read_json(self.directory / "config.json")
        different = sorted(k for k in config.keys() | saved.keys() if config.get(k) != saved.get(k))
        if different:
            raise UserError(
                f"{self.directory} was made with another {', '.join(different)}: resume with the same values"
            )
        if self.checkpoint is None:
            raise UserError(f"{self.directory} holds no checkpoint to resume from: remove it and start again")
        state = read_json(self.checkpoint / "state.json")
        self.id, self.step = state["run"], state["step"]
        self.log_file = ChainedLog(self.directory / "metrics.jsonl", self.key, {}, position=state["log_position"])

    def log(self, step: int, **metrics: float) -> None:
        """Append one line of metrics, and the same numbers to TensorBoard.

        Raises:
            UserError: If a number is NaN or infinite; what was logged and saved before stays.
        """
        for name, value in metrics.items():
            if not math.isfinite(value):
                kept = latest_checkpoint(self.directory)
                raise UserError(
                    f"{name} is {value} at step {step}: training stopped; lower the learning rate. "
                    f"Last checkpoint: {kept.name if kept else 'none'}"
                )
        self.log_file.append({"step": step, **metrics})
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)

    def save(
        self,
        step: int,
        model: dict[str, Tensor],
        *,
        optimizer: Optimizer | None = None,
        schedule: LRScheduler | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Path:
        """Write checkpoints/step-<step> atomically, sealed with the team's key. Returns its path.

        Args:
            step: Optimizer steps done.
            model: What to save of the model, by name.
            optimizer: Saved apart from the model, with the state of every random generator.
            schedule: Of the learning rate.
            extra: JSON values that the training loop needs to go on (best score, patience, ...).
        """
        target = self.checkpoint_path(step)
        tensors, generators = seeding.random_state()
        state = {"run": self.id, "step": step, "random": generators, "extra": extra or {}}
        state["log_position"] = self.log_file.position
        with atomic_directory(target) as folder:
            save_file(contiguous(model), folder / "model.safetensors")
            save_file(tensors, folder / "random.safetensors")
            if optimizer is not None:
                moments, state["optimizer"] = optim.state_tensors(optimizer)
                save_file(moments, folder / "optimizer.safetensors")
            if schedule is not None:
                state["schedule"] = schedule.state_dict()
            write_json(folder / "state.json", state)
            seal_directory(folder, {"run": self.id, "project": self.project, "step": step}, self.key)
        return target

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.directory / "checkpoints" / f"step-{step:06d}"

    def keep_checkpoints(self, *steps: int) -> None:
        """Remove every checkpoint but those of these steps."""
        kept = {self.checkpoint_path(step) for step in steps}
        for path in (self.directory / "checkpoints").glob("step-*"):
            if path not in kept:
                shutil.rmtree(path)

    def restore(
        self,
        load_model: Callable[[dict[str, Tensor]], object],
        optimizer: Optimizer,
        schedule: LRScheduler | None = None,
    ) -> dict[str, Any]:
        """Bring model, optimizer, schedule and generators back to the last checkpoint. Returns its `extra`.

        Raises:
            UserError: If the checkpoint does not verify.
        """
        assert self.checkpoint is not None, "restore belongs to a resumed run"
        wrong = [f for f in verify(self.checkpoint, self.key) if not f.verdict.unchanged]
        if wrong:
            raise UserError(f"{wrong[0].path}: {wrong[0].verdict.value}, {wrong[0].detail}; not resumed")
        state = read_json(self.checkpoint / "state.json")
        load_model(load_file(self.checkpoint / "model.safetensors"))
        optim.load_state_tensors(optimizer, load_file(self.checkpoint / "optimizer.safetensors"), state["optimizer"])
        if schedule is not None:
            schedule.load_state_dict(state["schedule"])
        seeding.restore_random_state(load_file(self.checkpoint / "random.safetensors"), state["random"])
        return state["extra"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._board.close()
        self.log_file.__exit__(kind, None, None)


def new_directory(root: Path, project: str, name: str) -> Path:
    """The first of runs/<project>/<name>, <name>-2, <name>-3, … that is not there yet."""
    base = root / project / name
    candidates = (base if n == 1 else base.with_name(f"{name}-{n}") for n in range(1, 10_000))
    return next(path for path in candidates if not path.exists())


def latest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint with the highest step, or None."""
    return max((directory / "checkpoints").glob("step-*"), default=None, key=lambda p: int(p.name[5:]))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        UserError: If it is missing, truncated or no safetensors file.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}): it is cut or edited; save it again") from None


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        UserError: If it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error})") from None


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Detached CPU copies that safetensors accepts: contiguous, and none sharing another's memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training moves: what a checkpoint needs beside the frozen base."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def describe_config(config: Any) -> dict[str, Any]:
    """A dataclass as JSON values; `out` and `resume` are left out, since they say where and not what."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("out", "resume")}
    return json.loads(json.dumps(values, default=str))


def describe_environment() -> dict[str, Any]:
    """Versions, commit and machine: what a reader needs to repeat the run. No host name and no path."""
    versions = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "commit": _git("rev-parse", "HEAD"), **devices.machine()}


def _git(*words: str) -> str | None:
    """What git answers, or None outside a checkout or without git."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in MB (10⁶ bytes)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if platform.system() == "Darwin" else 1024) / 1e6
