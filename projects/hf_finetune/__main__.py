"""`make run-hf_finetune`: fine-tune MiniLM on product reviews, verify, show the evaluation and three predictions."""

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.preprocess import PreprocessConfig
from projects.hf_finetune.data.preprocess import main as preprocess
from projects.hf_finetune.demo import show
from projects.hf_finetune.training.train import main as train
from projects.hf_finetune.training.train import report
from shared.errors import command
from shared.fingerprint import refuse_changed


def main(config: Config) -> None:
    """Fine-tune an encoder on product reviews in a watched process, and show what came of it."""
    if not config.resume:
        preprocess(PreprocessConfig(data=config))
    metrics = train(config)
    refuse_changed(metrics.directory)
    show(metrics.directory)
    report(metrics)


if __name__ == "__main__":
    command(main, Config)
