"""The loops: they learn, stop, resume to the same bits, and refuse in one line before anything is written."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from projects.ppo_dpo_orpo import train_ppo, train_preference
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.prepare import Judges, prepare
from shared.errors import UserError
from shared.run_directories import latest_checkpoint
from shared.runs import verified_tensors
from tests.ppo_dpo_orpo.conftest import Counting, rows, write_rows

TRAIN = {"ppo": train_ppo.main, "dpo": train_preference.main, "orpo": train_preference.main}


@pytest.fixture
def smoke(tmp_path, model_folder, dataset):
    return replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, out=tmp_path / "run")


@pytest.fixture
def prepared(smoke, judges):
    return prepare(smoke, judges)


def records(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()[1:]]


@pytest.mark.parametrize("kind", ["lora", "adapter"])
@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_it_learns_what_the_pairs_say(smoke, prepared, method, kind):
    """Pairs in which one word always wins: accuracy on the films that training never saw becomes 1."""
    config = replace(smoke, method=method, kind=kind, steps=25, batch_size=8, lr=3e-2, beta=1.0)
    done = train_preference.main(config, prepared)
    assert done.validation == 1.0
    first, last = records(done.directory)[0], [r for r in records(done.directory) if "loss" in r][-1]
    assert last["loss"] < first["loss"] - 0.02


def test_ppo_raises_the_reward_it_is_given(smoke, prepared):
    config = replace(smoke, method="ppo", steps=80, prompts=8, batch_size=8, lr=5e-2, kl_weight=0.0)
    done = train_ppo.main(config, prepared)
    seen = [r["proxy"] for r in records(done.directory) if "proxy" in r]
    assert sum(seen[-10:]) > sum(seen[:10]) + 1
    assert all(r["first_ratio"] < 1e-5 and r["first_clipped"] == 0 for r in records(done.directory) if "proxy" in r)


class Killed(BaseException):
    """Stands for a signal that nobody can catch."""


@pytest.mark.parametrize("method", ["dpo", "orpo", "ppo"])
def test_a_killed_run_resumes_to_the_same_bits(smoke, prepared, method, monkeypatch):
    """Killed between rollout and update (PPO), or between two checkpoints: the weights are those of a run in one go."""
    config = replace(smoke, method=method, steps=12, save_every=4)
    whole = TRAIN[method](config, prepared)
    module, name = (train_ppo, "update") if method == "ppo" else (train_preference, "preference_loss")
    true, calls = getattr(module, name), []

    def dying(*args, **kwargs):
        calls.append(1)
        if len(calls) == (3 if method == "ppo" else 7):
            raise Killed
        return true(*args, **kwargs)

    config = replace(config, out=smoke.out.with_name("cut"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module, name, dying)
        TRAIN[method](config, prepared)
    again = TRAIN[method](replace(config, resume=True), prepared)
    one, other = (verified_tensors(latest_checkpoint(done.directory)) for done in (whole, again))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    spent = [r["core_seconds"] for r in records(again.directory) if "core_seconds" in r]
    assert spent == sorted(spent) and again.core_seconds == spent[-1], "what was spent before counts"


def test_a_divergence_beyond_its_limit_stops_and_keeps_the_last_checkpoint(smoke, prepared):
    config = replace(smoke, steps=40, lr=0.1, kl_limit=0.05, save_every=1)
    with pytest.raises(UserError, match=r"divergence reached .* Last checkpoint: step-"):
        train_preference.main(config, prepared)
    assert latest_checkpoint(config.out) is not None


def test_nan_stops_before_it_moves_anything(smoke, prepared, monkeypatch):
    true = train_preference.preference_loss

    def broken(config, policy, *rest):
        loss, seen = true(config, policy, *rest)
        return loss * float("nan"), seen

    monkeypatch.setattr(train_preference, "preference_loss", broken)
    with pytest.raises(UserError, match=r"the loss is nan at step 1: training stopped.* Last checkpoint: none"):
        train_preference.main(smoke, prepared)


def test_a_judge_that_says_nan_stops_ppo_before_the_update(smoke, prepared):
    class Broken(Counting):
        def rate(self, texts):
            return super().rate(texts) * float("nan")

    broken = replace(prepared, judges=Judges(Broken("good", "proxy"), Counting("good", "gold")))
    with pytest.raises(UserError, match="the judge said nan"):
        train_ppo.main(replace(smoke, method="ppo"), broken)


def test_two_processes_cannot_write_one_run(smoke, prepared):
    done = train_preference.main(smoke, prepared)
    with pytest.raises(UserError, match="is in use and is not overwritten"):
        train_preference.main(smoke, prepared)
    code = "import fcntl,os,sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)"
    code += "; print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(done.directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is being written by another process"):
            train_preference.main(replace(smoke, resume=True), prepared)
        other.communicate("\n", timeout=30)


def test_refused_before_anything_is_made(smoke, tmp_path, judges):
    found = rows()
    leaking = write_rows(
        tmp_path / "leak.jsonl", [{**row, "film": "film5"} if i == 0 else row for i, row in enumerate(found)]
    )
    with pytest.raises(UserError, match="a film of the test is in train too: 'film5'"):
        train_preference.main(replace(smoke, dataset=str(leaking)))
    with pytest.raises(UserError, match="a response has 5 tokens, --tokens 4"):
        train_preference.main(replace(smoke, tokens=4))
    assert not smoke.out.exists()
    assert judges.proxy.asked == 0


def test_ppo_refuses_prompts_that_are_not_there_or_leave_no_room(smoke, prepared):
    """--pairs counts: a round of fewer prompts than it says would log more calls of the judge than it made."""
    ppo = replace(smoke, method="ppo")
    with pytest.raises(UserError, match="--prompts 4: there are 2 for training"):
        train_ppo.main(replace(ppo, pairs=2), prepared)
    prepared.tokenizer.model_max_length = 13
    with pytest.raises(UserError, match="--tokens 8: behind a prompt of 8 tokens, the model takes 13 in all"):
        train_ppo.main(ppo, prepared)


def test_the_command_of_ppo_trains_by_ppo_without_being_told(smoke, monkeypatch):
    assert train_ppo.PPOConfig().method == "ppo"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="train_ppo runs in one process: start it without torchrun"):
        train_ppo.main(replace(smoke, method="ppo"))
    assert not smoke.out.exists()


def test_ppo_asks_the_judge_and_dpo_never_does(smoke, prepared):
    train_preference.main(smoke, prepared)
    assert prepared.judges.proxy.asked == prepared.judges.gold.asked == 0
    done = train_ppo.main(replace(smoke, method="ppo", out=smoke.out.with_name("ppo")), prepared)
    assert prepared.judges.proxy.asked == [r for r in records(done.directory) if "judge_calls" in r][-1]["judge_calls"]
    assert prepared.judges.gold.asked == 0
