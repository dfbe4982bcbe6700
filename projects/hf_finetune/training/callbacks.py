"""What happens around the Trainer's steps: early stopping, the log, sealed checkpoints, a progress bar, test faults."""

import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from projects.hf_finetune.training.supervisor import limit_memory
from shared.files import write_json
from shared.progress import track
from shared.runs import Run
from shared.tensors import contiguous

SCORE = "eval_macro_f1"  # decides which epoch is kept and when to stop
TARGETS = "mixout_targets.safetensors"
FAULT = "HF_FINETUNE_FAULT"

# Numbers of the Trainer's own log, under the names that the run's log has for them. Times are left out: a resumed run
# writes the very lines of one that was never stopped.
NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "eval_loss": "validation_loss",
    "eval_accuracy": "validation_accuracy",
    "eval_precision": "validation_precision",
    "eval_recall": "validation_recall",
    "eval_macro_f1": "validation_macro_f1",
}


class EarlyStopping(TrainerCallback, ExportableState):
    """Stops when the validation score has not grown for some evaluations. Its counters travel in every checkpoint.

    Args:
        patience: Evaluations in a row without a better score after which it stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = -1.0
        self.best_step = 0
        self.patience_counter = 0

    def state(self) -> dict[str, Any]:
        """What the Trainer writes into trainer_state.json and gives back on resuming."""
        counters = {"best": self.best, "best_step": self.best_step, "patience_counter": self.patience_counter}
        return {"args": {"patience": self.patience}, "attributes": counters}

    def on_evaluate(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> TrainerControl:
        """Count, and ask for the end when patience is over."""
        if metrics[SCORE] > self.best:
            self.best, self.best_step, self.patience_counter = metrics[SCORE], state.global_step, 0
        else:
            self.patience_counter += 1
        if self.patience_counter >= self.patience:
            control.should_training_stop = True
        return control


class RunLog(TrainerCallback):
    """Writes the Trainer's numbers into the run's chained log and to TensorBoard; a NaN stops the training."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float],
        **_: Any,
    ) -> None:
        """Append a line, unless these are the totals that the Trainer prints at the end."""
        known = {NAMES[name]: float(value) for name, value in logs.items() if name in NAMES}
        if known:
            self.run.log(state.global_step, **known)


class Sealing(TrainerCallback):
    """Gives each of the Trainer's checkpoints its fingerprint, and its name only when it is whole.

    The Trainer writes checkpoints/.trainer.tmp/checkpoint-32 file by file. Once it is done, the folder gets a
    state.json and a manifest and becomes checkpoints/step-000032; what a killed process leaves half-written stays in
    the temporary one, which a run removes when it is resumed.

    Args:
        run: The open run.
        accumulation: Micro-batches of a step, to go on with the same number.
        targets: Mixout's pretrained weights, kept beside the trained ones.
    """

    def __init__(self, run: Run, accumulation: int, targets: dict[str, Tensor]) -> None:
        self.run, self.accumulation, self.targets = run, accumulation, targets

    def on_save(self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """Complete, seal, rename, and remove what is neither the best nor the newest."""
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        (folder / "training_args.bin").unlink()  # a pickle that only unsafe loading opens; config.json says it all
        if self.targets:
            save_file(contiguous(self.targets), folder / TARGETS)
        place = {"run": self.run.id, "step": state.global_step, "accumulation": self.accumulation}
        write_json(folder / "state.json", place)
        self.run.seal(folder, state.global_step)
        folder.rename(self.run.checkpoint_path(state.global_step))
        counters = state.stateful_callbacks["EarlyStopping"]["attributes"]
        self.run.keep_checkpoints(counters["best_step"], state.global_step)


class SaveEverySteps(TrainerCallback):
    """Asks for a checkpoint every so many steps inside an epoch; at its end the Trainer saves anyway."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_step_end(
        self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Save after every n-th step."""
        steps_per_epoch = state.max_steps // state.num_train_epochs
        if self.every and state.global_step % self.every == 0 and state.global_step % steps_per_epoch:
            control.should_save = True
        return control


class ProgressBar(TrainerCallback):
    """One bar over all steps, in the place of the library's bars and printed dictionaries."""

    def __init__(self, description: str) -> None:
        self.description = description
        self._bar: Iterator[int] = iter(())

    def on_train_begin(self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """Draw it, with the steps of a resumed run done."""
        done, total = state.global_step, state.max_steps
        self._bar = track(range(total - done), description=self.description, total=total, done=done)
        next(self._bar, None)

    def on_step_end(self, _args: TrainingArguments, _state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """Advance it by one."""
        next(self._bar, None)

    def on_train_end(self, _args: TrainingArguments, _state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """Take it away, though early stopping may have left steps undone."""
        self._bar.close()  # type: ignore[attr-defined]


class InjectedFault(TrainerCallback):
    """Dies as if memory had run out, for tests and for the experiment on faults.

    The environment variable HF_FINETUNE_FAULT says how, when and above which size: "runtime@12@8" raises torch's error
    before step 12 while a micro-batch holds more than 8 sentences. Kinds: runtime, memory (MemoryError), kill
    (SIGKILL), rlimit (the system refuses this process any more address space, and the next allocation fails for real).

    Args:
        words: The variable's value.
        micro_batch: Sentences in a micro-batch now.
    """

    def __init__(self, words: str, micro_batch: int) -> None:
        self.kind, step, largest = words.split("@")
        self.step, self.largest, self.micro_batch = int(step), int(largest), micro_batch

    def on_step_begin(self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any) -> None:
        """Die if it is time."""
        if state.global_step + 1 != self.step or self.micro_batch <= self.largest:
            return
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "memory":
            raise MemoryError
        if self.kind == "rlimit":
            refuse_more_memory()
            torch.zeros(2**24)  # a small model's step may fit into what the process holds; these 64 MB do not
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: an injected fault")


def refuse_more_memory() -> None:
    """Give back what the allocator holds unused, and forbid this process to grow."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_memory(pages * resource.getpagesize() / 1e9)
