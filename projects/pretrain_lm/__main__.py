"""`make run-pretrain_lm`: clean the news, train a small model, set it beside a 5-gram, write and measure paragraphs."""

from projects.pretrain_lm.analysis import eval_generation
from projects.pretrain_lm.analysis.beside_ngrams import beside_longest
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.demo import check_saved
from projects.pretrain_lm.train_pretrain import main as train
from projects.pretrain_lm.train_pretrain import report
from shared.errors import command


def main(config: Config) -> None:
    """Pretrain a small language model from raw articles, check what was saved, and see what it writes."""
    metrics = train(config)
    if metrics is None:  # another process of torchrun
        return
    report(metrics)
    check_saved(metrics)
    if config.objective == "causal":
        beside_longest(metrics)
        out = metrics.directory / "generation"
        eval_generation.main(eval_generation.GenerationConfig(run=metrics.directory, prompts=8, new_tokens=60, out=out))


if __name__ == "__main__":
    command(main, Config)
