"""The reader and the encoder of questions as ONNX graphs, float32 and int8, in the folder onnx/ of the reader's run.

`python -m projects.qa_api.export --run runs/qa_api/e5` writes them, sealed, with all that a server needs beside them;
`--bert FOLDER` writes the reader as a plain BertForQuestionAnswering, which other programs can load.

w windows · t tokens · d width
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from projects.qa_api.index.encoder import PREFIXES, TOKENS, SentenceEncoder
from projects.qa_api.reader.decode import read
from projects.qa_api.reader.model import SpanReader
from shared import devices
from shared.assets.quiet import silenced
from shared.errors import UserError, command
from shared.files import atomic_directory, read_json, remove_directory, write_json
from shared.fingerprint import seal_directory, team_key
from shared.fingerprint.citations import checkpoints
from shared.fingerprint.manifest import NAME as MANIFEST
from shared.fingerprint.origin import describe_code, file_digest

FOLDER = "onnx"
FACTS = "serving.json"
TOKENIZERS = {"reader": "reader-tokenizer", "encoder": "encoder-tokenizer"}
OPSET = 17
FEED_FORWARD = re.compile(r"layers\.\d+/output/dense/")
MASKED = torch.finfo(torch.float32).min  # finite, so that a row of padding divides by something


def graph_name(part: str, precision: str) -> str:
    """Name of a graph's file: reader or encoder, float32 or int8."""
    return f"{part}.{precision}.onnx"


class States(nn.Module):
    """Ids and mask to the last states of a BERT, by its layers: what the exporter traces has no branch in it.

    Shapes are in words: a checker that looked at them while the graph is traced would freeze them.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.embeddings, self.layers = encoder.embeddings, encoder.encoder.layer

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(w, t, d) of ids (w, t) and mask (w, t), 1 for what is no padding."""
        bias = (1.0 - mask[:, None, None, :].float()) * MASKED
        states = self.embeddings(input_ids=ids)
        for layer in self.layers:
            output = layer(states, bias)
            states = output if isinstance(output, Tensor) else output[0]
        return states


class ReaderGraph(nn.Module):
    """Scores of first and last tokens, without the −∞ of padding, which the caller puts in."""

    def __init__(self, reader: SpanReader) -> None:
        super().__init__()
        self.states, self.head = States(reader.encoder), reader.head

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(w, t, 2) of ids and mask (w, t)."""
        scores: Tensor = self.head(self.states(ids, mask))
        return scores


class EncoderGraph(nn.Module):
    """Vectors of length 1: the mean over the tokens that the mask holds."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.states = States(encoder)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(w, d) of ids and mask (w, t)."""
        weights = mask[..., None].float()
        mean = (self.states(ids, mask) * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)


def export(reader: SpanReader, encoder: SentenceEncoder, folder: Path, *, made_from: str) -> Path:
    """Write both graphs in both precisions, the tokenizers and what a server must know; all or nothing, sealed.

    Args:
        folder: Must not be there.
        made_from: Digest of the checkpoint, by which a folder that is not of it is told.
    """
    with atomic_directory(folder) as place:
        for part, graph in (("reader", ReaderGraph(reader)), ("encoder", EncoderGraph(encoder.model))):
            to_onnx(graph, place / graph_name(part, "float32"), "scores" if part == "reader" else "vectors")
            quantise(place / graph_name(part, "float32"), place / graph_name(part, "int8"))
        reader.tokenizer.save_pretrained(place / TOKENIZERS["reader"])
        encoder.tokenizer.save_pretrained(place / TOKENIZERS["encoder"])
        write_json(place / FACTS, {"reader": reader.name, "upper": reader.upper, "encoder": encoder.name,
                                   "identity": encoder.identity, "width": encoder.width, "tokens": TOKENS,
                                   "prefixes": PREFIXES.get(encoder.name, {}), "made_from": made_from})  # fmt: skip
        seal_directory(place, {"project": "qa_api", "step": 0, **describe_code()}, team_key())
    return folder


def to_onnx(graph: nn.Module, path: Path, output: str) -> None:
    """Write a graph with any number of rows and tokens."""
    import onnx

    ids = torch.arange(2 * 7).reshape(2, 7) + 5
    axes = {name: {0: "rows", 1: "tokens"} for name in ("ids", "mask")}
    with torch.inference_mode(), silenced():
        # The tracing exporter: its graph has the plain names and types that the quantiser knows.
        sizes = {**axes, output: {0: "rows", 1: "tokens"} if output == "scores" else {0: "rows"}}
        torch.onnx.export(graph.eval(), (ids, torch.ones_like(ids)), str(path), dynamo=False, opset_version=OPSET,
                          input_names=["ids", "mask"], output_names=[output], dynamic_axes=sizes)  # fmt: skip
    model = onnx.load(path)
    del model.graph.value_info[:]  # the exporter's notes of shapes contradict what the quantiser infers
    onnx.save(model, path)


