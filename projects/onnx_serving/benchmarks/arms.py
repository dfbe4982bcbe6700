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
class Case:
    """A task at a shape, to be timed.

    Attributes:
        task: "encode"; "generate" (with the cache), "recompute" (without it), or "library" (transformers' generate).
        rows: Size of the batch.
        tokens: Length of a row, or of a prompt.
        threads: Threads of torch or of the runtime.
        new_tokens: Tokens generated a row.
        calls: Number of calls in one turn.
    """

    task: str
    rows: int
    tokens: int
    threads: int
    new_tokens: int = 0
    calls: int = 1


def encoder_cases(threads: int) -> list[Case]:
    """Batch sizes at 64 tokens, lengths at 8 rows, and one thread at 1 and 8 rows of 64 tokens."""
    shapes = [(1, 64), (8, 64), (32, 64), (8, 16), (8, 256)]
    cases = [Case("encode", rows, tokens, threads, calls=8 if rows * tokens <= 512 else 1) for rows, tokens in shapes]
    return cases + [Case("encode", rows, 64, 1, calls=8) for rows in (1, 8) if threads > 1]


def generation_cases(threads: int) -> list[Case]:
    """With the cache, without it, and by the library, for one row and for eight."""
    tasks = [(1, "generate"), (1, "library"), (1, "recompute"), (8, "generate"), (8, "library")]
    return [Case(task, rows, PROMPT, threads, NEW) for rows, task in tasks]


def supports(arm: str, case: Case) -> bool:
    """Whether an arm has this task.

    The library's loop is torch's alone, torch's int8 is for the encoder, bfloat16 is not measured without the cache.
    """
    if case.task == "library":
        return arm == "torch float32"
    lacks = {"torch int8": ("generate", "recompute"), "torch bfloat16": ("recompute",)}
    return case.task not in lacks.get(arm, ())


@dataclass(frozen=True)
class ArmSettings:
    """What an arm's process loads.

    Attributes:
        arm: Runtime and precision.
        graphs: Folder of the exported graphs.
        qa: Folder of the trained model, for torch.
        decoder: Name of the causal language model, for torch.
    """

    arm: Arm
    graphs: Path
    qa: Path
    decoder: str


def serve_arm(pipe: Connection, settings: ArmSettings) -> None:
    """An arm's process: answer each case with the milliseconds of each call, until the process is ended."""
    runtime, precision = settings.arm.split()
    arm = (
        TorchArm(settings.qa, settings.decoder, precision)
        if runtime == "torch"
        else OnnxArm(settings.graphs, *GRAPHS[precision])
    )
    prepared: dict[Case, Callable[[], object]] = {}
    pipe.send("ready")
    while True:
        case = pipe.recv()
        arm.set_threads(case.threads)
        if case not in prepared:
            prepared[case] = call = arm.prepare(case)
            call()  # warm-up
        call, times = prepared[case], []
        for _ in range(case.calls):
            started = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - started))
        pipe.send(times)


def encoder_inputs(case: Case) -> dict[str, np.ndarray]:
    """Random tokens without padding: its cost is measured apart, on real texts."""
    ids = np.random.default_rng(0).integers(1000, 20000, (case.rows, case.tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def prompts_of(case: Case) -> list[Any]:
    """Prompts of one length, so that every arm generates the same number of tokens."""
    from projects.onnx_serving.inference.token_by_token import Prompt

    ids = np.random.default_rng(0).integers(1000, 20000, (case.rows, case.tokens))
    return [Prompt(token_ids=row, max_new_tokens=case.new_tokens) for row in ids.tolist()]


class TorchArm:
    """The library's models in float32 or bfloat16; in int8 the encoder alone, its linear layers."""

    def __init__(self, qa: Path, decoder: str, precision: str) -> None:
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
            encoder, self._model = encoder.to(dtype), load_causal_lm(decoder)[0].to(dtype)
            self._decoder = TorchDecoder(self._model)
        self._encoder = TorchEncoder(encoder)

    def set_threads(self, threads: int) -> None:
        """Set the number of threads of the next calls."""
        import torch

        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def prepare(self, case: Case) -> Callable[[], object]:
        """A call that does the case's work once."""
        if case.task == "encode":
            inputs = encoder_inputs(case)
            return lambda: self._encoder(inputs)
        if case.task == "library":
            return self._library(case)
        return generation_call(self._decoder, case)

    def _library(self, case: Case) -> Callable[[], object]:
        import torch

        ids = torch.tensor([prompt.token_ids for prompt in prompts_of(case)])
        mask = torch.ones_like(ids)
        length = {"min_new_tokens": case.new_tokens, "max_new_tokens": case.new_tokens}
        options = {"do_sample": False, "pad_token_id": 0, **length}
        return lambda: self._model.generate(input_ids=ids, attention_mask=mask, **options)


class OnnxArm:
    """Exported graphs; a session for each number of threads."""

    def __init__(self, folder: Path, encoder: str, decoder: str) -> None:
        self._folder, self._encoder, self._decoder = folder, encoder, decoder
        self._sessions: dict[tuple[str, int], Any] = {}
        self._threads = 1

    def set_threads(self, threads: int) -> None:
        """Set the number of threads of the next calls."""
        self._threads = threads

    def prepare(self, case: Case) -> Callable[[], object]:
        """A call that does the case's work once."""
        from projects.onnx_serving.inference.onnx_backend import OnnxDecoder, OnnxEncoder

        if case.task == "encode":
            inputs, encoder = encoder_inputs(case), self._opened(OnnxEncoder, self._encoder)
            return lambda: encoder(inputs)
        return generation_call(self._opened(OnnxDecoder, self._decoder), case)

    def _opened(self, backend: Callable[[Path, int], Any], name: str) -> Any:
        key = name, self._threads
        if key not in self._sessions:
            self._sessions[key] = backend(self._folder / name, self._threads)
        return self._sessions[key]


def generation_call(decoder: Any, case: Case) -> Callable[[], object]:
    """Generation with the cache or without; no token ends a row, so that all arms do equal work."""
    from projects.onnx_serving.inference.token_by_token import generate, generate_without_cache

    prompts = prompts_of(case)
    run = generate if case.task == "generate" else generate_without_cache
    return lambda: run(decoder, prompts, pad_id=0, eos_ids=())
