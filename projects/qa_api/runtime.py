"""What computes in a server: reader and encoder on ONNX Runtime (the default) or torch, safe for several threads.

    parts = load_parts(run, encoder="e5")

A window is computed by itself, cut to its own length: nothing is spent on padding, and its scores do not depend on the
windows beside it, as those of an int8 batch with one scale for all rows would.

w windows · t tokens · n texts · d width
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from projects.qa_api.export import FACTS, FOLDER, TOKENIZERS, checkpoint_digest, graph_name
from projects.qa_api.index.encoder import Encoder, Role, SentenceEncoder
from projects.qa_api.index.merge import Merge
from projects.qa_api.reader.calibrate import Calibrator
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.trained import load_fitted, load_trained, newest
from shared import devices
from shared.errors import UserError
from shared.files import read_json
from shared.fingerprint import BrokenError, open_verified, team_key
from shared.fingerprint.manifest import Opened

Runtime = Literal["auto", "onnx", "int8", "torch"]
Precision = Literal["float32", "int8"]


class OneAtATime:
    """A tokenizer that several threads can call, one after another.

    A fast tokenizer keeps how it cuts and pads as state; of two threads that call one, the second changes it under the
    first, which then cuts as it was not told to, or fails. A call takes about a millisecond; a copy for each thread
    would take some hundred megabytes of e5's words.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._lock = tokenizer, threading.Lock()

    def __call__(self, *given: Any, **more: Any) -> Any:
        """Tokenise."""
        with self._lock:
            return self.tokenizer(*given, **more)


class OnnxReader(SpanReader):
    """A reader whose scores a graph computes, of as many windows at once as there are cores.

    One question alone then has the whole machine, and several take turns window by window.

    Args:
        graph: The file's content.
        threads: How many one window gets.
    """

    def __init__(self, graph: bytes, tokenizer: Any, name: str, upper: int, threads: int = 1) -> None:
        nn.Module.__init__(self)  # of a SpanReader it has the interface, and no weights
        self.name, self.upper, self.tokenizer = name, upper, tokenizer
        self._session = session(graph, threads)
        self._workers = ThreadPoolExecutor(devices.cores(), thread_name_prefix="window")

    def forward(self, ids: Int[Tensor, "w t"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t 2"]:
        """Scores of windows; padding has −∞."""
        scores = torch.full((*ids.shape, 2), -torch.inf)
        cut = [row[known].numpy()[None] for row, known in zip(ids, mask, strict=True)]
        for row, found in enumerate(self._workers.map(partial(_run, self._session), cut)):
            scores[row, : found.shape[1]] = torch.from_numpy(found[0])
        return scores


class OnnxEncoder:
    """Vectors that a graph computes; `identity` is that of the model that it was made from.

    Args:
        graph: The file's content.
        facts: As the export tells them.
    """

    def __init__(self, graph: bytes, tokenizer: Any, facts: dict[str, Any], threads: int = 1) -> None:
        self._session, self._tokenizer, self._facts = session(graph, threads), tokenizer, facts

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self._facts["width"])

    @property
    def identity(self) -> str:
        """Tells the vectors of two encoders apart."""
        return str(self._facts["identity"])

    def encode(self, texts: Sequence[str], role: Role) -> Float[np.ndarray, "n d"]:
        """A vector of length 1 for each text, each computed by itself."""
        prefix = self._facts["prefixes"].get(role, "")
        found = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            told = self._tokenizer([prefix + text], truncation=True, max_length=self._facts["tokens"])
            found[row] = _run(self._session, np.array(told["input_ids"], np.int64))[0]
        return found


@dataclass(frozen=True)
class Exact:
    """The model that a graph was made from, loaded when it is wanted: of vectors that others read too."""

    name: str
    width: int
    identity: str

    def encode(self, texts: Sequence[str], role: Role) -> Float[np.ndarray, "n d"]:
        """A vector of length 1 for each text, in float32."""
        return SentenceEncoder.load(self.name).encode(texts, role)


def session(graph: bytes, threads: int) -> Any:
    """A graph that can be run, several runs at once."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _run(computing: Any, ids: Int[np.ndarray, "1 t"]) -> np.ndarray:
    (found,) = computing.run(None, {"ids": ids, "mask": np.ones_like(ids)})
    return np.asarray(found)


def opened(folder: Path) -> Opened:
    """A verified folder of graphs.

    Raises:
        UserError: If it is not there, or a file in it was changed.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not there: `python -m projects.qa_api.export --run {folder.parent}` makes it")
    try:
        return open_verified(folder, team_key())
    except BrokenError as broken:
        raise UserError(f"{broken.path}: {broken.detail}; remove {folder} and export again") from None


def onnx_parts(folder: Path, precision: Precision = "float32", threads: int = 1) -> tuple[OnnxReader, OnnxEncoder]:
    """Reader and encoder from a verified folder, from the very bytes that were verified.

    Raises:
        UserError: If it cannot be used.
    """
    from transformers import AutoTokenizer

    files, facts = opened(folder), read_json(folder / FACTS)
    words = {part: OneAtATime(AutoTokenizer.from_pretrained(folder / name)) for part, name in TOKENIZERS.items()}
    graphs = {part: files.read(graph_name(part, precision)) for part in TOKENIZERS}
    reader = OnnxReader(graphs["reader"], words["reader"], facts["reader"], facts["upper"], threads)
    return reader, OnnxEncoder(graphs["encoder"], words["encoder"], facts, threads)


@dataclass(frozen=True)
class Parts:
    """All that a service is made of but its store.

    Attributes:
        exact: Encodes the documents that the service begins with, whose vectors are kept in the cache of models.
    """

    encoder: Encoder
    exact: Encoder
    reader: SpanReader
    merge: Merge | None
    calibrator: Calibrator


def load_parts(run: Path | None, *, encoder: str, runtime: Runtime = "auto", threads: int = 1) -> Parts:
    """From a reader's run, by default the newest.

    Args:
        runtime: By default onnx, in float32, where the run has graphs; int8 is faster and does not always read the same
            (agreement.csv has how often). Graphs that were changed, or are of another checkpoint, are refused and not
            passed over.
        threads: How many one window gets, from torch and ONNX Runtime alike; several windows are read at once.

    Raises:
        UserError: If there is none, it does not verify, or its graphs are of another checkpoint or encoder.
    """
    torch.set_num_threads(threads)
    found = run or newest()
    if runtime == "torch" or (runtime == "auto" and not (found / FOLDER).exists()):
        trained = load_trained(found)
        trained.reader.tokenizer = OneAtATime(trained.reader.tokenizer)
        told = SentenceEncoder.load(encoder)
        told.tokenizer = OneAtATime(told.tokenizer)
        return Parts(told, told, trained.reader, trained.merge, trained.calibrator)
    reader, computed = onnx_parts(found / FOLDER, "int8" if runtime == "int8" else "float32", threads)
    facts = read_json(found / FOLDER / FACTS)
    if facts["encoder"] != encoder or facts["made_from"] != checkpoint_digest(found):
        raise UserError(f"{found / FOLDER} is of another checkpoint or encoder: export again, or QA_API_RUNTIME=torch")
    merge, calibrator = load_fitted(found)
    exact = Exact(encoder, computed.width, computed.identity)
    return Parts(computed, exact, reader, merge, calibrator)
