"""`make run-ppo_dpo_orpo`: a small DPO, ORPO and PPO side by side, and two prompts answered before and after."""

from dataclasses import replace
from pathlib import Path

from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.demo import DemoConfig, show
from projects.ppo_dpo_orpo.prepare import prepare
from projects.ppo_dpo_orpo.study import METHODS, train
from projects.ppo_dpo_orpo.train_ppo import refuse_prompts
from projects.ppo_dpo_orpo.train_preference import Metrics
from shared.errors import command
from shared.fingerprint import refuse_changed
from shared.run_directories import claim, new_directory


def main(config: DemoConfig) -> None:
    """Learn from a few preference pairs by DPO, ORPO and PPO, and say what came of it."""
    folder = config.out or new_directory(Path("runs"), "ppo_dpo_orpo", "three")
    planned: dict[str, Config] = {  # all of it is refused here, or none
        method: replace(config.base, method=method, lr=rate, out=folder / method)
        for method, rate in zip(METHODS, (1e-3, 2e-3, 1e-3), strict=True)
    }
    claim(folder)
    prepared = prepare(config.base)
    refuse_prompts(planned["ppo"], prepared)
    runs: dict[str, tuple[Config, Metrics]] = {method: (own, train(own, prepared)) for method, own in planned.items()}
    refuse_changed(folder)
    show(runs, prepared)


if __name__ == "__main__":
    command(main, DemoConfig)
