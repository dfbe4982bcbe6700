"""Prune and quantise a trained LoRA classifier, before and after merging, with torch alone.

    python -m projects.lora.scripts.pruning_quant --run runs/lora/trec-lora-r16-seed0

What becomes of the zeros when the update is merged is the point: a dense update added to a sparse weight leaves no
zero, so a mask has to be applied again, or pruning has to come second.
"""

import copy
import statistics
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as Int8Linear
from torch.nn.utils import prune

from projects.lora.config import Config
from projects.lora.data import Texts
from projects.lora.demo import load_trained
from projects.lora.evaluate import logits_of, score
from projects.lora.models.classifier import Classifier
from projects.lora.models.lora import fold_lora
from projects.lora.scripts.train_lora import read_corpus
from shared import devices
from shared.errors import UserError, command
from shared.files import read_json, refuse_unwritable, write_json
from shared.progress import table, track
from shared.report import write_csv
from shared.tensors import contiguous

Masks = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """Prune and quantise a trained LoRA classifier, before and after merging."""

    run: Path
    """Directory of a run of train_lora with --arm lora."""
    levels: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.9)
    """Shares of the encoder's linear weights that are set to zero."""
    rounds: int = 30
    """Timed turns of each variant; the first three are warm-up."""
    out: Path = Path("runs/lora/pruned")
    """Where pruning_quant.csv and .json go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.levels or not all(0 <= level < 1 for level in self.levels):
            raise UserError(f"--levels {self.levels}: shares in [0, 1) are expected")
        if self.rounds < 4:
            raise UserError(f"--rounds {self.rounds}: at least 4, of which 3 are warm-up")


@dataclass(frozen=True)
class Variant:
    """A model to measure.

    Attributes:
        name: What was done to it, in order.
        level: Share of the weights that pruning set to zero.
        model: Ready for inference.
    """

    name: str
    level: float
    model: nn.Module


def main(config: PruneConfig) -> list[dict[str, Any]]:
    """Measure accuracy, file size and latency of pruned and quantised variants of one trained classifier."""
    refuse_unwritable(config.out)
    devices.use_all_cores()
    trained = training_config(config.run)
    model, tokenizer, _ = load_trained(config.run, trained, merge=False)
    test = read_corpus(trained, tokenizer).test
    variants = list(variants_of(model, config.levels))
    times = latencies(variants, test, config.rounds)
    rows = [
        {
            "variant": variant.name,
            "level": variant.level,
            "accuracy": round(score(logits_of(variant.model, test), test.labels).accuracy, 4),
            **{name: round(value, 3) for name, value in size_of(variant.model).items()},
            "ms_one_question": round(times[index], 2),
        }
        for index, variant in enumerate(track(variants, description="accuracy", total=len(variants)))
    ]
    show(rows)
    write_csv(config.out / "pruning_quant.csv", rows)
    write_json(config.out / "pruning_quant.json", {"rounds": config.rounds - 3, **devices.machine()})
    return rows


def training_config(run: Path) -> Config:
    """The configuration that a run was made with."""
    saved = read_json(run / "config.json")
    if saved.get("arm") != "lora":
        raise UserError(f"{run} is a run of the arm {saved.get('arm')!r}: there is no LoRA in it to merge")
    return Config(**{**saved, "targets": tuple(saved["targets"])})


def variants_of(model: Classifier, levels: tuple[float, ...]) -> Iterator[Variant]:
    """Every order of pruning, merging and quantising that is worth comparing."""
    for level in levels:
        apart, masks = pruned(model, level)
        yield Variant("prune", level, apart)
        merged = copy.deepcopy(apart)
        fold_lora(merged)
        yield Variant("prune, merge", level, merged)
        remasked = copy.deepcopy(merged)
        apply_masks(remasked, masks)
        yield Variant("prune, merge, mask again", level, remasked)
        folded = copy.deepcopy(model)
        fold_lora(folded)
        folded, _ = pruned(folded, level)
        yield Variant("merge, prune", level, folded)
        if level in (0.0, 0.5):
            yield Variant("prune, int8", level, int8(apart))
            yield Variant("merge, prune, int8", level, int8(folded))


def pruned(model: Classifier, level: float) -> tuple[Classifier, Masks]:
    """A copy whose encoder's smallest linear weights are zero, chosen over all layers; and the masks (1 = kept).

    `prune` keeps the dense weight beside its mask until `prune.remove`: without it neither merging nor saving would see
    the zeros.
    """
    model = copy.deepcopy(model)
    layers = dict(dense_layers(model))
    chosen = [(layer, "weight") for layer in layers.values()]
    prune.global_unstructured(chosen, pruning_method=prune.L1Unstructured, amount=level)
    masks = {name: layer.get_buffer("weight_mask").clone() for name, layer in layers.items()}
    for layer in layers.values():
        prune.remove(layer, "weight")
        layer.weight.requires_grad_(False)
    return model, masks


def apply_masks(model: Classifier, masks: Masks) -> None:
    """Set to zero, in a merged model, what pruning had set to zero before."""
    layers = dict(dense_layers(model))
    with torch.no_grad():
        for name, mask in masks.items():
            layers[name].weight.mul_(mask)


def dense_layers(model: Classifier) -> Iterator[tuple[str, nn.Linear]]:
    """The encoder's linear layers under the names of the plain model, whether LoRA wraps them or not."""
    for name, module in model.encoder.named_modules():
        if isinstance(module, nn.Linear):
            yield name.removesuffix(".base"), module


