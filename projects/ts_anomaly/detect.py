"""Anomalies of a stream, as it comes: `python -m projects.ts_anomaly.detect --model RUN --source metrics.csv --follow`.

Alerts are lines of JSON on standard output. With --state what is needed to go on is written now and then and at the
end, so that a stopped process judges every point once. An answer of a Prometheus range query (a .json file) is read
whole.
"""

import copy
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from projects.ts_anomaly.data.reading import Row, read_prometheus
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import Told, Webhook
from projects.ts_anomaly.monitor.sources import Followed, Place, from_stream
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import MOST_MEMORY, RECENT, Watch, WatchConfig, new_watch
from projects.ts_anomaly.monitor.whole import Whole
from projects.ts_anomaly.train import load_detector
from shared.errors import UserError, command
from shared.files import read_json, refuse_unwritable

SAVE_EVERY = 30.0  # seconds
LARGEST_JSON = 200_000_000  # bytes of an answer of Prometheus


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """Watch a stream with a trained detector."""

    model: Path
    """Directory of a run of `train` (arm contrast)."""
    source: str = "-"
    """A CSV file, a .json file with the answer of a Prometheus range query, or - for standard input."""
    follow: bool = False
    """Wait for more at the end of the file, as `tail -F` does."""
    state: Path | None = None
    """File in which to go on."""
    webhook: str = ""
    """URL that alerts are posted to."""
    chance: float = 1 / 10_080
    """Chance of a false alarm at a step; 1/10080 is one a week of minutes."""
    threshold: float | None = None
    """Surprise from which on to alarm, instead of the level from extreme values."""
    interval: float | None = None
    """Seconds of a step; by default the first distance of two times."""
    refit: bool = True
    """Fit scale and threshold again when what is normal has moved."""
    memory: int = WatchConfig.memory
    """Steps that a new fit sees; fewer false alarms, and a later first fit, with more (a week of minutes: 10080)."""


def main(config: DetectConfig) -> int:
    """Judge every row; returns how many steps were judged."""
    if not 0 < config.chance < 0.5:
        raise UserError(f"--chance {config.chance}: must be above 0 and below 0.5")
    if not RECENT <= config.memory <= MOST_MEMORY:
        raise UserError(f"--memory {config.memory}: must be from {RECENT} to {MOST_MEMORY}")
    if config.state:
        refuse_unwritable(config.state.parent)
    told = Told(webhook=Webhook(config.webhook) if config.webhook else None)
    detector, dataset = patch_detector(config.model)
    if config.source.endswith(".json"):
        return _prometheus(config, detector, dataset, told)
    place: Place | None = None
    if config.state and config.state.exists():
        watch, extra = load_watch(config.state, detector)
        place = Place(*extra["place"]) if extra.get("place") else None
    else:
        watch = fresh(detector, dataset, watch_config(config))
    source = None if config.source == "-" else Followed(Path(config.source), place, follow=config.follow)

    judged = [place]  # up to here rows were judged; the source may have read one more

    def save() -> None:
        if config.state:
            save_watch(watch, config.state, place=list(vars(judged[0]).values()) if judged[0] else None)

    def note() -> None:
        judged[0] = source.place if source else None

    rows = source.rows() if source else from_stream(sys.stdin)
    with told.closing():
        return _judge(watch, rows, told, Path(config.source).name, save, note)


def _judge(
    watch: Watch,
    rows: Iterable[Row | None],
    told: Told,
    name: str,
    save: Callable[[], None] = lambda: None,
    note: Callable[[], None] = lambda: None,
) -> int:
    """Judge rows as they come, save now and then; a Ctrl-C or SIGTERM comes between two rows, and saves too.

    Args:
        save: Keeps the watch.
        note: Is told that a row was judged.
    """
    saved, before, whole = time.monotonic(), watch.step, Whole()
    with whole.listening():
        try:
            for row in rows:
                with whole.row():
                    alerts = watch.tick(time.time()) if row is None else watch.push(row.time, _fitting(row, watch))[1]
                    note()
                    told.tell(name, alerts)
                    if time.monotonic() - saved > SAVE_EVERY:
                        save()
                        saved = time.monotonic()
        finally:
            with whole.row():
                save()
            if watch.step > before:
                sys.stderr.write(f"{watch.step - before} steps judged, threshold {watch.level:.2f}\n")
    return watch.step - before


def _fitting(row: Row, watch: Watch) -> tuple[float, ...]:
    wanted = len(watch.detector.scaler.centre)
    if len(row.values) != wanted:
        raise UserError(f"the stream has {len(row.values)} channels, the detector was trained on {wanted}")
    return row.values


def _prometheus(config: DetectConfig, detector: PatchTransformer, dataset: str, told: Told) -> int:
    """Each series of an answer with a watch of its own."""
    path = Path(config.source)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > LARGEST_JSON:
        raise UserError(f"{path}: has more than {LARGEST_JSON} bytes; ask Prometheus for a shorter range")
    steps = 0
    with told.closing():
        for name, rows in read_prometheus(path.read_bytes(), str(path)):
            watch = fresh(copy.deepcopy(detector), dataset, watch_config(config))
            steps += _judge(watch, rows, told, name)
    return steps


def watch_config(config: DetectConfig) -> WatchConfig:
    """What a watch is told."""
    memory = config.memory if config.refit else 0
    return WatchConfig(chance=config.chance, interval=config.interval, threshold=config.threshold, memory=memory)


def patch_detector(directory: Path) -> tuple[PatchTransformer, str]:
    """The detector of a run, and the series that it was trained on.

    Raises:
        UserError: If it does not stream with caches.
    """
    detector = load_detector(directory)
    if not isinstance(detector, PatchTransformer):
        raise UserError(f"--model {directory}: only the arms contrast and forecast are watched with")
    return detector, str(read_json(directory / "config.json")["dataset"])


def fresh(detector: PatchTransformer, dataset: str, config: WatchConfig) -> Watch:
    """A watch whose threshold comes from the series that the detector was trained on."""
    series: Series = load_series(dataset)
    return new_watch(detector, series.known, series.fit, config)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl-C: what was judged is saved
    command(main, DetectConfig)
