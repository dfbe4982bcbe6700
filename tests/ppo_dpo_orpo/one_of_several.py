"""One of torchrun's processes: trains, and fails if a thread of gloo's is left, which may abort the exit."""

from pathlib import Path

from projects.ppo_dpo_orpo import prepare
from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.prepare import Judges
from projects.ppo_dpo_orpo.train_preference import main
from shared.errors import command
from tests.ppo_dpo_orpo.conftest import Counting


def judged(config: Config) -> object:
    """Learn from preference pairs, with judges that count."""
    prepare.film_judges = lambda: Judges(Counting("the", "proxy"), Counting("the", "gold"))
    return main(config)


if __name__ == "__main__":
    command(judged, Config)
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    left = [name for name in names if "gloo" in name]
    if left:
        raise SystemExit(f"threads left: {left}")
