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
    """The same from an exported graph."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = session(path, threads, ENCODER_INPUTS)

    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """See `Encoder`."""
        start, end = self._session.run(None, {name: inputs[name] for name in ENCODER_INPUTS})
        return start, end


class OnnxDecoder:
    """The same from an exported graph, whose cache stays in the runtime's own memory between two steps."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = session(path, threads, DECODER_INPUTS)
        past = [each for each in self._session.get_inputs() if each.name not in DECODER_INPUTS]
        self._past = [each.name for each in past]
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._heads, self._width = past[0].shape[1], past[0].shape[3]

    def __call__(
        self,
        input_ids: Int[np.ndarray, "b t"],
        mask: Int[np.ndarray, "b s"],
        positions: Int[np.ndarray, "b t"],
        cache: list[Any] | None,
    ) -> tuple[Float[np.ndarray, "b v"], list[Any]]:
        """See `Decoder`."""
        if cache is None:
            nothing = np.zeros((len(input_ids), self._heads, 0, self._width), np.float32)
            cache = [_value(nothing)] * len(self._past)
        arrays = zip(DECODER_INPUTS, map(_value, (input_ids, mask, positions)), strict=True)
        given = {**dict(arrays), **dict(zip(self._past, cache, strict=True))}
        logits, *present = self._session.run_with_ort_values(self._outputs, given)
        return logits.numpy(), present

    def keep(self, cache: list[Any], rows: Sequence[int]) -> list[Any]:
        """See `Decoder`."""
        return [_value(each.numpy()[list(rows)]) for each in cache]


def _value(array: np.ndarray) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def session(path: Path, threads: int, inputs: Sequence[str]) -> Any:
    """An ONNX Runtime session on so many threads.

    Args:
        path: Of the graph.
        threads: That one operation is spread over; operations run one after the other.
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
