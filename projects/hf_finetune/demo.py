"""What the default run does after training: show the evaluation, classify three sentences of its own."""

from pathlib import Path

from projects.hf_finetune.evaluation import eval as evaluation
from projects.hf_finetune.predict import classify, load_pipeline
from projects.hf_finetune.training.train import LOGS
from shared.progress import table

SENTENCES = (
    "The battery dies after an hour and nobody answers my mails.",
    "It comes with a usb cable and a printed manual.",
    "Setting it up took two minutes, and the pictures are gorgeous.",
)


def show(run: Path) -> None:
    """The evaluation that training ended with, three predictions, and where to look further."""
    evaluation.main(evaluation.EvalConfig(run=run))
    answers = [(a.text, a.label, f"{a.probability:.2f}") for a in classify(load_pipeline(run), SENTENCES)]
    table('pipeline("text-classification")', ["sentence", "class", "probability"], answers)
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {run} (also linked from {LOGS / run.name})")
