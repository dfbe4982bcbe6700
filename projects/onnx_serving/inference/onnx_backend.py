"""Exported graphs in ONNX Runtime. Nothing here needs torch: the server starts without it."""

# b rows · t new tokens · p tokens in the cache · s = p + t · v vocabulary

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jaxtyping import Float, Int

from projects.onnx_serving.inference.backends import DECODER_INPUTS, ENCODER_INPUTS, Inputs, Logits
from shared.errors import UserError


class OnnxEncoder:
    """An `Encoder` from an exported graph."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, threads, ENCODER_INPUTS)

    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """Run the graph."""
        start, end = self._session.run(None, {name: inputs[name] for name in ENCODER_INPUTS})
        return start, end


class OnnxDecoder:
    """A `Decoder` from an exported graph; its cache stays in the runtime's own memory between two steps."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, threads, DECODER_INPUTS)
        past = [each for each in self._session.get_inputs() if each.name not in DECODER_INPUTS]
        self._past = [each.name for each in past]
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._heads, self._head_size = past[0].shape[1], past[0].shape[3]

    def __call__(
        self,
        input_ids: Int[np.ndarray, "b t"],
        attention_mask: Int[np.ndarray, "b s"],
        position_ids: Int[np.ndarray, "b t"],
        cache: list[Any] | None,
    ) -> tuple[Float[np.ndarray, "b v"], list[Any]]:
        """Run the graph once."""
        if cache is None:
            empty = np.zeros((len(input_ids), self._heads, 0, self._head_size), np.float32)
            cache = [_ort_value(empty)] * len(self._past)
        arrays = map(_ort_value, (input_ids, attention_mask, position_ids))
        inputs = dict(zip((*DECODER_INPUTS, *self._past), (*arrays, *cache), strict=True))
        logits, *present = self._session.run_with_ort_values(self._outputs, inputs)
        return logits.numpy(), present

    def select_rows(self, cache: list[Any], rows: Sequence[int]) -> list[Any]:
        """The cache of these rows alone."""
        return [_ort_value(each.numpy()[list(rows)]) for each in cache]


def _ort_value(array: np.ndarray) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def open_session(path: Path, threads: int, inputs: Sequence[str]) -> Any:
    """An ONNX Runtime session on so many threads.

    Args:
        path: The graph's file.
        threads: Threads for one operation; operations run one after the other.
        inputs: Names that the graph must take.

    Raises:
        UserError: If the file is missing, cut, no ONNX graph, or another one than is asked for.
    """
    if not path.is_file():
        raise UserError(
            f"{path} is not there: export the models first (python -m projects.onnx_serving.export.onnx_export)"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors come back as exceptions; the rest is not for a person's screen
    try:
        opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base class of their own
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(
            f"{path} is no ONNX graph that can be loaded ({reason}): it is cut or edited; export it again"
        ) from None
    missing = sorted(set(inputs) - {each.name for each in opened.get_inputs()})
    if missing:
        raise UserError(f"{path} takes no {', '.join(missing)}: it is the graph of another model")
    return opened
