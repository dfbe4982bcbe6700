"""A watch as one file, so that who is stopped goes on as if nothing had happened: arrays in safetensors, the rest as
JSON.

The weights are not in it: it says which ones it belongs to, and others are refused.
"""

import hashlib
import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from projects.ts_anomaly.data.clean import Scaler
from projects.ts_anomaly.models.detectors import Carried, PatchTransformer
from projects.ts_anomaly.models.interleaved import Reading
from projects.ts_anomaly.monitor.drift import DriftGate
from projects.ts_anomaly.monitor.watch import Watch, WatchConfig
from projects.ts_anomaly.scoring.events import Event
from projects.ts_anomaly.scoring.tails import Tail
from projects.ts_anomaly.scoring.thresholds import Spot
from shared.errors import UserError
from shared.files import atomic_path

PLAIN = ("begun", "step", "interval", "silent", "refits")


def weights_digest(detector: PatchTransformer) -> str:
    """SHA-256 of the model's weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(detector.model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def save_watch(watch: Watch, path: Path, **extra: Any) -> None:
    """Write the state atomically; `extra` is kept beside it (where a file was read to, for one)."""
    tensors = _carried_tensors(watch.carried)
    for name in ("values", "scores", "alarms"):
        tensors[name] = torch.tensor(np.array(getattr(watch, name), dtype=float).copy())
    tensors["reference"] = torch.tensor(watch.gate.reference.copy())
    scaler = watch.detector.scaler
    tensors["centre"], tensors["scale"] = torch.tensor(scaler.centre.copy()), torch.tensor(scaler.scale.copy())
    told = {
        **{name: getattr(watch, name) for name in PLAIN},
        "config": vars(watch.config),
        "spot": watch.spot.as_json(),
        "least": watch.gate.least,
        "event": vars(watch.events.current) if watch.events.current else None,
        "gone": list(watch.gone.items()),
        "tails": [[[t.as_json() if t else None for t in pair] for pair in row] for row in watch.detector.tails],
        "weights": weights_digest(watch.detector),
        "reading": [watch.carried.reading.seen, [cache is not None for cache in watch.carried.reading.caches]],
        "extra": extra,
    }
    with atomic_path(path) as temporary:
        save_file({name: each.contiguous() for name, each in tensors.items()}, temporary, {"watch": json.dumps(told)})


def load_watch(path: Path, detector: PatchTransformer) -> tuple[Watch, dict[str, Any]]:
    """The watch that was saved, around a detector with the same weights; and what was kept beside it.

    Raises:
        UserError: If the file is no state, or belongs to other weights.
    """
    try:
        with safe_open(path, "pt") as file:
            told = dict(json.loads((file.metadata() or {})["watch"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} is no saved state ({error}): remove it to begin anew") from None
    if told.get("weights") != weights_digest(detector):
        raise UserError(f"{path} belongs to a detector with other weights: remove it to begin anew")
    try:
        return _watch(told, tensors, detector), dict(told["extra"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is a damaged state ({error!r}): remove it to begin anew") from None


def _watch(told: dict[str, Any], tensors: dict[str, Tensor], detector: PatchTransformer) -> Watch:
    arrays = {name: tensors[name].numpy() for name in ("values", "scores", "alarms", "reference", "centre", "scale")}
    detector.scaler = Scaler(arrays["centre"], arrays["scale"])
    detector.tails = [[_pair(pair) for pair in row] for row in told["tails"]]
    gate = DriftGate(arrays["reference"], told["least"])
    watch = Watch(detector, WatchConfig(**told["config"]), Spot.from_json(told["spot"]), gate)
    for name in PLAIN:
        setattr(watch, name, told[name])
    watch.gone = dict(told["gone"])
    watch.events.current = Event(**told["event"]) if told["event"] else None
    watch.carried = _carried(tensors, *told["reading"])
    watch.values = deque(map(tuple, arrays["values"].tolist()), maxlen=watch.values.maxlen)
    watch.scores = deque(arrays["scores"].tolist(), maxlen=watch.scores.maxlen)
    watch.alarms = deque((arrays["alarms"] != 0).tolist(), maxlen=watch.alarms.maxlen)
    return watch


def _pair(pair: list[Any]) -> tuple[Tail, Tail | None]:
    return Tail.from_json(pair[0]), Tail.from_json(pair[1]) if pair[1] else None


def _carried_tensors(carried: Carried) -> dict[str, Tensor]:
    reading, tensors = carried.reading, {}
    tensors["near"], tensors["far"] = torch.tensor(carried.near.copy()), torch.tensor(carried.far.copy())
    if reading.last is not None:
        tensors["last"] = reading.last
    for turn, (cache, forecast) in enumerate(zip(reading.caches, reading.forecasts, strict=True)):
        if cache is not None and forecast is not None:
            tensors[f"forecast.{turn}"] = forecast
            for layer, (key, value) in enumerate(cache):
                tensors[f"key.{turn}.{layer}"], tensors[f"value.{turn}.{layer}"] = key, value
    return tensors


def _carried(tensors: dict[str, Tensor], seen: int, begun: list[bool]) -> Carried:
    reading = replace(Reading.new(len(begun)), seen=seen, last=tensors.get("last"))
    for turn, there in enumerate(begun):
        if there:
            layers = sum(name.startswith(f"key.{turn}.") for name in tensors)
            reading.caches[turn] = [(tensors[f"key.{turn}.{n}"], tensors[f"value.{turn}.{n}"]) for n in range(layers)]
            reading.forecasts[turn] = tensors[f"forecast.{turn}"]
    return Carried(reading, tensors["near"].numpy(), tensors["far"].numpy())
