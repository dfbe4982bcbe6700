"""One of torchrun's processes: trains, and fails if a thread of gloo's is left, which may abort the exit."""

from pathlib import Path

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.train_pretrain import main
from shared.errors import command

if __name__ == "__main__":
    command(main, Config)
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    left = [name for name in names if "gloo" in name]
    if left:
        raise SystemExit(f"threads left: {left}")
