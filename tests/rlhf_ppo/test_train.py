"""The whole loop on small models: it runs, is sealed, resumes exactly, and stops in one line where it must."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from projects.rlhf_ppo import train_rlhf
from projects.rlhf_ppo.config import SMOKE, Config
from projects.rlhf_ppo.data.prompts import split_prompts
from projects.rlhf_ppo.evaluate import distinct, evaluate
from projects.rlhf_ppo.models.text_encoder import load_text_encoder
from projects.rlhf_ppo.stages import Stage, load_judge, read_pairs
from projects.rlhf_ppo.train_rlhf import main, prepare, report
from shared.assets import load_causal_lm
from shared.errors import UserError
from shared.fingerprint import verify
from shared.run_directories import latest_checkpoint
from shared.runs import verified_tensors


@pytest.fixture(scope="module")
def folders(tmp_path_factory, small_models):
    """Both models as folders, and the stages that all tests share."""
    root = tmp_path_factory.mktemp("models")
    policy, decoder_tokenizer, encoder = small_models
    policy.save_pretrained(root / "policy")
    decoder_tokenizer.save_pretrained(root / "policy")
    encoder.encoder.save_pretrained(root / "encoder")
    encoder.tokenizer.save_pretrained(root / "encoder")
    return root


def small(folders):
    models = {"model": str(folders / "policy"), "encoder": str(folders / "encoder")}
    return replace(SMOKE, **models, max_length=32, stages=folders / "stages")


@pytest.fixture
def config(folders, tmp_path):
    return replace(small(folders), out=tmp_path / "run")


def logged(directory):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [
        {k: v for k, v in record.items() if not k.startswith("seconds") and k not in ("mac", "run")}
        for record in records
    ]


@pytest.fixture(scope="module")
def trained(folders):
    """The configuration of the tests, trained once, for those that look at what is left."""
    config = replace(small(folders), out=folders / "trained")
    return config, main(config)


def test_the_whole_loop_runs_and_every_file_verifies(trained, capsys):
    config, metrics = trained
    assert metrics.iterations == 2
    assert len(metrics.before.gold) == len(metrics.after.gold) == config.held_out
    assert max(map(abs, metrics.before.kl)) == 0
    assert max(metrics.after.kl) > 0
    assert all(finding.verdict.unchanged for finding in verify(metrics.directory))
    report(metrics)
    assert "after PPO" in capsys.readouterr().out


def test_every_round_starts_with_ratio_1(trained):
    config, _ = trained
    rounds = [record for record in logged(config.out) if "first_ratio" in record]
    assert [record["first_ratio"] for record in rounds] == [0, 0]
    assert rounds[0]["kl"] == 0


def test_a_resumed_run_equals_an_uninterrupted_one(config, tmp_path, monkeypatch):
    config = replace(config, iterations=4, save_every=2)
    whole = main(config)
    broken = replace(config, out=tmp_path / "broken")
    update, rounds = train_rlhf.update, []

    def killed(*arguments, **settings):
        rounds.append(None)
        if len(rounds) == 4:
            raise KeyboardInterrupt
        return update(*arguments, **settings)

    monkeypatch.setattr(train_rlhf, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        main(broken)
    monkeypatch.undo()
    resumed = main(replace(broken, resume=True))
    one, two = (verified_tensors(latest_checkpoint(m.directory)) for m in (whole, resumed))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert resumed.after == whole.after
    assert [r for r in logged(config.out) if "proxy" in r] == [r for r in logged(broken.out) if "proxy" in r]


def test_an_exploding_divergence_stops_and_keeps_the_last_good_checkpoint(config):
    config = replace(config, iterations=30, lr=0.5, beta=0.0, kl_target=None, kl_limit=0.05, save_every=1)
    with pytest.raises(UserError, match=r"divergence reached .* Last checkpoint: step-0000"):
        main(config)
    verified_tensors(latest_checkpoint(config.out))


def test_beta_0_leaves_the_score_alone_and_a_target_moves_beta(config, trained):
    free = replace(config, beta=0.0, kl_target=None)
    main(free)
    assert {r["beta"] for r in logged(free.out) if "beta" in r} == {0.0}
    steered, _ = trained
    betas = [r["beta"] for r in logged(steered.out) if "beta" in r]
    assert betas[1] < betas[0] == steered.beta  # no divergence at first: the penalty is lowered


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"out": "taken"}, "in use"),
        ({"out": "a_file/run"}, "cannot"),
        ({"out": "taken", "resume": True}, r"config\.json is not there"),
        ({"model": "smollm3"}, "--model smollm3"),
        ({"encoder": "minilm7"}, "--model minilm7"),
        ({"prompt_words": 40}, "--prompt_words 40"),
        ({"prompts": 10**6}, "--prompts 1000000"),
        ({"gold_texts": 10**6}, "--gold_texts 1000000"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_trained(config, tmp_path, changes, says):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    (tmp_path / "a_file").write_text("mine")
    if "out" in changes:
        changes = {**changes, "out": tmp_path / changes["out"]}
    with pytest.raises(UserError, match=says):
        main(replace(config, stages=tmp_path / "stages", **changes))
    assert not (tmp_path / "stages").exists()
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["letter.txt"]


def test_resuming_with_other_settings_is_refused_before_other_stages_are_made(trained):
    other = replace(trained[0], noise=0.25, resume=True)
    with pytest.raises(UserError, match="another noise"):
        main(other)
    assert not Stage.of(other, "preferences").directory.exists()


def test_a_model_without_the_projections_of_llama_is_refused_before_anything_is_trained(config, tmp_path):
    other = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1, n_positions=32))
    shutil.copytree(config.model, tmp_path / "gpt2")
    (tmp_path / "gpt2" / "model.safetensors").unlink()
    other.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(UserError, match="q_proj"):
        main(replace(config, stages=tmp_path / "stages", model=str(tmp_path / "gpt2")))
    assert not (tmp_path / "stages").exists()


def stages_of(config, reviews):
    """Judge, preferences, reward model and its accuracy."""
    return prepare(config, *load_causal_lm(config.model), reviews, split_prompts(reviews, config.prompt_words))


def judge_of(config, reviews):
    encoder = load_text_encoder(config.encoder, max_length=config.max_length)
    return load_judge(Stage.of(config, "gold"), encoder, reviews, limit=config.gold_texts, lr=config.gold_lr, seed=0)


def test_stages_are_made_once_and_another_setting_makes_another(config, reviews):
    _, first, *_ = stages_of(config, reviews)
    stage = Stage.of(config, "preferences")
    written = (stage.pairs / "preferences.jsonl").stat().st_mtime_ns
    assert stages_of(replace(config, iterations=99, lr=1e-6), reviews)[1] == first == read_pairs(stage)
    assert (stage.pairs / "preferences.jsonl").stat().st_mtime_ns == written
    other = replace(config, noise=0.1)
    assert Stage.of(other, "preferences").directory != stage.directory
    assert Stage.of(other, "gold").directory == Stage.of(config, "gold").directory


def test_a_stage_is_not_begun_again_where_anything_else_is_in_its_folder(config, reviews):
    config = replace(config, data_seed=11)
    folder = Stage.of(config, "gold").directory
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="in use"):
        judge_of(config, reviews)
    assert (folder / "letter.txt").read_text() == "mine"


def test_preferences_that_were_edited_are_refused(config, reviews):
    config = replace(config, data_seed=7, pairs=24)
    stages_of(config, reviews)
    path = Stage.of(config, "preferences").pairs / "preferences.jsonl"
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(UserError, match="not loaded"):
        stages_of(config, reviews)


def test_no_prompt_and_no_text_is_in_two_splits(reviews):
    prompts = split_prompts(reviews, Config().prompt_words)
    train, validation, test = (set(found) for found in prompts.values())
    assert not train & validation
    assert not (train | validation) & test
    assert min(map(len, (train, validation, test))) > 500


def test_judging_draws_from_generators_of_its_own(config, policy_of, decoder_tokenizer, reviews):
    judge, policy = judge_of(config, reviews), policy_of()
    ask = partial(evaluate, policy, decoder_tokenizer, ["the film"] * 8, lambda t: torch.zeros(len(t)), judge, tokens=3)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = ask(seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert ask(seed=5) == first
    assert ask(seed=6).responses != first.responses


@pytest.mark.parametrize(
    ("texts", "size", "expected"),
    [(["a b a b"], 2, 2 / 3), (["a b", "a b"], 2, 0.5), (["a"], 2, 0.0), (["a a b"], 1, 2 / 3), ([], 1, 0.0)],
)
def test_distinct_by_hand(texts, size, expected):
    assert distinct(texts, size) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, 0) for name in ("iterations", "tokens", "prompts", "rank", "minibatch", "held_out", "save_every")),
        ("lr", 0.0),
        ("lr", float("inf")),
        ("temperature", float("nan")),
        ("temperature", 1e-50),  # 0 in float32
        ("temperature", 1e-39),  # logits over it are infinite
        ("gold_texts", 1),
        ("beta", -0.1),
        ("gamma", 1.1),
        ("kl_target", 0.0),
        ("pairs", 3),
        ("resume", True),
    ],
)
def test_a_setting_that_cannot_work_is_one_line(field, value):
    with pytest.raises(UserError, match=f"--{field}"):
        Config(**{field: value})