def quantise(source: Path, target: Path) -> None:
    """Products with weights in int8, a scale a column; activations by tensor as they come.

    The second product of each feed-forward layer stays in float32: a few of its inputs are so large that a scale for
    all of them leaves nothing of the others.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # AVX2 without VNNI saturates sums of 8-bit products: seven bits a weight cannot.
    seven = not {"avx512_vnni", "avx_vnni"} & set(devices.cpu_flags())
    kept = [node.name for node in onnx.load(source).graph.node if FEED_FORWARD.search(node.name)]
    with silenced():
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=seven,
                         op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=kept)  # fmt: skip
    halve_embeddings(target)


def halve_embeddings(path: Path) -> None:
    """Keep the table of words in half precision, most of the file and of the memory; a row is cast when used."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, wide = (
        model.graph,
        {each.name: each for each in model.graph.initializer if each.dims and each.dims[0] > 5000},
    )
    for at, node in enumerate(list(graph.node)):
        if node.op_type == "Gather" and node.input[0] in wide:
            table, output = wide.pop(node.input[0]), node.output[0]
            table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table).astype("float16"), table.name))
            node.output[0] = f"{output}_half"
            graph.node.insert(at + 1, helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT))
            break
    onnx.save(model, path)


def export_bert(reader: SpanReader, folder: Path) -> Path:
    """Write the reader as a BertForQuestionAnswering with its tokenizer: the same scores, start and end apart."""
    from transformers import BertForQuestionAnswering

    model = BertForQuestionAnswering(reader.encoder.config)
    own = {name: each for name, each in reader.encoder.state_dict().items() if not name.startswith("pooler.")}
    missing, unknown = model.bert.load_state_dict(own, strict=False)
    if missing or unknown:
        raise UserError(f"the reader is no plain BERT: {[*missing, *unknown][:3]}")
    model.qa_outputs.load_state_dict(reader.head.state_dict())
    with atomic_directory(folder) as place:
        model.eval().save_pretrained(place)
        reader.tokenizer.save_pretrained(place)
    return folder


def checkpoint_digest(run: Path) -> str:
    """Digest of a run's last checkpoint.

    Raises:
        UserError: If it has none.
    """
    saved = checkpoints(run)
    if not saved:
        raise UserError(f"{run} holds no checkpoint: train first")
    return file_digest(saved[-1] / MANIFEST)


def agreement(one: SpanReader, other: SpanReader, pairs: Sequence[tuple[str, str]]) -> dict[str, float | int]:
    """How far two readers agree on pairs of question and text.

    Returns:
        Shares of equal spans, of equal spans where the first finds one better than none, and of equal decisions
        whether there is an answer; and the largest difference of margins.
    """
    found, again = read(one, pairs), read(other, pairs)
    same = [(a.start, a.stop) == (b.start, b.stop) for a, b in zip(found, again, strict=True)]
    answered = [equal for equal, each in zip(same, found, strict=True) if each.margin > 0]
    decided = [(a.margin > 0) == (b.margin > 0) for a, b in zip(found, again, strict=True)]
    return {
        "pairs": len(pairs),
        "same_span": sum(same) / max(len(same), 1),
        "same_where_answered": sum(answered) / max(len(answered), 1),
        "same_decision": sum(decided) / max(len(decided), 1),
        "margin_apart": max((abs(a.margin - b.margin) for a, b in zip(found, again, strict=True)), default=0.0),
    }


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Export a trained reader and its encoder to ONNX, float32 and int8."""

    run: Path
    """The reader's run; the graphs go into its folder onnx/, and older ones of another checkpoint go."""
    encoder: str = "e5"
    """Encoder of questions and documents."""
    bert: Path | None = None
    """Write the reader here as a BertForQuestionAnswering too."""


def main(config: ExportConfig) -> Path:
    """Export, unless the graphs of this very checkpoint and encoder are there."""
    from projects.qa_api.runtime import opened
    from projects.qa_api.train import load_reader

    folder, made_from = config.run / FOLDER, checkpoint_digest(config.run)
    reader = load_reader(config.run)
    if config.bert is not None:
        export_bert(reader, config.bert)
    if folder.exists():
        opened(folder)  # one that was changed is not thrown away unsaid
        facts = read_json(folder / FACTS)
        if (facts["made_from"], facts["encoder"]) == (made_from, config.encoder):
            return folder
        remove_directory(folder)
    return export(reader, SentenceEncoder.load(config.encoder), folder, made_from=made_from)


if __name__ == "__main__":
    command(main, ExportConfig)
