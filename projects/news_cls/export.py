"""The encoder as an ONNX graph in int8: nearly the same labels, which is counted, in less time.

`python -m projects.news_cls.export --run runs/news_cls/served` writes onnx/ beside the checkpoint.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from shared import devices
from shared.assets.quiet import silenced
from shared.errors import UserError, command
from shared.files import atomic_directory, read_json, write_json

if TYPE_CHECKING:
    from projects.news_cls.models.topic_model import TopicModel

FOLDER = "onnx"
GRAPHS = {"float32": "encoder.onnx", "int8": "encoder.int8.onnx"}


class PieceEncoder(nn.Module):
    """Ids and mask of pieces → their mean token state: what a graph can hold of a TopicModel."""

    def __init__(self, model: "TopicModel") -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int[Tensor, "p t"], mask: Bool[Tensor, "p t"]) -> Float[Tensor, "p d"]:
        """Mean over the tokens that the mask holds."""
        states = self.model.through(self.model.embedded(ids), mask, 0)
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


def export(model: "TopicModel", digest: str, folder: Path) -> Path:
    """Write both graphs and say whose they are.

    Args:
        digest: SHA-256 of the encoder's weights, which a head must agree with.
        folder: Must not be there.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ids = torch.randint(1000, 2000, (2, 16))
    given = (ids, torch.ones(2, 16, dtype=torch.bool))
    shapes = {name: {0: "pieces", 1: "tokens"} for name in ("ids", "mask")}
    with atomic_directory(folder) as place, silenced():
        # The tracing exporter: its graph has the plain names and types that the quantiser knows.
        torch.onnx.export(PieceEncoder(model.eval()), given, str(place / GRAPHS["float32"]), dynamo=False,
                          input_names=["ids", "mask"], output_names=["pieces"], opset_version=17,
                          dynamic_axes={**shapes, "pieces": {0: "pieces"}})  # fmt: skip
        graph = onnx.load(place / GRAPHS["float32"])
        del graph.graph.value_info[:]
        onnx.save(graph, place / GRAPHS["float32"])
        # AVX2 without VNNI saturates sums of 8-bit products: seven bits a weight cannot.
        seven = not {"avx512_vnni", "avx_vnni"} & set(devices.cpu_flags())
        quantize_dynamic(place / GRAPHS["float32"], place / GRAPHS["int8"], weight_type=QuantType.QInt8,
                         per_channel=True, reduce_range=seven, op_types_to_quantize=["MatMul"])  # fmt: skip
        write_json(place / "whose.json", {"encoder": digest, "policy": model.policy.saved()})
    return folder


class OnnxEncoder:
    """Embeddings by onnxruntime.

    Args:
        folder: As `export` writes it.
        digest: SHA-256 of the checkpoint that it must belong to.

    Raises:
        UserError: If it is missing, or of another checkpoint.
    """

    def __init__(self, folder: Path, digest: str, precision: str = "int8", threads: int = 0) -> None:
        import onnxruntime as ort

        if not folder.is_dir():
            raise UserError(f"{folder} is not there: python -m projects.news_cls.export makes it")
        if read_json(folder / "whose.json")["encoder"] != digest:
            raise UserError(f"{folder} was made of another checkpoint: remove it and export again")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or devices.cores()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(folder / GRAPHS[precision], options, providers=["CPUExecutionProvider"])

    def embed(self, model: "TopicModel", texts: Sequence[str], at_once: int = 16) -> Float[Tensor, "n d"]:
        """Embed cleaned texts, in their order; pieces of like length are computed together."""
        from projects.news_cls.models.topic_model import padded

        pieces = [(row, ids) for row, text in enumerate(texts) for ids in model.pieces(text)]
        order = sorted(range(len(pieces)), key=lambda number: len(pieces[number][1]))
        sums = torch.zeros(len(texts), model.head.in_features)
        for start in range(0, len(order), at_once):
            rows = order[start : start + at_once]
            ids, mask = padded([pieces[row][1] for row in rows], model.tokenizer.pad_token_id)
            (found,) = self._session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
            owner = torch.tensor([pieces[row][0] for row in rows])
            sums.index_add_(0, owner, torch.from_numpy(np.asarray(found)))
        return normalize(sums, dim=1) * sums.shape[1] ** 0.5


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Export a trained encoder to ONNX, float32 and int8."""

    run: Path = Path("runs/news_cls/served")
    """The run whose model is exported; the graphs go into its folder onnx/."""


def main(config: ExportConfig) -> Path:
    """Export a trained encoder to ONNX, float32 and int8."""
    from projects.news_cls.classifier import Classifier

    classifier = Classifier.load(config.run)
    folder = export(classifier.model, classifier.digest, config.run / FOLDER)
    print(json.dumps({each.name: each.stat().st_size for each in sorted(folder.iterdir())}))  # noqa: T201
    return folder


if __name__ == "__main__":
    command(main, ExportConfig)
