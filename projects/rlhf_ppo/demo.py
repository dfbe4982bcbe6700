"""What the default run shows: the comparisons and who can tell them, texts before and after."""

from projects.rlhf_ppo.analysis.bias import baselines, share
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import of_split
from projects.rlhf_ppo.stages import Stage, read_pairs
from projects.rlhf_ppo.train_rlhf import Metrics
from shared.progress import table

SAMPLES = 4


def show_preferences(config: Config, metrics: Metrics) -> None:
    """Print who puts how many held-out comparisons right: the reward model, and baselines that only see a bias."""
    pairs = read_pairs(Stage.of(config, "preferences"))
    asked = len(of_split(pairs, "test"))
    found = [share("reward model", round(metrics.pair_accuracy * asked), asked), *baselines(pairs)]
    rows = [(each["decider"], f"{each['share']:.3f}", f"{each['low']:.3f} to {each['high']:.3f}") for each in found]
    noisy = sum(pair.against_gold for pair in pairs) / len(pairs)
    title = f"{asked} held-out comparisons; noise turned {noisy:.0%} of all {len(pairs)} round"
    table(title, ["who decides", "right", "95 % interval"], rows)


def show_samples(metrics: Metrics) -> None:
    """Print the same prompts answered before and after: the first ones, not the best ones."""
    before, after = metrics.before, metrics.after
    rows = [
        (prompt, one.strip(), f"{g:+.1f}", two.strip(), f"{h:+.1f}")
        for prompt, one, g, two, h in zip(
            metrics.prompts, before.responses, before.gold, after.responses, after.gold, strict=True
        )
    ]
    table("Held-out prompts", ["prompt", "reference", "gold", "after PPO", "gold "], rows[:SAMPLES])
