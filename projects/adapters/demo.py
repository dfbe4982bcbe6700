"""What the default run does around training: the identity check before, and after it verify, reload and compare."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from projects.adapters.assembly import adapter_maker, read_corpus, read_encoder
from projects.adapters.config import Config
from projects.adapters.evaluate import evaluate
from projects.adapters.hooks.forward_hooks import adapters_of, register_adapters, remove_adapters
from projects.adapters.models.adapter import adapter_parameters
from projects.adapters.state import load_trained
from projects.adapters.train import Metrics
from shared.errors import UserError
from shared.fingerprint import verify
from shared.fingerprint.log import read_records
from shared.plotting import COLOURS, MARKERS, figure
from shared.progress import table

# What is trained, in this order; the rates are those that the experiments chose.
RUNS: dict[str, dict[str, Any]] = {
    "movie reviews, bottleneck": {"dataset": "movie_reviews", "adapter_type": "bottleneck", "lr": 1e-3},
    "movie reviews, parallel": {"dataset": "movie_reviews", "adapter_type": "parallel", "lr": 3e-4, "scale": 4.0},
    "entities, bottleneck": {"dataset": "ner-2", "adapter_type": "bottleneck", "lr": 1e-3},
    "entities, parallel": {"dataset": "ner-2", "adapter_type": "parallel", "lr": 1e-3, "scale": 4.0},
}
TEXTS = (
    "A moving, beautifully acted film .",
    "Two hours of noise and nothing else .",
    "It has its moments , but few .",
)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Both kinds of adapter on movie reviews and on synthetic entities, checked before and after."""

    model: str = "minilm"
    """An embedded model, a local folder, or a Hugging Face id; a BERT."""
    bottleneck: int = 64
    """Inner width m of each adapter."""
    limit: int = 1200
    """Training texts of each task."""
    epochs: int = 2
    """Passes over them."""
    seed: int = 0
    """Seeds initial weights, order and dropout."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    out: Path | None = None
    """Directory of the runs; by default a new one below runs/adapters/."""

    def cells(self) -> dict[str, Config]:
        """The configuration of each run."""
        same = ("model", "bottleneck", "limit", "epochs", "seed", "device")
        base = Config(eval_every=5, curve_rows=128, **{name: getattr(self, name) for name in same})
        return {name: replace(base, **settings) for name, settings in RUNS.items()}


def check_identity(config: Config) -> None:
    """Show that adapters which start at zero change no bit of the encoder's output, and leave none behind.

    Raises:
        UserError: If an output or a weight differs.
    """
    encoder, tokenizer = read_encoder(config)
    tokens = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    words = (tokens["input_ids"], tokens["attention_mask"])
    weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    rows = []
    with torch.inference_mode():
        before = encoder(*words)
        for kind in ("bottleneck", "parallel"):
            made = adapter_maker(replace(config, adapter_type=kind), encoder.size.width)
            names = register_adapters(encoder, config.targets, made)
            counted = sum(p.numel() for _, adapter in adapters_of(encoder) for p in adapter.parameters())
            inside = same_bits(encoder(*words), before)
            remove_adapters(encoder)
            after = same_bits(encoder(*words), before) and encoder.state_dict().keys() == weights.keys()
            after = after and all(same_bits(t, weights[n]) for n, t in encoder.state_dict().items())
            formula = len(names) * adapter_parameters(encoder.size.width, config.bottleneck)
            rows.append((kind, len(names), f"{counted:,}", f"{formula:,}", yes(inside), yes(after)))
            if not (inside and after and counted == formula):
                raise UserError(f"{kind}: the adapters at their start are not the identity, or left something behind")
    columns = ["adapters", "in modules", "parameters", "by the formula", "inserted: same bits", "removed: same bits"]
    table("Identity at the start", columns, rows)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits; 0.0 and −0.0 do not."""
    if one.is_floating_point():
        one, other = one.contiguous().view(torch.int32), other.contiguous().view(torch.int32)
    return torch.equal(one, other)


def check_saved(metrics: Metrics) -> None:
    """Verify a run's fingerprints, reload its adapters into a fresh base, and compare every answer on the test.

    Raises:
        UserError: If a file changed since it was saved, or the score is another.
    """
    findings = verify(metrics.directory)
    rows = [(f.path.name, f.verdict.value, f.detail) for f in findings]
    table(f"Fingerprints of {metrics.directory.name}", ["what", "verdict", "found"], rows)
    changed = [finding for finding in findings if not finding.verdict.unchanged]
    if changed:
        raise UserError(f"{changed[0].path}: {changed[0].verdict.value}, {changed[0].detail}")
    again = load_trained(metrics.directory / "adapter")
    test = read_corpus(again.config, again.tokenizer).test
    score = evaluate(again.model, test, again.classes, tagging=again.tagging).decisive
    print(f"Reloaded into a fresh base: test score {score:.4f}, before it {metrics.score:.4f}\n")
    if score != metrics.score:
        raise UserError(f"{metrics.directory}: the reloaded model scores {score}, not {metrics.score}")


def show(runs: dict[str, Metrics]) -> None:
    """Print one row a run."""
    rows = [
        (
            name,
            m.accuracy,
            m.macro_f1,
            "–" if m.entity_f1 is None else f"{m.entity_f1:.4f}",
            f"{m.trained:,} ({m.trained / m.parameters:.2%})",
            f"{m.seconds:.0f} s",
        )
        for name, m in runs.items()
    ]
    columns = ["trained", "test accuracy", "macro-F1", "entity F1", "parameters", "time"]
    table("Test texts and sentences, never seen in training", columns, rows)


def draw(runs: dict[str, Metrics], path: Path) -> None:
    """The convergence of the runs: validation score by step."""
    with figure(path, title="Validation score while training", xlabel="step", ylabel="accuracy, or entity F1") as axes:
        for index, (name, metrics) in enumerate(runs.items()):
            points = curve_of(metrics.directory)
            look: dict[str, Any] = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 3}
            axes.plot([step for step, _ in points], [value for _, value in points], label=name, **look)
        axes.legend(fontsize=8)
    print(f"Figure: {path}")


def curve_of(directory: Path) -> list[tuple[int, float]]:
    """(step, validation score) of a run's log."""
    return [(r["step"], r["curve_score"]) for r in read_records(directory / "metrics.jsonl") if "curve_score" in r]


def yes(value: bool) -> str:
    """For a table."""
    return "yes" if value else "NO"
