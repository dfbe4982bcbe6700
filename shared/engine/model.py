"""The decoder on ONNX Runtime: token ids in, logits out, keys and values in a cache of the caller's.

b rows · t tokens · n positions whose logits are wanted · v vocabulary
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from shared.engine.cache import KeyValueCache
from shared.engine.graph import PLAIN, STEERABLE, Precision, graph_folder
from shared.engine.steering import RowSteering
from shared.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHUNK = 128
"""Tokens of a prompt that are read at once: a request can be cancelled, and others take their turn, between two."""


def load_engine(
    model: str = "smollm2", precision: Precision = "int8", *, threads: int = 0, steerable: bool = False
) -> Engine:
    """The engine of a model, whose graph is built the first time.

    Args:
        model: An embedded model or a local folder, see `graph_folder`.
        precision: "int8", or "float32" for the tokens that transformers gives.
        threads: What a step may use; 0 leaves it to ONNX Runtime, one a core.
        steerable: Whether requests may bring a `Steering`; a step then takes somewhat longer.

    Raises:
        UserError: As `graph_folder`.
    """
    return Engine(graph_folder(model, precision), threads=threads, steerable=steerable)


class Engine:
    """Runs the graph. It holds no state of any request, so several threads may use one engine, each with its cache.

    ONNX Runtime releases the interpreter's lock while it computes.

    Attributes:
        end: The token that ends an answer.
        vocab_size: v.
        context_length: Positions for which the model was made.
        head_widths: Widths of the projections to queries, keys and values, which the graph computes as one.
    """

    def __init__(self, folder: Path, *, threads: int = 0, steerable: bool = False) -> None:
        import onnxruntime
        from transformers import AutoTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin between two steps take the cores from whoever else wants them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(folder / (STEERABLE if steerable else PLAIN))
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self._added = {name: shape for name, shape in inputs.items() if name.endswith((".down", ".up", ".vector"))}
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = config["decoder"]
        self._shape = (decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"])
        heads = (decoder["num_attention_heads"], *2 * (decoder["num_key_value_heads"],))
        self.head_widths = tuple(count * decoder["head_size"] for count in heads)
        self.tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
        end = config["eos_token_id"]
        self.end: int = end[0] if isinstance(end, list) else end
        self.vocab_size: int = config["vocab_size"]
        self.context_length: int = config["context_length"]

    def new_cache(self, capacity: int, *, rows: int = 1) -> KeyValueCache:
        """An empty cache for `rows` texts of at most `capacity` tokens; 46 kB a token and row for SmolLM2.

        Raises:
            UserError: If the model has fewer positions.
        """
        self.check_length(capacity)
        return KeyValueCache(*self._shape, rows=rows, capacity=capacity, steering=RowSteering(self._added, rows))

    def check_length(self, tokens: int) -> None:
        """Raise UserError if a text of this many tokens is longer than the model's context."""
        if tokens > self.context_length:
            raise UserError(f"{tokens} tokens of prompt and answer: the model takes {self.context_length}")

    def read(self, cache: KeyValueCache, row: int, ids: list[int], *, positions: list[int] | None = None) -> Any:
        """Append tokens to one row.

        Args:
            cache: With room for them.
            row: Which of its rows.
            ids: At least one token.
            positions: Tokens whose logits are wanted; by default the last.

        Returns:
            Float array (n, v): logits of those positions.
        """
        wanted = np.array([positions or [len(ids) - 1]])
        return self._run(cache, row, np.array([ids]), wanted)[0]

    def step(self, cache: KeyValueCache, ids: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b v"]:
        """Append one token to each of the first b rows, and give the logits of what follows.

        The rows may be of any lengths, each has positions of its own.
        """
        return self._run(cache, 0, ids[:, None], np.zeros((len(ids), 1), np.int64))[:, 0]

    def score(self, ids: list[int]) -> Float[np.ndarray, "t v"]:
        """Logits of every position of a text: row i is what the model expects after ids[i]."""
        cache = self.new_cache(len(ids))
        parts = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
        return np.concatenate([self.read(cache, 0, part, positions=[*range(len(part))]) for part in parts])

    def _run(
        self,
        cache: KeyValueCache,
        first: int,
        ids: Int[np.ndarray, "b t"],
        positions: Int[np.ndarray, "b n"],
    ) -> Float[np.ndarray, "b n v"]:
        """Run tokens through the model: several for one row, or one for each of several rows.

        The graph's attention takes no more (several tokens with a past are for a batch of one). It writes keys and
        values into the memory from which it reads them.
        """
        rows = range(first, first + len(ids))
        lengths = [cache.length(row) + ids.shape[1] for row in rows]
        total = max(lengths)
        if ids.size == 0 or ids.min() < 0 or ids.max() >= self.vocab_size:  # the graph would read other memory
            raise UserError(f"token ids must be from 0 to {self.vocab_size - 1}, and at least one")
        if total > cache.capacity:
            raise UserError(f"{total} tokens: the cache has room for {cache.capacity}")
        logits = np.empty((*positions.shape, self.vocab_size), np.float32)
        # Only counted by the graph: it takes a row's length from the sum, and the longest from the width.
        mask = (np.arange(total) < np.array(lengths)[:, None]).astype(np.int64)
        inputs = {"input_ids": ids.astype(np.int64), "attention_mask": mask, "positions": positions[..., None]}
        binding = self._session.io_binding()
        for name, array in inputs.items():
            _bind(binding.bind_input, name, array)
        _bind(binding.bind_output, "logits", logits)
        for name, array in cache.steering.arrays.items():
            _bind(binding.bind_input, name, array[first : first + len(ids)])
        for index, buffer in enumerate(cache.buffers):
            name = f"{index // 2}.{('key', 'value')[index % 2]}"
            part = buffer[first : first + len(ids)]  # whole rows: contiguous
            _bind(binding.bind_input, f"past_key_values.{name}", part)
            _bind(binding.bind_output, f"present.{name}", part)
        self._session.run_with_iobinding(binding)
        for row, read in zip(rows, ids.tolist(), strict=True):
            cache.tokens[row] += read
        cache.computed += ids.size
        return logits


def _bind(bind: Any, name: str, array: np.ndarray) -> None:
    """Bind memory that the caller keeps alive until the run has ended: ONNX Runtime holds only its address."""
    assert array.flags.c_contiguous
    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
