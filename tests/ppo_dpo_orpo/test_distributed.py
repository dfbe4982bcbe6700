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
    ):
        words += [f"--{name}", str(getattr(config, name))]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


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
    torchrun(replace(config, out=tmp_path / "two"), 2)
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


def test_a_batch_that_does_not_divide_is_refused(tmp_path, monkeypatch):
    class Two:
        def __enter__(self):
            return Process(0, 2)

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(train_preference, "process_group", Two)
    with pytest.raises(UserError, match="--batch_size 3: must be a multiple of 2 processes"):
        train_preference.main(replace(SMOKE, batch_size=3, out=tmp_path / "run"))
