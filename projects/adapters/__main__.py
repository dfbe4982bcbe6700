"""`make run-adapters`: both kinds of adapter on movie reviews and on synthetic entities, checked before and after."""

from pathlib import Path

from projects.adapters.arms import ARMS
from projects.adapters.config import Config, RunConfig
from projects.adapters.evaluate import EvaluateConfig
from projects.adapters.evaluate import main as evaluate
from projects.adapters.identity import check_identity
from projects.adapters.train import main as train
from projects.adapters.train import report
from shared.errors import UserError, command
from shared.fingerprint import refuse_changed
from shared.run_directories import claim, new_directory

# Dataset, arm, and the rate that the study chose.
RUNS = {
    "movie reviews, bottleneck": ("movie_reviews", "bottleneck", 1e-3),
    "movie reviews, parallel": ("movie_reviews", "parallel", 3e-4),
    "entities, bottleneck": ("ner-2", "bottleneck", 1e-3),
    "entities, parallel": ("ner-2", "parallel", 1e-3),
}


def main(config: RunConfig) -> None:
    """Identity check, four short trainings, fingerprints, and a reload of each into a fresh base."""
    folder = config.out or new_directory(Path("runs"), "adapters", "default")
    claim(folder)
    check_identity(Config(model=config.model, bottleneck=config.bottleneck))
    runs = {}
    for name, (dataset, arm, rate) in RUNS.items():
        told = {**ARMS[arm], **vars(config), "dataset": dataset, "lr": rate, "eval_every": 5, "curve_rows": 128}
        runs[name] = train(Config(**{**told, "out": folder / name.replace(", ", "-").replace(" ", "-")}))
        refuse_changed(runs[name].directory)
    report("Test texts and sentences, never seen in training", runs)
    reloaded = evaluate(EvaluateConfig(run=tuple(run.directory for run in runs.values()), device=config.device))
    for run, again in zip(runs.values(), reloaded, strict=True):
        if (again["accuracy"], again["entity_f1"]) != (run.accuracy, run.entity_f1):
            raise UserError(f"{run.directory}: the reloaded model scores otherwise than the trained one")


if __name__ == "__main__":
    command(main, RunConfig)
