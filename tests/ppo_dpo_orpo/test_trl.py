"""TRL 1.16 as the oracle: with the same batch, weights and settings, the same loss and the same gradients."""

import json
from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from projects.ppo_dpo_orpo import losses, train_preference
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.policies import Answer, collate
from projects.ppo_dpo_orpo.prepare import prepare
from projects.ppo_dpo_orpo.trl_trainer import dpo_trainer
from shared.runs import verified_tensors
from tests.ppo_dpo_orpo.conftest import tiny_policy

trl = pytest.importorskip("trl")


@pytest.fixture
def smoke(tmp_path, model_folder, dataset):
    return replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, out=tmp_path / "run")


@pytest.fixture
def prepared(smoke, judges):
    return prepare(smoke, judges)


def gradients(policy):
    found = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    return found


def assert_same(one, other):
    """Within 1e-5 of the largest entry of each tensor."""
    assert one.keys() == other.keys() and len(one) > 3
    for name in one:
        scale = max(one[name].abs().max().item(), 1e-8)
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=1e-5 * scale + 1e-9, msg=name)


def test_dpo_is_trls(smoke, prepared, tmp_path):
    """Its reference is a copy of the adapters that it is given: they are moved afterwards."""
    config, policy = replace(smoke, beta=0.3, batch_size=4), tiny_policy()
    rows = [0, 3, 5, 7]
    trainer = dpo_trainer(config, policy, prepared, prepared.encoded["train"], rows, tmp_path / "trl")
    moved = dict(tiny_policy(moved=True).named_parameters())
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(moved[name])
    policy.eval()
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs.backward()
    expected = gradients(policy)
    ours, _ = train_preference.preference_loss(
        config, policy, prepared.encoded["train"].batch(rows, 0), prepared.encoded["train"].reference[rows], 1.0
    )
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same(expected, gradients(policy))


def test_orpo_is_trls(prepared, tmp_path, monkeypatch):
    """TRL's likelihood counts the prompt's tokens too; the comparison is ours with that mask."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    policy, training = tiny_policy(moved=True), prepared.encoded["train"]
    settings = ORPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=4, beta=0.7, report_to="none", use_cpu=True,
        bf16=False, max_length=64, activation_checkpointing=False,
    )  # fmt: skip
    texts = [{"prompt": p.text, "chosen": f" {p.chosen}", "rejected": f" {p.rejected}"} for p in training.pairs[:4]]
    tokenizer = prepared.tokenizer
    tokenizer.bos_token = tokenizer.eos_token  # it wants one, and puts it in front of each prompt
    trainer = ORPOTrainer(
        model=policy.language, args=settings, processing_class=tokenizer, train_dataset=Dataset.from_list(texts)
    )
    policy.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    theirs, _ = trainer.get_batch_loss_metrics(trainer.model, batch)
    theirs.backward()
    expected = gradients(policy)
    answers = []
    for side in ("chosen", "rejected"):
        for ids, labels, real in zip(
            batch[f"{side}_input_ids"], batch[f"{side}_labels"], batch[f"{side}_attention_mask"], strict=True
        ):
            own = (labels != -100).nonzero()[:, 0].tolist()
            answers.append(Answer(ids[: own[0]].tolist(), ids[own[0] : int(real.sum())].tolist()))
    ours = collate(answers, 0)
    nats = policy.logprobs(ours)
    whole = collate(
        [Answer(a.prompt[:1], a.prompt[1:] + a.response) for a in answers[:4]], 0
    )  # all but the first token
    likelihood = losses.masked_mean(policy.logprobs(whole), whole.mask)
    loss = losses.orpo_loss(*losses.row_mean(nats, ours.mask).chunk(2), -likelihood, weight=0.7)
    loss.backward()
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same(expected, gradients(policy))


def test_the_flag_trains_the_same_pairs_to_the_same_weights(smoke, prepared):
    """Three steps of TRL and three of ours; the adapters agree, and TRL's run is read like any other."""
    config = replace(smoke, steps=3, batch_size=4, lr=1e-3)
    ours = train_preference.main(config, prepared)
    theirs = train_preference.main(replace(config, trainer="trl", out=config.out.with_name("theirs")), prepared)
    one, other = (verified_tensors(d.directory / "checkpoints" / "step-000003") for d in (ours, theirs))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(other[name], one[name], atol=2e-4, rtol=0)
    assert json.loads((theirs.directory / "result.json").read_text())["best_step"] == 3
