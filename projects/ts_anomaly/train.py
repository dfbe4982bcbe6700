"""The training loop of every arm, and what is kept of it: `python -m projects.ts_anomaly.train --dataset mitdb`."""

# b batch · n points · m points of the prefix

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.inject import inject, kinds
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detector import Detector
from projects.ts_anomaly.learned import digest, extra_of, size_of
from projects.ts_anomaly.models.association import Association
from projects.ts_anomaly.models.contrast import Contrast, contrast_loss
from projects.ts_anomaly.models.detectors import PatchTransformer, WindowTransformer, new_detector, new_model
from projects.ts_anomaly.models.masked import Masked
from projects.ts_anomaly.training_state import Keep, Moved
from projects.ts_anomaly.trials import pooled_auc_pr, trials
from shared import progress
from shared.errors import UserError, command
from shared.files import read_json, write_json
from shared.fingerprint.citations import checkpoints
from shared.optim import cosine_schedule
from shared.run_directories import new_directory
from shared.runs import Run, verified_tensors
from shared.seeding import generator, seed_everything

RUNS = Path("runs")
RESULT, DETECTOR = "result.json", "detector.json"
VALIDATION_TRIALS = 8  # of each kind trained against
JITTER = 0.3  # of a training stretch: log of its scale, and its offset in scaled units; a tenth of it is noise
WINDOWS = 8  # windows for each sequence of a batch
AFTER = 0.5  # weight of the cross-entropy beside the pinball loss is 1; of the pinball loss itself this
EVERY = 100  # steps between two checkpoints

Step = Callable[[int], Tensor]


@dataclass(frozen=True)
class Metrics:
    """What a training came to.

    Attributes:
        loss: The last one.
        validation: Mean AUC-PR on injections of the kinds trained against, in the part for validation.
        parameters: Trained ones.
    """

    loss: float
    validation: float
    parameters: int


def main(config: Config) -> Metrics:
    """Train on the prefix of a series, calibrate on its validation part, and keep the detector."""
    out = config.out or new_directory(RUNS, "ts_anomaly", f"{config.arm}-{Path(config.dataset).stem}")
    size = (extra_of(out).get("size") if config.resume else None) or size_of(config.dataset)
    series, begun = load_series(config.dataset, size), time.process_time()
    data = digest(config.dataset, size)
    with Run(out, project="ts_anomaly", config=config, resume=config.resume, data=data) as run:
        keep = Keep(run, size, begun)
        detector, loss = fit(config, series, keep)
        validation = validate(detector, series)
        parameters = sum(each.numel() for each in detector.model.parameters())
        if run.step < config.steps:  # else it was stopped behind its last checkpoint, and what follows is already there
            run.log(config.steps, validation_auc_pr=validation, parameters=parameters, seconds=keep.seconds)
            told = {"detector": as_json(detector), "loss": loss, "size": size}
            run.save(config.steps, dict(detector.model.state_dict()), extra=told)
        run.keep_checkpoints(config.steps)
    metrics = Metrics(loss, validation, parameters)
    write_json(out / DETECTOR, {"arm": config.arm, **as_json(detector)})
    write_json(out / RESULT, vars(metrics))
    return metrics


def fit(config: Config, series: Series, keep: Keep | None = None) -> tuple[PatchTransformer | WindowTransformer, float]:
    """A trained and calibrated detector of a series, and its last loss.

    Args:
        keep: Logs and keeps what is needed to go on; without it a training that is stopped is gone.
    """
    torch.set_num_threads(1)  # models this small only wait for a second one
    seed_everything(config.seed)
    detector = new_detector(config.arm, new_model(config, series.values.shape[1]))
    detector.fit(series.prefix)
    values = detector.scaler(series.prefix)
    if len(values) < config.window + config.patch:
        raise UserError(f"--dataset {config.dataset}: {len(values)} points to fit on, but a window has {config.window}")
    loss = descend(config, detector, values, keep)
    detector.model.eval()
    if isinstance(detector, PatchTransformer):
        detector.calibrate(series.known, series.fit)
    return detector, loss


def descend(config: Config, detector: Any, values: Float[np.ndarray, "m c"], keep: Keep | None) -> float:
    """Adam with warm-up and cosine. Returns the last loss."""
    model = detector.model
    priors = [p for name, p in model.named_parameters() if "sigma" in name]
    rest = [p for name, p in model.named_parameters() if "sigma" not in name]
    optimizer = torch.optim.AdamW([{"params": rest}, {"params": priors}], config.lr, weight_decay=1e-2)
    schedule = cosine_schedule(optimizer, total=config.steps, last=0.02)
    moved = Moved(optimizer, schedule, generator(config.seed, 1), np.random.default_rng([config.seed, 1]))
    done, last = keep.restore(config.steps, model, moved) if keep else (0, math.nan)
    steps = range(done + 1, config.steps + 1)
    for step in progress.track(steps, description=config.arm, total=config.steps, done=done):
        optimizer.zero_grad()
        last = _backward(config, model, values, moved.draws, moved.random, priors, rest)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if keep and (step % 50 == 0 or step == config.steps):
            keep.run.log(step, loss=last)
        if keep and step % EVERY == 0 and step < config.steps:
            keep.save(step, last, model, moved)
    return last


