"""Both models to ONNX, in float32 and int8, sealed in one folder with all that a server needs, and compared with torch.

python -m projects.onnx_serving.export.onnx_export --qa runs/onnx_serving/qa/model
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from projects.onnx_serving.export.graphs import DecoderGraph, EncoderGraph
from projects.onnx_serving.export.smoothing import STRENGTH, smooth_activations
from projects.onnx_serving.inference.backends import DECODER_INPUTS, ENCODER_INPUTS, Inputs
from projects.onnx_serving.inference.spans import pad_windows
from projects.onnx_serving.paths import DECODER, DECODER_INT8, ENCODER, ENCODER_INT8, EXPORTED, QA
from shared.assets.quiet import silenced
from shared.errors import UserError, command
from shared.files import atomic_directory, atomic_path, write_json
from shared.fingerprint import seal_directory, team_key
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import describe_code, file_digest

OPSET = 20
CALIBRATION_FILMS = 24  # training films whose questions calibrate: some eighty windows
BLOCK = 32  # numbers that share a scale in the decoder
MARK = "\u0001"  # stands for the user's words while the chat template is cut in two


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Export both models to ONNX, quantise them, and prove in a fresh process that they answer as torch does."""

    qa: Path = QA / "model"
    """Folder of the trained question-answering model."""
    decoder: str = "smollm2"
    """Causal language model: an embedded one, a local folder, or a Hugging Face id."""
    out: Path = EXPORTED
    """Folder that is made; it is not overwritten."""


