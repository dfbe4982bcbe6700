"""What the default run shows: the comparisons and who can tell them, texts before and after, and the seals."""

from pathlib import Path

from projects.rlhf_ppo.analysis.bias import baselines, wilson
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import of_split, read_preferences
from projects.rlhf_ppo.stages import stage_directory
from projects.rlhf_ppo.train_rlhf import Metrics
from shared.errors import UserError
from shared.fingerprint import verify
from shared.progress import table

SAMPLES = 4


def show_preferences(config: Config, metrics: Metrics) -> None:
    """Print who puts how many held-out comparisons right: the reward model, and baselines that only see a bias."""
    pairs = read_preferences(stage_directory(config, "preferences") / "pairs" / "preferences.jsonl")
    asked = len(of_split(pairs, "test"))
    found = {"reward model": (round(metrics.pair_accuracy * asked), asked), **baselines(pairs)}
    rows = []
    for name, (right, total) in found.items():
        low, high = wilson(right, total)
        rows.append((name, f"{right / total:.3f}", f"{low:.3f} to {high:.3f}"))
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


def check_saved(directory: Path) -> None:
    """Verify the run's fingerprints.

    Raises:
        UserError: If a file changed since it was saved.
    """
    findings = verify(directory)
    changed = [finding for finding in findings if not finding.verdict.unchanged]
    if changed:
        raise UserError(f"{changed[0].path}: {changed[0].verdict.value}, {changed[0].detail}")
    print(f"Fingerprints: {len(findings)} of {len(findings)} unchanged since they were sealed.")