def _backward(
    config: Config,
    model: torch.nn.Module,
    values: Float[np.ndarray, "m c"],
    draws: torch.Generator,
    random: np.random.Generator,
    priors: list[Tensor],
    rest: list[Tensor],
) -> float:
    """Gradients of one batch; returns its loss."""
    if isinstance(model, Contrast):
        sequences, labels = sequences_of(config, values, random)
        forecast, judged = contrast_loss(model(sequences)[0], sequences, labels, trim=config.trim)
        loss = AFTER * forecast + (judged if config.arm != "forecast" else 0.0)
        loss.backward()
        return float(loss.detach())
    cut = windows_of(config.window, values, WINDOWS * config.batch, draws)
    if isinstance(model, Association):
        near, far = model.losses(cut)
        own = torch.autograd.grad(near, priors, retain_graph=True)
        others = torch.autograd.grad(far, rest)
        for each, gradient in zip([*priors, *rest], [*own, *others], strict=True):
            each.grad = gradient
        return float(near.detach())
    assert isinstance(model, Masked)
    loss = model.loss(cut, draws)
    loss.backward()
    return float(loss.detach())


def windows_of(
    length: int, values: Float[np.ndarray, "m c"], count: int, draws: torch.Generator
) -> Float[Tensor, "b n"]:
    """Random windows of random channels."""
    data = torch.tensor(values.T.copy(), dtype=torch.float32)
    rows = torch.randint(data.shape[0], (count,), generator=draws)
    starts = torch.randint(data.shape[1] - length + 1, (count,), generator=draws)
    return torch.stack([data[row, start : start + length] for row, start in zip(rows, starts, strict=True)])


def sequences_of(
    config: Config, values: Float[np.ndarray, "m c"], random: np.random.Generator
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """Random sequences, and where anomalies were put into them; the arm without anomalies gets none."""
    length = min(config.sequence, len(values) // config.patch * config.patch)
    names, some, marked = kinds("train"), [], []
    for _ in range(config.batch):
        drawn = [int(random.integers(values.shape[1]))]
        hit = 0
        if config.arm == "mixed":  # all channels of a stretch, and anomalies in one of them
            drawn, hit = list(range(values.shape[1])), drawn[0]
        start = int(random.integers(len(values) - length + 1))
        sequence = jittered(values[start : start + length, drawn], random)
        labels = np.zeros(sequence.shape, dtype=int)
        known = values[:, drawn[hit]]
        known = known[~np.isnan(known)]
        for _ in range(int(random.integers(0, 4)) if config.arm != "forecast" else 0):
            kind = names[int(random.integers(len(names)))]
            put = inject(sequence[:, hit], kind, "train", known, random)
            sequence[:, hit], labels[:, hit] = put.values, labels[:, hit] | put.labels
        some.append(sequence.T)
        marked.append(labels.T)
    made = (np.concatenate(each) for each in (some, marked))
    sequences, labelled = (torch.tensor(each, dtype=torch.float32) for each in made)
    return sequences, labelled


def jittered(values: Float[np.ndarray, "n c"], random: np.random.Generator) -> Float[np.ndarray, "n c"]:
    """The stretch a little larger or smaller, moved, and with noise: what is normal drifts, and a prefix is soon
    known.
    """
    scale, offset = np.exp(random.uniform(-JITTER, JITTER)), random.normal(0, JITTER)
    return values * scale + offset + random.normal(0, JITTER / 10, values.shape)


def validate(detector: Detector, series: Series) -> float:
    """Mean pooled AUC-PR of the kinds trained against, in the part for validation: what choices are made by."""
    names = kinds("train")
    told = {"side": "train", "part": "validation", "count": VALIDATION_TRIALS, "seed": 1000, "needs": detector.context}
    found = list(trials(detector.score, series, names, **told))  # type: ignore[arg-type]
    return float(np.mean([pooled_auc_pr([each for each in found if each.kind == name]) for name in names]))


def as_json(detector: PatchTransformer | WindowTransformer) -> dict[str, Any]:
    """What is kept beside the weights."""
    told: dict[str, Any] = {"centre": detector.scaler.centre.tolist(), "scale": detector.scaler.scale.tolist()}
    if isinstance(detector, PatchTransformer):
        told["tails"] = [[[t.as_json() if t else None for t in pair] for pair in row] for row in detector.tails]
    return told


def load_detector(directory: Path) -> PatchTransformer | WindowTransformer:
    """The detector of a run, from verified weights.

    Raises:
        UserError: If there is none, or it does not verify.
    """
    from projects.ts_anomaly.data.clean import Scaler
    from projects.ts_anomaly.scoring.tails import Tail

    told, saved = read_json(directory / "config.json"), checkpoints(directory)
    if not saved:
        raise UserError(f"{directory} holds no checkpoint: train first")
    config = Config(**{name: value for name, value in told.items() if name not in ("out", "resume")})
    state = extra_of(directory).get("detector")
    if state is None:
        raise UserError(f"{directory}: its training was stopped; go on with it (--out {directory} --resume)")
    detector = new_detector(config.arm, new_model(config, len(state["centre"])))
    detector.model.load_state_dict(verified_tensors(saved[-1]))
    detector.model.eval()
    detector.scaler = Scaler(np.array(state["centre"], dtype=float), np.array(state["scale"], dtype=float))
    if isinstance(detector, PatchTransformer):
        rows = state["tails"]
        detector.tails = [[tuple(Tail.from_json(t) if t else None for t in pair) for pair in row] for row in rows]  # type: ignore[misc]
    return detector


if __name__ == "__main__":
    command(main, Config)