def main(config: ExportConfig) -> Path:
    """Export both models to ONNX, quantise them, and prove in a fresh process that they answer as torch does."""
    from projects.onnx_serving.export.parity import check
    from projects.onnx_serving.inference.pipelines import question_answering
    from shared.assets import load_causal_lm

    answering = question_answering(config.qa)
    decoder, tokenizer = load_causal_lm(config.decoder)
    with atomic_directory(config.out) as folder:
        export_encoder(answering, folder)
        to_onnx(decoder, folder / DECODER)
        quantise_blocks(folder / DECODER, folder / DECODER_INT8)
        (folder / "qa_tokenizer.json").write_text(answering.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        (folder / "lm_tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        settings = serving_settings(answering.model, decoder, tokenizer)
        write_json(folder / "serving.json", {**settings, "made_from": file_digest(config.qa / MANIFEST)})
        check(answering.model, decoder, tokenizer.pad_token_id, folder)
        seal_directory(folder, {"project": "onnx_serving", "step": 0, **describe_code()}, team_key())
    return config.out


def export_encoder(answering: Any, folder: Path) -> None:
    """Write the graphs of a question-answering pipeline's encoder, in float32 and int8."""
    to_onnx(answering.model, folder / ENCODER)
    quantise(folder / ENCODER, folder / ENCODER_INT8, calibration_inputs(answering))


def serving_settings(encoder: Any, decoder: Any, tokenizer: Any) -> dict[str, Any]:
    """What a server needs beside weights and tokenizers."""
    from projects.onnx_serving.inference.pipelines import settings_of

    chat = [{"role": "user", "content": MARK}]
    before, _, after = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True).partition(MARK)
    ends = decoder.generation_config.eos_token_id
    return {
        "qa": settings_of(encoder),
        "lm": {
            "before": before,
            "after": after,
            "padding": tokenizer.pad_token_id,
            "ends": sorted({tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}),
            "positions": decoder.config.max_position_embeddings,
        },
    }


def to_onnx(model: Any, path: Path) -> Path:
    """Write a model as an ONNX graph with a dynamic number of rows and tokens. Returns the path.

    An encoder for questions gets start and end logits as outputs. A decoder gets the next token's logits and its cache:
    with an empty cache the graph is the prefill, with one it is the step.

    Args:
        model: For question answering, or causal.
        path: Where the graph goes, weights included; at most 2 GB.

    Raises:
        UserError: If the model is of neither kind.
    """
    kind = type(model).__name__
    if kind.endswith("ForQuestionAnswering"):
        return _export(EncoderGraph(model), *encoder_example(model), path)
    if kind.endswith("ForCausalLM"):
        return _export(DecoderGraph(model), *decoder_example(model), path)
    raise UserError(f"{kind} is neither for question answering nor a causal language model: it cannot be exported here")


def encoder_example(model: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Tensors to trace with (no size is 0 or 1, which an exporter freezes), and the names of inputs and sizes."""
    ids = torch.arange(2 * 7).reshape(2, 7) % model.config.vocab_size
    axes = {0: "rows", 1: "tokens"}
    names = {"input_names": list(ENCODER_INPUTS), "output_names": ["start_logits", "end_logits"]}
    return (ids, torch.ones_like(ids), torch.zeros_like(ids)), {**names, "dynamic_shapes": (axes,) * 3}


def decoder_example(model: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same for a decoder: two rows of three new tokens after five in the cache."""
    config = model.config
    rows, new, cached = 2, 3, 5
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shape = (rows, config.num_key_value_heads, cached, head_size)
    past = [torch.zeros(shape) for _ in range(2 * config.num_hidden_layers)]
    ids = torch.arange(rows * new).reshape(rows, new) % config.vocab_size
    mask = torch.ones(rows, cached + new, dtype=torch.long)
    positions = torch.arange(cached, cached + new).expand(rows, -1).contiguous()
    layers = [f"{part}_{layer}" for layer in range(config.num_hidden_layers) for part in ("key", "value")]
    fresh, kept = {0: "rows", 1: "new"}, {0: "rows", 2: "past"}
    return (ids, mask, positions, past), {
        "input_names": [*DECODER_INPUTS, *(f"past_{name}" for name in layers)],
        "output_names": ["logits", *(f"present_{name}" for name in layers)],
        "dynamic_shapes": (fresh, {0: "rows", 1: "total"}, fresh, [kept] * len(past)),
    }


def _export(graph: torch.nn.Module, example: tuple[Any, ...], options: dict[str, Any], path: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=path.parent) as place, silenced():
        program = torch.onnx.export(
            graph.eval(), example, dynamo=True, opset_version=OPSET, optimize=False, verbose=False, **options
        )
        assert program is not None
        raw = Path(place) / "raw.onnx"
        program.save(str(raw), external_data=False)
        with atomic_path(path) as temporary:
            fold_constants(raw, temporary)
    return path


def fold_constants(source: Path, target: Path) -> None:
    """Compute in advance what depends on no input, above all transposed weights, which the quantiser would not know.

    The runtime's own basic pass: it holds on every processor, and takes seconds where the exporter's takes minutes.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4  # it would say aloud that it writes a file
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def calibration_inputs(answering: Any) -> list[Inputs]:
    """Batches of windows of training questions, from which the size of each activation is learned."""
    from projects.onnx_serving.data import load_films, questions_of

    splitter = answering.splitter()
    films = load_films()["train"][:CALIBRATION_FILMS]
    windows = [splitter(question.text, question.context)[0] for question in questions_of(films, seed=0)]
    return [pad_windows(windows[start : start + 16], splitter.pad_id) for start in range(0, len(windows), 16)]


def quantise(
    source: Path, target: Path, calibration: Sequence[Mapping[str, np.ndarray]] = (), strength: float = STRENGTH
) -> Path:
    """Write an encoder's graph with its products in int8: weights by column, activations by tensor as they come.

    One scale for a whole tensor of activations means that a row's numbers depend, slightly, on the rows beside it.

    Args:
        source: A float32 graph.
        target: Where the quantised one goes.
        calibration: Typical inputs; with them, outliers of activations are first moved into the weights.
        strength: α of the smoothing, in [0, 1].

    Raises:
        UserError: If the source cannot be read as a graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = read_graph(source)
    del model.graph.value_info[:]  # the exporter's notes of shapes contradict what the quantiser infers
    if calibration:
        model = smooth_activations(model, calibration, strength)
    products = {"op_types_to_quantize": ["MatMul", "Gemm"]}
    with atomic_path(target) as temporary, silenced():
        quantize_dynamic(model, temporary, per_channel=True, weight_type=QuantType.QInt8, **products)
    return target


def quantise_blocks(source: Path, target: Path) -> Path:
    """Write a decoder's graph with its products in int8: a scale for each 32 numbers, of weights and of activations.

    A few channels of a decoder's activations are many times larger than the others, and one scale for all of them
    would leave the others nothing. The runtime rounds a single row in another order than several, so that a batch's
    numbers differ slightly from those of its rows alone.

    Args:
        source: A float32 graph.
        target: Where the quantised one goes.

    Raises:
        UserError: If the source cannot be read as a graph.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = read_graph(source)
    del model.graph.value_info[:]
    with atomic_path(target) as temporary, silenced(logging.INFO):
        # Accuracy level 4: activations become int8 too, block by block, so that the products are of integers.
        quantiser = MatMulNBitsQuantizer(model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4)
        quantiser.process()
        quantiser.model.save_model_to_file(str(temporary), False)
    return target


def read_graph(path: Path) -> Any:
    """Read the graph of a file.

    Raises:
        UserError: If the file is missing, cut, or no graph.
    """
    try:
        model = onnx.load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: export the models first") from None
    except Exception as error:  # protobuf's own error, or another for each way that a file can be damaged
        raise UserError(
            f"{path} cannot be read as an ONNX graph ({type(error).__name__}): it is cut or edited"
        ) from None
    if not model.graph.node:
        raise UserError(f"{path} holds no ONNX graph: it is cut or edited; export it again")
    return model


def count_products(path: Path) -> dict[str, int]:
    """Number of a graph's matrix products in int8, of those with float weights, and of those between activations."""
    model = read_graph(path)
    weights = {each.name for each in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    return {
        "int8": sum(node.op_type in ("MatMulInteger", "MatMulNBits") for node in model.graph.node),
        "float_weights": sum(any(name in weights for name in node.input) for node in products),
        "activations": sum(not any(name in weights for name in node.input) for node in products),
    }


if __name__ == "__main__":
    command(main, ExportConfig)
