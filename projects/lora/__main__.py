"""`make run-lora`: train LoRA and the head-only baseline, save, verify, reload merged, and classify three questions."""

from dataclasses import replace

from projects.lora.config import Config
from projects.lora.demo import check_saved, classify, show
from projects.lora.scripts.train_lora import main as train
from shared.errors import command

QUESTIONS = (
    "Which river flows through the city of Cusco ?",
    "How many moons does Jupiter have ?",
    "Who wrote One Hundred Years of Solitude ?",
)


def main(config: Config) -> None:
    """Train LoRA beside a linear head on the frozen encoder, and check what was saved."""
    baseline = train(replace(config, arm="head", out=None, resume=False))
    tuned = train(replace(config, arm="lora"))
    show({"frozen encoder, linear head": baseline, f"LoRA, r = {config.rank}": tuned})
    model, tokenizer, classes = check_saved(tuned.directory, config)
    classify(model, tokenizer, classes, QUESTIONS)


if __name__ == "__main__":
    command(main, Config)
