"""What a trained classifier does on the test split, which is read once: scores, calibration, confusions, worst errors.

    python -m projects.hf_finetune.evaluation.eval --run runs/hf_finetune/mine

Training ends with this; a later call shows what was found then. `--again` reads the test split a second time, from the
saved model, and says whether the scores are the same.
"""

import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerFast

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.evaluation.metrics import calibration, confusion, per_class, scores, softmax
from projects.hf_finetune.evaluation.plots import confusion_matrix
from projects.hf_finetune.training.models import load_trained
from shared import devices
from shared.errors import UserError, command
from shared.files import read_json, write_json, write_text
from shared.progress import table
from shared.runs import open_checkpoint

WORST = 10  # errors that the report shows, the most confident first
BATCH = 64
TOLERANCE = 1e-6  # between the scores of training's end and those of the saved model


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Show what a finished run's classifier did on the test split."""

    run: Path
    """Directory of a run of train."""
    again: bool = False
    """Read the test split once more, with the saved model."""


def main(config: EvalConfig) -> dict[str, Any]:
    """Show what a finished run's classifier did on the test split."""
    found = read_json(config.run / "evaluation" / "report.json")
    if config.again:
        evaluate_again(config.run, found)
    show(found)
    sys.stdout.write(f"The figure and the report as text: {config.run / 'evaluation'}\n")
    return found


def evaluate_again(run: Path, before: dict[str, Any]) -> None:
    """Evaluate the saved model on the test split again.

    Raises:
        UserError: If the model changed since it was saved, or another score comes out.
    """
    devices.use_all_cores()
    open_checkpoint(run / "model")
    trained = run_config(run)
    model, tokenizer = load_trained(run / "model", max_length=trained.max_length)
    data = prepare(trained, tokenizer)
    if list(model.config.id2label.values()) != data.classes:
        raise UserError(f"{run}: its model knows {', '.join(model.config.id2label.values())}, not the data's classes")
    probabilities = softmax(logits_of(model, tokenizer, data.splits["test"]))
    now = evaluation_report(probabilities, data.splits["test"], data.classes)
    for name in ("accuracy", "precision", "recall", "macro_f1", "ece"):
        if abs(now[name] - before[name]) > TOLERANCE:
            raise UserError(f"{run}: {name} was {before[name]:.6f} after training and is {now[name]:.6f} now")
    sys.stdout.write(f"Read again from {run / 'model'}: the same scores\n\n")


def run_config(run: Path) -> Config:
    """The configuration that a run was made with.

    Raises:
        UserError: If it is not one of this project.
    """
    saved = read_json(run / "config.json")
    if not isinstance(saved, dict) or saved.keys() - {field.name for field in fields(Config)}:
        raise UserError(f"{run} is no run of this project")
    return Config(**saved)


def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, split: Any, classes: list[str], folder: Path
) -> dict[str, Any]:
    """Classify a split, write report.json, report.txt and the confusion matrix into the folder. Returns the report."""
    found = evaluation_report(softmax(logits_of(model, tokenizer, split)), split, classes)
    write_json(folder / "report.json", found)
    write_text(folder / "report.txt", classification_report(found))
    confusion_matrix(found, folder / "confusion_matrix.png")
    return found


@torch.inference_mode()
def logits_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, split: Any) -> np.ndarray:
    """Scores before the softmax, in the order of the split; the model is left in evaluation mode."""
    model.eval()
    collate, device = DataCollatorWithPadding(tokenizer), model.device
    columns = [name for name in tokenizer.model_input_names if name in split.column_names]
    order = sorted(range(len(split)), key=lambda row: len(split[row]["input_ids"]))
    found = np.zeros((len(split), model.config.num_labels))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = collate([{name: split[row][name] for name in columns} for row in rows])
        found[rows] = model(**batch.to(device)).logits.float().cpu().numpy()
    return found


def evaluation_report(probabilities: np.ndarray, split: Any, classes: list[str]) -> dict[str, Any]:
    """Scores, calibration, confusion matrix and worst errors, as JSON values."""
    labels, predicted = np.asarray(split["labels"]), probabilities.argmax(1)
    matrix = confusion(labels, predicted, len(classes))
    each = per_class(matrix)
    calibrated = calibration(probabilities, labels)
    return {
        **vars(scores(matrix)),
        "ece": calibrated.ece,
        "calibration": asdict(calibrated),
        "classes": classes,
        "per_class": {name: [float(value) for value in values] for name, values in each.items()},
        "support": [int(n) for n in matrix.sum(1)],
        "confusion": matrix.tolist(),
        "worst": worst_errors(probabilities, labels, list(split["text"]), classes),
    }


def worst_errors(
    probabilities: np.ndarray, labels: np.ndarray, texts: list[str], classes: list[str]
) -> list[dict[str, Any]]:
    """The errors in which the classifier was most confident, with their texts."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = sorted(np.flatnonzero(predicted != labels).tolist(), key=lambda row: -confidence[row])[:WORST]
    return [
        {
            "text": texts[row][:160],
            "true": classes[labels[row]],
            "predicted": classes[predicted[row]],
            "confidence": round(float(confidence[row]), 4),
        }
        for row in wrong
    ]


def classification_report(found: dict[str, Any]) -> str:
    """Precision, recall and F1 of each class and their means, in scikit-learn's layout."""
    lines = [f"{'':>12}{'precision':>12}{'recall':>12}{'f1-score':>12}{'support':>12}", ""]
    each, support = found["per_class"], found["support"]
    for index, name in enumerate(found["classes"]):
        values = "".join(f"{each[column][index]:>12.4f}" for column in ("precision", "recall", "f1"))
        lines.append(f"{name:>12}{values}{support[index]:>12}")
    total = sum(support)
    lines += ["", f"{'accuracy':>12}{'':>24}{found['accuracy']:>12.4f}{total:>12}"]
    means = "".join(f"{found[name]:>12.4f}" for name in ("precision", "recall", "macro_f1"))
    lines.append(f"{'macro avg':>12}{means}{total:>12}")
    return "\n".join(lines) + "\n"


def show(found: dict[str, Any]) -> None:
    """Print the report, the confusions, the calibration and the worst errors."""
    sys.stdout.write(classification_report(found) + "\n")
    columns = ["true \\ predicted", *found["classes"]]
    table("Confusion matrix", columns, [[n, *row] for n, row in zip(found["classes"], found["confusion"], strict=True)])
    sys.stdout.write(f"Expected calibration error in 10 bins: {found['ece']:.4f}\n\n")
    rows = [(e["true"], e["predicted"], f"{e['confidence']:.2f}", e["text"][:72]) for e in found["worst"][:5]]
    table("Most confident errors", ["true", "predicted", "confidence", "text"], rows)


if __name__ == "__main__":
    command(main, EvalConfig)
