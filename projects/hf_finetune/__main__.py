"""`make run-hf_finetune`: fine-tune MiniLM on product reviews, verify, show the evaluation and three predictions."""

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import PreprocessConfig
from projects.hf_finetune.data.preprocess import main as preprocess
from projects.hf_finetune.evaluation.eval import EvalConfig
from projects.hf_finetune.evaluation.eval import main as show_evaluation
from projects.hf_finetune.predict import classify, load_pipeline
from projects.hf_finetune.training.train import LOGS, report
from projects.hf_finetune.training.train import main as train
from shared.errors import command
from shared.fingerprint import refuse_changed
from shared.progress import table

SENTENCES = (
    "The battery dies after an hour and nobody answers my mails.",
    "It comes with a usb cable and a printed manual.",
    "Setting it up took two minutes, and the pictures are gorgeous.",
)


def main(config: Config) -> None:
    """Fine-tune an encoder on product reviews in a watched process, and show what came of it."""
    if not config.resume:
        preprocess(PreprocessConfig(**config.data))
    metrics = train(config)
    run = metrics.directory
    refuse_changed(run)
    show_evaluation(EvalConfig(run=run))
    found = [(each.text, each.label, f"{each.probability:.2f}") for each in classify(load_pipeline(run), SENTENCES)]
    table('pipeline("text-classification")', ["sentence", "class", "probability"], found)
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {run} (also linked from {LOGS / run.name})")
    report(metrics)


if __name__ == "__main__":
    command(main, Config)
