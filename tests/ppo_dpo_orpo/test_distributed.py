"""Two processes of torchrun make the gradients, the log and the weights of one."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from projects.ppo_dpo_orpo import train_preference
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.distributed import Process
from projects.ppo_dpo_orpo.prepare import prepare
from shared.errors import UserError
from shared.runs import verified_tensors


def torchrun(config, processes):
    words = ["--nproc-per-node", str(processes), "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    words += ["-m", "tests.ppo_dpo_orpo.one_of_several"]
    for name in (
        "model",
        "dataset",
        "out",
        "method",
        "tokens",
        "steps",
        "pairs",
        "batch_size",
        "save_every",
        "held_out",
        "upper",
        "lr",
        "sampled",
        "test_pairs",
        "stages",
        "trainer",
    ):
        words += [f"--{name}", str(getattr(config, name))]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words], capture_output=True, text=True, timeout=240
    )
    return done.returncode, done.stderr


@pytest.mark.timeout(280)
@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_two_processes_learn_what_one_does(tmp_path, model_folder, dataset, judges, method):
    """The chosen responses of a batch differ in length: ORPO's likelihood is a mean over both processes' tokens."""
    rows = [json.loads(line) for line in dataset.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["chosen"] = "good " * (number % 3) + "good ."
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(SMOKE, model=str(model_folder), dataset=str(dataset), method=method, tokens=8, upper=0.67)
    config = replace(config, steps=4, batch_size=4, out=tmp_path / "one", lr=1e-2)
    one = train_preference.main(config, prepare(config, judges))
    code, said = torchrun(replace(config, out=tmp_path / "two"), 2)
    assert code == 0, said
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    norms = [[record["grad_norm"] for record in log if "grad_norm" in record] for log in logs]
    assert len(norms[0]) == 4 and norms[1] == pytest.approx(norms[0], rel=1e-3)
    mine, theirs = (verified_tensors(tmp_path / name / "checkpoints" / "step-000004") for name in ("one", "two"))
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-4, rtol=1e-3)
    assert one.directory == tmp_path / "one"


def test_a_batch_is_divided_without_overlap():
    parts = [Process(rank, 2).mine([3, 1, 4, 5]) for rank in range(2)]
    assert parts == [[3, 1], [4, 5]]


@pytest.fixture
def smoke_of_two(tmp_path, model_folder, dataset, judges, monkeypatch):
    """Settings and pairs in a process that takes itself for the first of two."""

    class Two:
        def __enter__(self):
            return Process(0, 2)

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(train_preference, "process_group", Two)
    config = replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, out=tmp_path / "run")
    return config, prepare(config, judges)


def test_a_batch_that_does_not_divide_is_refused(smoke_of_two):
    with pytest.raises(UserError, match="--batch_size 3: must be a multiple of 2 processes"):
        train_preference.main(replace(smoke_of_two[0], batch_size=3))


@pytest.mark.timeout(280)
def test_the_first_process_makes_the_pairs_and_the_others_read_them(tmp_path, model_folder):
    """Nothing is there yet: two that sample into one folder would end each other."""
    config = replace(SMOKE, model=str(model_folder), sampled=16, test_pairs=8, upper=0.67, stages=tmp_path / "stages")
    code, said = torchrun(replace(config, out=tmp_path / "two"), 2)
    assert code == 0, said
    assert (tmp_path / "two" / train_preference.RESULT).exists()
    assert len(list((tmp_path / "stages").glob("weights-*/pairs-*/pairs/pairs.jsonl"))) == 1


@pytest.mark.timeout(280)
def test_trl_on_two_processes_learns_what_one_process_of_ours_does(tmp_path, model_folder, dataset, judges):
    """`accelerate launch` starts the command as torchrun does: one run is written, from both halves of a batch."""
    config = replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, batch_size=4, steps=3)
    config = replace(config, out=tmp_path / "one")
    train_preference.main(config, prepare(config, judges))
    code, said = torchrun(replace(config, trainer="trl", out=tmp_path / "two"), 2)
    assert code == 0, said
    mine, theirs = (verified_tensors(tmp_path / name / "checkpoints" / "step-000003") for name in ("one", "two"))
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, atol=2e-4, rtol=0)


def test_pairs_that_do_not_fill_a_batch_are_not_divided(smoke_of_two):
    """One process learns from all of them; two would leave some out, or have none."""
    config, prepared = smoke_of_two
    with pytest.raises(UserError, match="--batch_size 4: there are 3 pairs to divide; lower it"):
        train_preference.main(replace(config, pairs=3, batch_size=4), prepared)
    assert not config.out.exists()
