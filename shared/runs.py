"""A run is a directory: configuration, environment, metrics, checkpoints, all fingerprinted as they are written.

    runs/<project>/<name>/
        config.json  env.json  metrics.jsonl  events.out.tfevents.*  events.seal.json  checkpoints/step-000120/

A checkpoint holds model.safetensors, optimizer.safetensors, random.safetensors, state.json and its manifest. It appears
under its name only when it is whole. The log's first line holds the digests of config.json and env.json, a checkpoint's
manifest the head of the log, and events.seal.json the chain of the event files: see shared/fingerprint/README.md.

A process may be killed at any moment: the log is the first file of a run, so that its folder is known as one from the
beginning; what is not whole has a temporary name; one process at a time writes, under a lock that ends with it.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors.torch import load, save_file
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter

from shared import optim, seeding
from shared.devices import describe_environment
from shared.errors import UserError
from shared.files import (
    atomic_directory,
    json_text,
    remove_directory,
    remove_temporaries,
    write_json,
    write_text,
)
from shared.fingerprint import ChainedLog, TeamKey, open_verified, seal_directory, team_key
from shared.fingerprint.citations import CHECKPOINTS, LOG_NAME, checkpoints
from shared.fingerprint.events import NAME as EVENTS
from shared.fingerprint.events import seal_events, verify_events
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.manifest import Opened
from shared.fingerprint.origin import describe_code, file_digest
from shared.run_directories import (
    claim,
    describe_config,
    latest_checkpoint,
    locked,
    refuse_other_config,
    refuse_used,
    refused,
)
from shared.tensors import contiguous


class Run:
    """A run's directory, open for writing; use it as a context manager.

    Leaving the block without an error closes the log; leaving it with one keeps the log open-ended (INCOMPLETE), so
    that the run can be resumed.

    Args:
        directory: Made if it is not there.
        project: Name of the project, for the fingerprint.
        config: A dataclass; saved as config.json and compared on resume.
        resume: Continue from the last checkpoint instead of starting.
        data: Digest of the data that the run learns from; the fingerprints carry it.

    Raises:
        UserError: If the directory holds a run and `resume` is false, or holds none (or another) and it is true, if
            what is there does not verify, or another process is writing it.
    """

    def __init__(
        self, directory: Path, *, project: str, config: Any, resume: bool = False, data: str | None = None
    ) -> None:
        self.directory = directory
        self.project = project
        self.key = team_key()
        self._parent: dict[str, Any] | None = None
        described = describe_config(config)
        self._origin = {**describe_code(), "data": data, "seed": described.get("seed")}
        claim(directory, resume=resume)
        with ExitStack() as held:
            directory.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(directory))
            self.checkpoint = latest_checkpoint(directory) if resume else None
            if resume:
                self._continue(described)
            else:
                self._start(described)
            self._held = held.pop_all()
        step = self.step if self.checkpoint else None
        self._board = SummaryWriter(str(directory), purge_step=None if step is None else step + 1)

    def _start(self, config: dict[str, Any]) -> None:
        refuse_used(self.directory)  # once more, now that nobody else may begin it
        self.step, self.id = 0, secrets.token_hex(8)
        texts = {"config": json_text(config), "env": json_text(describe_environment())}
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
        identity = {"run": self.id, "project": self.project, "data": self._origin["data"], **digests}
        self.log_file = ChainedLog(self.directory / LOG_NAME, self.key, identity)
        for name, text in texts.items():
            write_text(self.directory / f"{name}.json", text)
        self._origin |= digests

    def _digests(self) -> dict[str, str]:
        return {name: file_digest(self.directory / f"{name}.json") for name in ("config", "env")}

    def _continue(self, config: dict[str, Any]) -> None:
        refuse_other_config(self.directory, config)
        assert self.checkpoint is not None, "claimed"
        with refused("not resumed"):
            self._opened = open_verified(self.checkpoint, self.key)
            state, body = json.loads(self._opened.read("state.json")), self._opened.body
            self.id, self.step = state["run"], state["step"]
            self._refuse_other(body)
            head = body.get("log") or {"position": state["log_position"], "mac": None}  # version 1 kept it in state
            log, position = self.directory / LOG_NAME, head["position"]
            self.log_file = ChainedLog(log, self.key, {}, position=position, head=head["mac"])
        self._parent = {"step": self.step, "manifest": self._opened.sealed.digest}
        self._origin |= self._digests()
        self._tidy(position)

    def _tidy(self, position: int) -> None:
        """Make good what a killed process left: half-written files, unsealed events, folders sealed later than this."""
        for folder in (self.directory, self.directory / CHECKPOINTS):
            remove_temporaries(folder)
        self._seal_events()
        for folder in [path.parent for path in self.directory.glob(f"*/{MANIFEST}")]:
            with refused("not resumed"):
                sealed = open_verified(folder, self.key, run=self.id).body
            if sealed.get("log", {}).get("position", 0) >= position:  # it will be written again
                remove_directory(folder)

    def _refuse_other(self, body: dict[str, Any]) -> None:
        """Refuse to go on where the checkpoint is another's, or configuration, data or event files changed since."""
        now = {"run": self.id, "project": self.project, "data": self._origin["data"], **self._digests()}
        known = {name: body[name] for name in now if name in body}
        for name in sorted(name for name in known if known[name] != now[name]):
            raise UserError(f"{self.checkpoint} was saved with another {name}; not resumed")
        for finding in verify_events(self.directory, self.key, run=self.id, closed=False):
            if finding.verdict.grave:
                raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}; not resumed")

    def _seal_events(self) -> None:
        seal_events(self.directory, {"run": self.id, "project": self.project}, self.key)

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

    def text(self, step: int, name: str, text: str) -> None:
        """Show a text in TensorBoard; it is no metric and enters no log line."""
        self._board.add_text(name, text, step)

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
            schedule: The learning rate's.
            extra: JSON values that the training loop needs to go on (best score, patience, ...).
        """
        tensors, generators = seeding.random_state()
        state = {"run": self.id, "step": step, "random": generators, "extra": extra or {}}
        with self.sealed(f"{CHECKPOINTS}/{self.checkpoint_path(step).name}", step) as folder:
            save_file(contiguous(model), folder / "model.safetensors")
            save_file(tensors, folder / "random.safetensors")
            if optimizer is not None:
                moments, state["optimizer"] = optim.state_tensors(optimizer)
                save_file(moments, folder / "optimizer.safetensors")
            if schedule is not None:
                state["schedule"] = schedule.state_dict()
            write_json(folder / "state.json", state)
        self._parent = {"step": step, "manifest": file_digest(self.checkpoint_path(step) / MANIFEST)}
        return self.checkpoint_path(step)

    @contextmanager
    def sealed(self, name: str, step: int) -> Iterator[Path]:
        """Yield a temporary folder; when the block ends well it is sealed and becomes <the run's directory>/<name>.

        Args:
            name: A folder that is not there yet.
            step: Optimizer steps done.
        """
        with atomic_directory(self.directory / name) as folder:
            yield folder
            self.seal(folder, step)

    def seal(self, folder: Path, step: int) -> str:
        """Write the manifest of a folder with all that the run knows of its origin. Returns the manifest's SHA-256.

        Args:
            folder: Holds what was saved.
            step: Optimizer steps done.
        """
        place = {"run": self.id, "project": self.project, "step": step, "parent": self._parent}
        return seal_directory(folder, {**place, **self._origin, "log": self.log_file.head}, self.key)

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.directory / CHECKPOINTS / f"step-{step:06d}"

    def keep_checkpoints(self, *steps: int) -> None:
        """Remove every checkpoint but those of these steps."""
        kept = {self.checkpoint_path(step) for step in steps}
        for path in checkpoints(self.directory):
            if path not in kept:
                remove_directory(path)

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
        return restore(self._opened, load_model, optimizer, schedule)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._held:
            self._board.close()
            self._seal_events()
            if kind is None:
                self._close()
            else:
                self.log_file.abandon()
        if isinstance(error, KeyboardInterrupt) and latest_checkpoint(self.directory):
            error.add_note(f"--out {self.directory} --resume goes on from the last checkpoint")

    def _close(self) -> None:
        """The closing line holds the digest of the events' seal: neither can go, or change, without the other."""
        sidecar = self.directory / EVENTS
        self.log_file.close(**({"events": file_digest(sidecar)} if sidecar.exists() else {}))


