"""What is measured, each arm in a process of its own: torch and ONNX Runtime in each precision, on equal threads."""

# b rows · t tokens

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from projects.onnx_serving.paths import GRAPHS

Arm = Literal["torch float32", "torch bfloat16", "torch int8", "onnx float32", "onnx int8"]
ARMS: tuple[Arm, ...] = get_args(Arm)
PROMPT, NEW = 32, 32  # tokens of a prompt, and generated after it


@dataclass(frozen=True)
class Cell:
    """One thing to time.

    Attributes:
        task: "encode"; "generate" (with the cache), "recompute" (without it), or "library" (transformers' generate).
        rows: Of a batch.
        tokens: Of a row; of a prompt.
        threads: Of torch or of the runtime.
        new: Tokens generated a row.
        calls: In one turn.
    """

    task: str
    rows: int
    tokens: int
    threads: int
    new: int = 0
    calls: int = 1


def encoder_cells(threads: int) -> list[Cell]:
    """Batch sizes at 64 tokens, lengths at 8 rows, and fewer threads at 1 and 8 rows of 64 tokens."""
    shapes = [(1, 64), (8, 64), (32, 64), (8, 16), (8, 256)]
    cells = [Cell("encode", rows, tokens, threads, calls=8 if rows * tokens <= 512 else 1) for rows, tokens in shapes]
    return cells + [Cell("encode", rows, 64, 1, calls=8) for rows in (1, 8) if threads > 1]


def generation_cells(threads: int) -> list[Cell]:
    """With the cache, without it, and by the library, for one row and for eight."""
    tasks = [(1, "generate"), (1, "library"), (1, "recompute"), (8, "generate"), (8, "library")]
    return [Cell(task, rows, PROMPT, threads, NEW) for rows, task in tasks]


def able(arm: str, cell: Cell) -> bool:
    """Whether an arm has this task.

    The library's loop is torch's alone, torch's int8 is for the encoder, and bfloat16 is not asked without the cache.
    """
    if cell.task == "library":
        return arm == "torch float32"
    lacks = {"torch int8": ("generate", "recompute"), "torch bfloat16": ("recompute",)}
    return cell.task not in lacks.get(arm, ())


@dataclass(frozen=True)
class Loaded:
    """What an arm's process loads.

    Attributes:
        arm: Runtime and precision.
        graphs: Folder of the exported ones.
        qa: Folder of the trained model, for torch.
        model: The decoder, for torch.
    """

    arm: Arm
    graphs: Path
    qa: Path
    model: str


def work(pipe: Connection, loaded: Loaded) -> None:
    """An arm's process: answer each cell with the milliseconds of each call, until the process is ended."""
    runtime, precision = loaded.arm.split()
    worker = (
        TorchArm(loaded.qa, loaded.model, precision)
        if runtime == "torch"
        else OnnxArm(loaded.graphs, *GRAPHS[precision])
    )
    ready: dict[Cell, Callable[[], object]] = {}
    pipe.send("ready")
    while True:
        cell = pipe.recv()
        worker.use(cell.threads)
        if cell not in ready:
            ready[cell] = call = worker.prepared(cell)
            call()  # warm-up
        call, times = ready[cell], []
        for _ in range(cell.calls):
            started = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - started))
        pipe.send(times)


def encoder_inputs(cell: Cell) -> dict[str, np.ndarray]:
    """Random tokens without padding: its cost is measured apart, on real texts."""
    ids = np.random.default_rng(0).integers(1000, 20000, (cell.rows, cell.tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def prompts_of(cell: Cell) -> list[Any]:
    """Prompts of one length, so that every arm generates the same number of tokens."""
    from projects.onnx_serving.inference.token_by_token import Prompt

    ids = np.random.default_rng(0).integers(1000, 20000, (cell.rows, cell.tokens))
    return [Prompt(tokens=row, limit=cell.new) for row in ids.tolist()]


class TorchArm:
    """The library's models in float32 or bfloat16; in int8 the encoder alone, its linear layers."""

    def __init__(self, qa: Path, model: str, precision: str) -> None:
        import torch

        from projects.onnx_serving.inference.pipelines import question_answering
        from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
        from shared.assets import load_causal_lm

        torch.set_grad_enabled(False)
        encoder = question_answering(qa).model
        if precision == "int8":
            with warnings.catch_warnings():  # it says that torchao will take its place
                warnings.simplefilter("ignore")
                encoder = torch.ao.quantization.quantize_dynamic(encoder, {torch.nn.Linear}, dtype=torch.qint8)
        else:
            dtype = getattr(torch, precision)
            encoder, self._model = encoder.to(dtype), load_causal_lm(model)[0].to(dtype)
            self._decoder = TorchDecoder(self._model)
        self._encoder = TorchEncoder(encoder)

    def use(self, threads: int) -> None:
        """Set the number of threads."""
        import torch

        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def prepared(self, cell: Cell) -> Callable[[], object]:
        """A call that does the cell's work once."""
        if cell.task == "encode":
            inputs = encoder_inputs(cell)
            return lambda: self._encoder(inputs)
        if cell.task == "library":
            return self._library(cell)
        return generating(self._decoder, cell)

    def _library(self, cell: Cell) -> Callable[[], object]:
        import torch

        ids = torch.tensor([prompt.tokens for prompt in prompts_of(cell)])
        mask = torch.ones_like(ids)
        options = {"do_sample": False, "min_new_tokens": cell.new, "max_new_tokens": cell.new, "pad_token_id": 0}
        return lambda: self._model.generate(input_ids=ids, attention_mask=mask, **options)


class OnnxArm:
    """Exported graphs; a session for each number of threads."""

    def __init__(self, folder: Path, encoder: str, decoder: str) -> None:
        self._folder, self._names = folder, (encoder, decoder)
        self._sessions: dict[tuple[str, int], Any] = {}
        self._threads = 1

    def use(self, threads: int) -> None:
        """Set the number of threads."""
        self._threads = threads

    def prepared(self, cell: Cell) -> Callable[[], object]:
        """A call that does the cell's work once."""
        from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder

        kind, name = (OnnxEncoder, self._names[0]) if cell.task == "encode" else (OnnxDecoder, self._names[1])
        key = name, self._threads
        if key not in self._sessions:
            self._sessions[key] = kind(self._folder / name, self._threads)
        loaded = self._sessions[key]
        if cell.task == "encode":
            inputs = encoder_inputs(cell)
            return lambda: loaded(inputs)
        return generating(loaded, cell)


def generating(decoder: Any, cell: Cell) -> Callable[[], object]:
    """Generation with the cache or without; no token ends a row, so that all arms do equal work."""
    from projects.onnx_serving.inference.token_by_token import generate, generate_without_cache

    prompts = prompts_of(cell)
    run = generate if cell.task == "generate" else generate_without_cache
    return lambda: run(decoder, prompts, padding=0, ends=())
