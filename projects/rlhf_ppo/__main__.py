"""`make run-rlhf_ppo`: preferences, a reward model, a short PPO, and what it changed, in numbers, figures and texts."""

from projects.rlhf_ppo.analysis import metrics_rl
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.demo import show_preferences, show_samples
from projects.rlhf_ppo.train_rlhf import main as train
from projects.rlhf_ppo.train_rlhf import report
from shared.errors import command
from shared.fingerprint import refuse_changed


def main(config: Config) -> None:
    """Align a language model with preferences: a reward model, then PPO."""
    metrics = train(config)
    show_preferences(config, metrics)
    report(metrics)
    show_samples(metrics)
    refuse_changed(metrics.directory)
    for figure in metrics_rl.main(metrics_rl.PlotConfig(run=metrics.directory)):
        print(f"Curves of reward, KL, entropy and clipping: {figure}")


if __name__ == "__main__":
    command(main, Config)
