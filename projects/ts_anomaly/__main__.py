"""`make run-ts_anomaly`: train the patch Transformer on a series and judge injected anomalies, beside baselines."""

from dataclasses import replace

from projects.ts_anomaly import train
from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.measure.injected import SEEN, UNSEEN, best_baseline, quick
from projects.ts_anomaly.trials import JUDGED
from shared import progress
from shared.errors import UserError, command
from shared.run_directories import new_directory


def main(config: Config) -> train.Metrics:
    """Train, judge, and say what came of it."""
    series = load_series(config.dataset)
    if len(series.values) - series.validation < JUDGED:
        raise UserError(
            f"--dataset {config.dataset}: fewer than {JUDGED} points are left to judge behind its validation"
        )
    out = config.out or new_directory(train.RUNS, "ts_anomaly", config.arm)
    metrics = train.main(replace(config, out=out))
    rows: dict[str, dict[str, float]] = {config.arm: quick(train.load_detector(out), series)}
    for name in ("random", "stuck", "linear", "left profile", "sub-pca"):
        rows[name] = quick(best_baseline(name, series), series)
    columns = (*SEEN, *UNSEEN)
    cells = [[name, *(f"{row[kind]:.2f}" for kind in columns)] for name, row in rows.items()]
    progress.table(f"Injected into {config.dataset}: AUC-PR, 6 trials a kind", ["detector", *columns], cells)
    means = {name: sum(row[kind] for kind in UNSEEN) / len(UNSEEN) for name, row in rows.items()}
    own = means.pop(config.arm)
    print(
        f"On kinds never seen {config.arm} has a mean AUC-PR of {own:.2f}, the best baseline {max(means.values()):.2f}."
    )
    print(f"Watch a stream with it: python -m projects.ts_anomaly.detect --model {out} --source FILE --follow")
    return metrics


if __name__ == "__main__":
    command(main, Config)
