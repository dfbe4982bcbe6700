"""`make run-qa_api`: a reader of English, what its scores are worth, the questions by hand; leaves what a server needs."""

from dataclasses import replace
from pathlib import Path

from projects.qa_api.config import Config
from projects.qa_api.measure.answering import Answering, answered, fitted
from projects.qa_api.train import RUNS
from projects.qa_api.train import main as train
from shared import devices, progress
from shared.errors import command
from shared.run_directories import new_directory

QUICK = Config(model="minilm", epochs=1, described=400, cloze=600)
TAUGHT, CALIBRATED = 200, 80


def main(config: Config = QUICK) -> dict[str, float]:
    """Train a reader, fit what its scores are worth, and ask it the English questions that were written by hand."""
    devices.use_all_cores()
    out = config.out or new_directory(RUNS, "qa_api", Path(config.model).name)
    trained = train(replace(config, out=out))
    answerer = fitted(out, "e5", TAUGHT, CALIBRATED)
    told = [numbers for numbers, _ in answered(answerer, Answering(reader="minilm"))]
    means = {name: mean(told, name) for name in ("exact", "f1", "given_f1", "found", "said_none", "asked_clear")}
    progress.table("English questions by hand", ["measure", "value"], [[name, value] for name, value in means.items()])
    print(f"F1 on made questions of validation titles is {trained.validation_f1:.3f}; on questions by hand", end=" ")
    print(f"{means['f1']:.3f}, and {means['given_f1']:.3f} where their document is given.")
    print(f"QA_API_READER={out} make serve-qa_api answers with it.")
    return means


def mean(told: list[dict[str, float]], name: str) -> float:
    """Over the questions that have it."""
    found = [numbers[name] for numbers in told if name in numbers]
    return sum(found) / max(len(found), 1)


if __name__ == "__main__":
    command(main, Config, default=QUICK)