def int8(model: Classifier) -> nn.Module:
    """A copy with dynamically quantised linear layers: int8 weights, activations quantised as they come.

    torch swaps by exact type. In a model that is not merged it therefore swaps the base inside each LoRA layer and
    leaves A and B in float32.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own notice of a successor outside torch
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """All tensors of a model by name; of a quantised layer the int8 weight, its scale and its zero point."""
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    for name, module in model.named_modules():
        if isinstance(module, Int8Linear):
            weight, bias = module._weight_bias()
            state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
            state[f"{name}.weight"] = weight.int_repr()
            state[f"{name}.scale"] = torch.tensor(weight.q_scale())
            state[f"{name}.zero_point"] = torch.tensor(weight.q_zero_point())
            if bias is not None:
                state[f"{name}.bias"] = bias
    return contiguous(state)


def size_of(model: nn.Module) -> dict[str, float]:
    """Share of zeros among the encoder's linear weights; the model's file in MB (10⁶ bytes), plain and compressed."""
    raw = save(tensors_of(model))
    weights = [m.weight() if isinstance(m, Int8Linear) else m.weight for m in _linear_modules(model)]
    values = [w.int_repr() if w.is_quantized else w for w in weights]
    zeros = sum(int((v == 0).sum()) for v in values) / sum(v.numel() for v in values)
    return {"zeros": zeros, "file_mb": len(raw) / 1e6, "zip_mb": len(zlib.compress(raw, 6)) / 1e6}


def _linear_modules(model: nn.Module) -> list[Any]:
    return [m for m in model.encoder.modules() if isinstance(m, (nn.Linear, Int8Linear))]  # type: ignore[union-attr]


@torch.inference_mode()
def latencies(variants: list[Variant], test: Texts, rounds: int) -> list[float]:
    """Median milliseconds for one question, each variant in turn in every round; three rounds are warm-up."""
    questions = [test.batch([row]) for row in range(rounds)]
    times: list[list[float]] = [[] for _ in variants]
    for question in track(questions, description="latency", total=rounds):
        for variant, taken in zip(variants, times, strict=True):
            started = time.perf_counter()
            variant.model.eval()(question.input_ids, question.attention_mask)
            taken.append(1000 * (time.perf_counter() - started))
    return [statistics.median(taken[3:]) for taken in times]


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows."""
    columns = ["what, in order", "level", "test accuracy", "zeros", "file", "compressed", "one question"]
    formats: list[Callable[[dict[str, Any]], object]] = [
        lambda r: r["variant"],
        lambda r: f"{r['level']:.0%}",
        lambda r: r["accuracy"],
        lambda r: f"{r['zeros']:.1%}",
        lambda r: f"{r['file_mb']:.1f} MB",
        lambda r: f"{r['zip_mb']:.1f} MB",
        lambda r: f"{r['ms_one_question']:.1f} ms",
    ]
    table("Pruned and quantised", columns, [[form(row) for form in formats] for row in rows])


if __name__ == "__main__":
    command(main, PruneConfig)