def restore(
    opened: Opened,
    load_model: Callable[[dict[str, Tensor]], object],
    optimizer: Optimizer,
    schedule: LRScheduler | None = None,
) -> dict[str, Any]:
    """Bring model, optimizer, schedule and generators to a verified checkpoint. Returns its `extra`.

    Every file is read, and compared with the manifest as it is read, before the first tensor is copied.

    Raises:
        UserError: If a file changed since the checkpoint was verified.
    """
    with refused("not restored"):
        files = {name: opened.read(name) for name in opened.names}
    state = json.loads(files["state.json"])
    load_model(load(files["model.safetensors"]))
    optim.load_state_tensors(optimizer, load(files["optimizer.safetensors"]), state["optimizer"])
    if schedule is not None:
        schedule.load_state_dict(state["schedule"])
    seeding.restore_random_state(load(files["random.safetensors"]), state["random"])
    return state["extra"]


def open_checkpoint(directory: Path, key: TeamKey | None = None) -> Opened:
    """A verified checkpoint, to be restored without its run.

    Raises:
        UserError: If it does not verify.
    """
    with refused("not loaded"):
        return open_verified(directory, key or team_key())


def verified_tensors(directory: Path, key: TeamKey | None = None) -> dict[str, Tensor]:
    """The model's tensors of a checkpoint, from the very bytes that were verified.

    Raises:
        UserError: If it does not verify.
    """
    with refused("not loaded"):
        return load(open_verified(directory, key or team_key()).read("model.safetensors"))
