"""The comparison with transformers is one of models: text, windows, optimizer and schedule are the same."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from projects.pretrain_lm import benchmark, peer
from projects.pretrain_lm.benchmark import BenchConfig, summary
from projects.pretrain_lm.peer import (
    PeerConfig,
    build,
    main,
    optimizer_of,
    random_windows,
    read_text,
    training_losses,
    validation_loss,
)
from shared.errors import UserError
from shared.interleave import Measured
from shared.report import read_csv

SMALL = PeerConfig(layers=1, heads=2, width=16, context=8, batch_size=3, steps=12, log_every=3, evaluate_every=6)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, corpus_file):
    folder = tmp_path_factory.mktemp("peer")
    texts = [json.loads(line)["text"] for line in corpus_file.read_text().splitlines()[:30]]
    (folder / "one.txt").write_text("\n".join(texts), encoding="utf-8")
    return replace(SMALL, dataset=str(folder / "one.txt"), corpora=folder / "corpora")


def test_both_arms_see_the_same_windows_and_the_same_rates(recipe, monkeypatch):
    text, tokenizer, _ = read_text(recipe)
    recipes = [replace(recipe, arm=arm) for arm in ("ours", "gpt2")]
    drawn = [random_windows(each, text["train"]) for each in recipes]
    for _ in range(5):
        (mine, labels), (theirs, others) = map(next, drawn)
        assert torch.equal(mine, theirs) and torch.equal(labels, others)
        assert torch.equal(mine[:, 1:], labels[:, :-1])
    optimizers = []
    monkeypatch.setattr(peer, "optimizer_of", lambda *given: optimizers.append(optimizer_of(*given)) or optimizers[-1])
    for each in recipes:
        losses = training_losses(each, *build(each, len(tokenizer)), random_windows(each, text["train"]))
        assert all(next(losses) > 0 for _ in range(5))
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    assert set(rates[0]) == set(rates[1]) and len(set(rates[0])) == 1
    decays = [{group["weight_decay"] for group in optimizer.param_groups} for optimizer in optimizers]
    assert decays[0] == decays[1] == {0.1, 0.0}


def test_any_plain_text_is_taken_as_it_is(recipe, tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes("Ñandú\r\n\tæ 漢\u2028 x\n".encode() * 60)
    text, tokenizer, _ = read_text(replace(recipe, dataset=str(path)))
    whole = path.read_bytes().decode()
    assert whole.startswith(tokenizer.decode(text["train"].tolist()))


def test_validation_loss_is_over_every_character_once(recipe):
    text, tokenizer, _ = read_text(recipe)
    _, logits = build(recipe, len(tokenizer))
    tokens = text["validation"][:50]
    with torch.no_grad():
        expected = [
            F.cross_entropy(logits(tokens[None, at : at + 8])[0], tokens[at + 1 : at + 9], reduction="sum")
            for at in range(0, 48, 8)
        ]
    assert validation_loss.__wrapped__(logits, tokens, 8) == pytest.approx(sum(expected).item() / 48, rel=1e-5)


@pytest.mark.parametrize("arm", ["ours", "learned", "gpt2"])
def test_a_run_logs_its_losses(recipe, tmp_path, arm):
    result = main(replace(recipe, arm=arm, out=tmp_path / arm))
    records = [json.loads(line) for line in (tmp_path / arm / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [3, 6, 9, 12]
    found = [record["validation_loss"] for record in records if "validation_loss" in record]
    assert len(found) == 2 and found[-1] == result["validation_loss"]


def test_a_text_no_longer_than_a_window_is_one_line(recipe):
    text, _, _ = read_text(recipe)
    with pytest.raises(UserError, match="no more than a window of 8"):
        random_windows(recipe, text["train"][:8])
    with pytest.raises(UserError, match="--steps 0"):
        replace(recipe, steps=0)


def test_the_ratio_is_taken_turn_by_turn(recipe):
    measured = {"ours": Measured([1.0, 10.0, 1.0], 0, 0), "gpt2": Measured([2.0, 15.0, 1.1], 0, 0)}
    row = summary("gpt2", measured, recipe)
    assert row["ours_over_arm"] == 1.5
    assert row["tokens_per_second"] == 3 * 8 * 1000 / 2
    assert summary("ours", measured, recipe)["ours_over_arm"] == 1


def test_the_benchmark(recipe, tmp_path, prepared, capsys):
    config = BenchConfig(rounds=2, steps=1, batches=2, out=tmp_path / "out")
    rows = benchmark.measure(config, recipe, prepared)
    assert {row["arm"] for row in rows} == {"ours", "gpt2"} and all(row["tokens_per_second"] > 0 for row in rows)
    consumed = {row["what"]: row["over_model"] for row in read_csv(tmp_path / "out/consumption.csv")}
    assert consumed["model"] == 1 and consumed["loader"] > 0
    shown = capsys.readouterr().out
    assert "× as fast" in shown and "over the model's" in shown
    assert json.loads((tmp_path / "out/consumption.json").read_text())["batches"] == 2
    with pytest.raises(UserError, match="--batches 0"):
        replace(config, batches=0)


def test_the_benchmarks_dataset_and_seed_are_those_of_both_measurements(monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "measure", lambda *given: asked.extend(given[1:]) or [])
    benchmark.main(BenchConfig(dataset="one.txt", seed=3))
    assert [(each.dataset, each.seed) for each in asked] == [("one.txt", 3)] * 2
