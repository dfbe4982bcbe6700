"""Options that cannot work end in one line and exit code 2, before any work; the READMEs show the files' tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from projects.ppo_dpo_orpo.analysis.shown import views
from projects.ppo_dpo_orpo.config import SMOKE, Config
from projects.ppo_dpo_orpo.demo import DemoConfig
from projects.ppo_dpo_orpo.study import METHODS, RATES, RESULTS, SEEDS, WATCH, StudyConfig, cell_name
from shared.errors import UserError
from shared.report import stale_tables


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0.0}, "--beta 0.0: must be a positive number"),
        ({"lr": -1.0}, "--lr -1.0: must be a positive number"),
        ({"wrong": 0.6}, r"--wrong 0.6: must be in \[0, 0.5\]"),
        ({"steps": 0}, "--steps 0: must be at least 1"),
        ({"size": 10**6}, "--size 1000000: must be at most"),
        ({"entropy": -0.1}, "--entropy -0.1: must be at least 0"),
        ({"clip": 1.0}, r"--clip 1.0: must be in \[0, 1\)"),
        ({"method": "ppo", "prompts": 12, "batch_size": 8}, "--prompts 12: must be a multiple of --batch_size 8"),
        ({"trainer": "trl", "method": "orpo"}, "--trainer trl: takes --method dpo or cdpo"),
        ({"resume": True}, "--resume needs --out"),
        ({"lr": 1e300}, "--lr 1e.300: must be at most 1000000"),
        ({"value_lr": 1e300}, "--value_lr 1e.300: must be at most 1000000"),
        ({"watch": (-5, 2)}, "--watch -5 2: steps begin with 1"),
    ],
)
def test_what_cannot_work_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Config(**change)


@pytest.mark.parametrize(
    "change", [{"method": "orpo"}, {"lr": 0.5}, {"trainer": "trl"}, {"resume": True, "out": Path("x")}]
)
def test_the_default_run_refuses_what_it_would_pass_over(change):
    with pytest.raises(UserError, match=f"--{next(iter(change))}: here all three methods are trained"):
        DemoConfig(**change)


def test_watched_steps():
    assert Config(steps=40).watched == [20, 40]
    assert Config(steps=40, watch=(10, 20, 99)).watched == [10, 20, 40]
    ppo = Config(method="ppo", steps=42)  # four updates a round
    assert (ppo.updates, ppo.last, ppo.watched) == (4, 40, [20, 40])
    assert Config(method="ppo", steps=1).watched == [4]
    assert SMOKE.watched == [2, 4]


def test_the_command_says_one_line(tmp_path):
    words = ["-m", "projects.ppo_dpo_orpo.train_preference", "--dataset", str(tmp_path / "gone.jsonl")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=110)
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "gone.jsonl: no such file" in done.stderr and "Traceback" not in done.stderr


def test_every_arm_is_tuned_and_watched_alike():
    assert {len(rates) for rates in RATES.values()} == {2} and len(SEEDS) >= 3
    assert RATES.keys() == WATCH.keys() == set(METHODS)
    assert {max(steps) for steps in WATCH.values()} == {Config().steps}, "equal steps"


def test_cells_that_differ_have_different_names():
    cells = [Config(), Config(seed=1), Config(lr=1e-4), Config(beta=0.2), Config(wrong=0.1), Config(pairs=50)]
    cells += [Config(method="cdpo", wrong=0.1), Config(kind="adapter"), Config(method="ppo", entropy=0.1)]
    assert len({cell_name(cell) for cell in cells}) == len(cells)


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def test_the_study_writes_where_the_readmes_look():
    assert StudyConfig().out == RESULTS
