"""`make run-qa_api`: a reader of English, what its scores are worth, the questions by hand; then it can be served."""

from dataclasses import replace
from pathlib import Path

from projects.qa_api.config import Quick
from projects.qa_api.measure.answering import Answering, answered, fitted
from projects.qa_api.train import RUNS
from projects.qa_api.train import main as train
from shared import devices, progress
from shared.errors import command
from shared.run_directories import new_directory

SHOWN = {"exact": "exact match", "f1": "F1", "given_f1": "F1, document given", "found": "its document is read",
         "asked_clear": "a question back to a clear one"}  # fmt: skip
CALIBRATED = 80


def main(config: Quick) -> dict[str, float]:
    """Train a reader, calibrate it, and answer the questions by hand from the small library."""
    devices.use_all_cores()
    out = config.out or new_directory(RUNS, "qa_api", Path(config.model).name)
    trained = train(replace(config, out=out))
    answerer = fitted(out, "e5", 0, CALIBRATED, "sample")
    told = [numbers for numbers, _ in answered(answerer, Answering(reader="minilm"))]
    means = {name: mean([each[name] for each in told if name in each]) for name in SHOWN}
    progress.table(
        "English questions by hand", ["measure", "value"], [[SHOWN[name], each] for name, each in means.items()]
    )
    print(
        f"F1 is {trained.validation_f1:.3f} on made questions of other titles, {means['f1']:.3f} on questions by hand."
    )
    print(f"QA_API_READER={out} python -m projects.qa_api.server answers with it.")
    return means


def mean(values: list[float]) -> float:
    """0 of none."""
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    command(main, Quick)
