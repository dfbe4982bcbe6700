"""What the default run does around training: the identity check before, and after it verify, reload and compare."""

from dataclasses import dataclass
from pathlib import Path

from projects.adapters import plots
from projects.adapters.arms import ARMS, read_corpus
from projects.adapters.config import Config
from projects.adapters.convergence import curve
from projects.adapters.evaluate import evaluate
from projects.adapters.state import load_trained
from projects.adapters.train import Metrics
from shared.errors import UserError
from shared.fingerprint import refuse_changed, team_key
from shared.fingerprint.citations import read_source
from shared.study import Done

# What is trained, in this order: dataset, arm, and the rate that the study chose.
RUNS = {
    "movie reviews, bottleneck": ("movie_reviews", "bottleneck", 1e-3),
    "movie reviews, parallel": ("movie_reviews", "parallel", 3e-4),
    "entities, bottleneck": ("ner-2", "bottleneck", 1e-3),
    "entities, parallel": ("ner-2", "parallel", 1e-3),
}


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
        told = {**vars(self), "eval_every": 5, "curve_rows": 128}
        return {
            name: Config(**{**ARMS[arm], **told, "dataset": dataset, "lr": rate})
            for name, (dataset, arm, rate) in RUNS.items()
        }


def check_saved(metrics: Metrics) -> None:
    """Verify a run's fingerprints, reload its adapters into a fresh base, and compare every answer on the test.

    Raises:
        UserError: If a file changed since it was saved, or the score is another.
    """
    refuse_changed(metrics.directory)
    again = load_trained(metrics.directory / "adapter")
    test = read_corpus(again.config, again.tokenizer).test
    score = evaluate(again.model, test, again.classes, tagging=again.tagging).decisive
    print(f"Reloaded into a fresh base: test score {score:.4f}, before it {metrics.score:.4f}\n")
    if score != metrics.score:
        raise UserError(f"{metrics.directory}: the reloaded model scores {score}, not {metrics.score}")


def draw(cells: dict[str, Config], runs: dict[str, Metrics], path: Path) -> None:
    """The convergence of the runs: validation score by step, a panel a task."""
    done = [Done(name, cells[name], read_source(runs[name].directory, team_key())) for name in runs]
    points = [point for each in done for point, _ in curve(each)]
    tasks = {point["dataset"]: point["dataset"] for point in points}
    names = tuple(dict.fromkeys(point["method"] for point in points))
    label = "accuracy, or entity F1"
    plots.converge(points, "score", path, title="Validation score", ylabel=label, tasks=tasks, names=names)
    print(f"Figure: {path}")
