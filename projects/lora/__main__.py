"""`make run-lora`: train LoRA and the head-only baseline, save, verify, reload merged, and classify three questions."""

from dataclasses import replace
from pathlib import Path

from projects.lora.config import Config
from projects.lora.demo import check_saved, classify, show
from projects.lora.scripts.train_lora import main as train
from shared.errors import command
from shared.run_directories import claim, new_directory

QUESTIONS = (
    "Which river flows through the city of Cusco ?",
    "How many moons does Jupiter have ?",
    "Who wrote One Hundred Years of Solitude ?",
)


def main(config: Config) -> None:
    """Train LoRA and, beside it, a linear head on the frozen encoder, and check what was saved."""
    head = replace(config, arm="head", resume=False)
    head = replace(head, out=new_directory(Path("runs"), "lora", head.name))
    claim(head.out)  # LoRA comes first: whatever can be refused is refused before anything is trained
    tuned = train(replace(config, arm="lora"))
    show({"frozen encoder, linear head": train(head), f"LoRA, r = {config.rank}": tuned})
    model, tokenizer, classes = check_saved(tuned.directory, config)
    classify(model, tokenizer, classes, QUESTIONS)


if __name__ == "__main__":
    command(main, Config)
