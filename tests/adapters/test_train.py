"""Training from end to end on a tiny model, saved states, and every mistake that a command line can hold."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from projects.adapters import __main__ as default
from projects.adapters import train as training
from projects.adapters.arms import build_model, load_base, make_optimizer, parameter_groups
from projects.adapters.config import SMOKE, Config, RunConfig
from projects.adapters.evaluate import EvaluateConfig, evaluate, predict
from projects.adapters.evaluate import main as evaluate_main
from projects.adapters.hooks.forward_hooks import adapters_of
from projects.adapters.identity import check_identity
from projects.adapters.models.adapter import adapter_parameters
from projects.adapters.ner import Sentence, write_conll
from projects.adapters.ner import main as ner_main
from projects.adapters.state import load_adapters, load_trained, save_adapters
from projects.adapters.train import main, prepare, training_step
from shared import optim
from shared.errors import UserError, command
from shared.fingerprint import Verdict, verify


def settings(questions, out):
    return Config(
        model=str(questions / "model"),
        dataset=str(questions / "questions.csv"),
        text_column="question",
        label_column="kind",
        bottleneck=8,
        batch_size=16,
        epochs=4,
        max_length=12,
        lr=1e-2,
        eval_every=5,
        device="cpu",
        out=out,
    )


@pytest.fixture
def config(questions, tmp_path):
    return settings(questions, tmp_path / "run")


@pytest.fixture(scope="module")
def straight(questions, tmp_path_factory):
    """What the run of `config` comes to that nothing interrupts."""
    return main(settings(questions, tmp_path_factory.mktemp("straight") / "run"))


FULL = {"adapter_type": "none", "freeze_base": False, "lr": 5e-3}
ARMS = [
    {"adapter_type": "parallel", "scale": 4.0},
    {"adapter_type": "lora"},
    FULL,
    {**FULL, "pretrained": False},
    {"adapter_type": "bottleneck", "freeze_base": False, "lr": 5e-3},
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda a: "-".join(f"{v}" for v in a.values()))
def test_every_arm_learns(config, arm):
    assert_learned(main(replace(config, **arm)), frozen=arm.get("freeze_base", True))


def test_the_bottleneck_arm_learns(straight):
    assert_learned(straight, frozen=True)


def assert_learned(metrics, *, frozen):
    assert metrics.accuracy > 0.7  # three even classes: the majority reaches 0.36
    assert (metrics.trained < metrics.parameters) == frozen
    assert {f.verdict for f in verify(metrics.directory)} == {Verdict.UNTRUSTED_DEMO}
    assert json.loads((metrics.directory / "result.json").read_text())["accuracy"] == metrics.accuracy


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 1e-2), ("sgd", 0.5), ("adafactor", 0.3)])
def test_every_optimizer_learns_entities(config, optimizer, lr):
    config = replace(config, dataset="ner-1", limit=320, optimizer=optimizer, lr=lr, head_lr=lr, max_length=32)
    model, corpus = prepare(config)
    worked = make_optimizer(config, model)
    batches = list(corpus.train.shuffled(16, seed=0, epoch=0))
    losses = [training_step(config, model, worked, batch)[0] for _ in range(3) for batch in batches]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_eight_sentences_are_learned_by_heart(config):
    """Every part of the path works: adapters in a random base, labels, loss, decoding, strict F1."""
    config = replace(config, dataset="ner-2", limit=320, max_length=32, dropout=0.0)
    model, corpus = prepare(config)
    eight = corpus.train.first(8)
    worked = make_optimizer(config, model)
    for _ in range(150):
        training_step(config, model, worked, eight.batch(list(range(8))))
    assert evaluate(model, eight, corpus.classes, tagging=True).entity_f1 == 1.0


def test_the_frozen_base_does_not_move(config):
    config = replace(config, train_norms=False)
    model, corpus = prepare(config)
    before = {name: p.clone() for name, p in model.named_parameters()}
    worked = make_optimizer(config, model)
    for batch in corpus.train.shuffled(16, seed=0, epoch=0):
        training_step(config, model, worked, batch)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == (".adapter." not in name and not name.startswith("head.")), name


def test_what_is_trained_is_counted_once_and_as_the_formula_says(config):
    model, _ = prepare(config)
    norms, head = 2 * 2 * 2 * 32, 3 * 32 + 3
    assert optim.count_parameters(model)[0] == 4 * adapter_parameters(32, 8) + norms + head
    without, _ = prepare(replace(config, train_norms=False))
    assert optim.count_parameters(without)[0] == 4 * adapter_parameters(32, 8) + head


def test_decay_and_rates_go_where_they_belong(config):
    config = replace(config, weight_decay=0.1, lr=1e-3, head_lr=1e-2)
    model, _ = prepare(config)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [(group, names[id(p)]) for group in parameter_groups(config, model) for p in group["params"]]
    assert sorted(name for _, name in groups) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    for group, name in groups:
        matrix_of_adapter = ".adapter." in name and name.endswith("weight")
        assert group["weight_decay"] == (0.1 if matrix_of_adapter else 0.0), name
        assert group["lr"] == (1e-2 if name.startswith("head.") else 1e-3), name
    full, _ = prepare(replace(config, **FULL))
    names = {id(p): (name, p.ndim) for name, p in full.named_parameters()}
    for group in parameter_groups(replace(config, **FULL), full):
        for p in group["params"]:
            name, ndim = names[id(p)]
            assert (group["weight_decay"] > 0) == (ndim > 1 and name.startswith("encoder.")), name


def test_dropout_is_in_the_adapters_only(config):
    """A training step's logits repeat once the adapters' dropout is off, whatever the base's dropout would be."""
    model, corpus = prepare(replace(config, dropout=0.5, init="he"))
    batch = corpus.train.batch(list(range(8)))
    model.train()
    assert not torch.equal(*(model(batch.input_ids, batch.attention_mask) for _ in range(2)))
    for _, adapter in adapters_of(model):
        adapter.dropout.p = 0.0
    assert torch.equal(*(model(batch.input_ids, batch.attention_mask) for _ in range(2)))
    lora, _ = prepare(replace(config, adapter_type="lora", dropout=0.0))
    lora.train()  # PEFT leaves the base in training mode: its dropout is turned off
    assert torch.equal(*(lora(batch.input_ids, batch.attention_mask) for _ in range(2)))
    full, _ = prepare(replace(config, **FULL))
    full.train()
    assert not torch.equal(*(full(batch.input_ids, batch.attention_mask) for _ in range(2)))


def test_a_killed_run_resumes_to_the_same_weights(config, straight, monkeypatch):
    resumed, steps = config, 0

    def die_in_the_third_epoch(*args):
        nonlocal steps
        steps += 1
        if steps == straight.steps * 3 // 4 - 2:
            raise KeyboardInterrupt
        return training_step(*args)

    monkeypatch.setattr(training, "training_step", die_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        main(resumed)
    assert Verdict.INCOMPLETE in {f.verdict for f in verify(resumed.out)}
    monkeypatch.undo()
    again = main(replace(resumed, resume=True))
    assert (again.accuracy, again.steps) == (straight.accuracy, straight.steps)
    mine, theirs = (load_file(run / "adapter" / "adapter.safetensors") for run in (again.directory, straight.directory))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arm", [{"adapter_type": "parallel"}, {"adapter_type": "lora"}, {"adapter_type": "none"}, FULL]
)
def test_every_arm_resumes_when_it_was_stopped_before_the_test(config, tmp_path, monkeypatch, arm):
    config = replace(config, **{**arm, "epochs": 1, "limit": 64})
    straight, resumed = main(config), replace(config, out=tmp_path / "resumed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.optim, "count_parameters", interrupt)
        main(resumed)
    again = main(replace(resumed, resume=True))
    assert again == replace(straight, directory=resumed.out, seconds=again.seconds)
    assert {f.verdict for f in verify(resumed.out)} == {Verdict.UNTRUSTED_DEMO}


def test_a_loss_that_is_not_finite_stops_the_run_in_one_line(config):
    with pytest.raises(UserError, match=r"loss is (nan|inf) at step \d+: training stopped"):
        main(replace(config, **{**FULL, "lr": 1e30, "optimizer": "sgd", "max_norm": 1e30, "warmup": 0.0}))


def test_the_best_epoch_is_kept():
    progress = training.Progress().after(0.5, 10).after(0.8, 20).after(0.8, 30).after(0.7, 40)
    assert progress == training.Progress(epoch=4, best=0.8, best_step=20)


# ---------------------------------------------------------------- saved, verified, reloaded


def test_reloaded_into_a_fresh_base_the_score_is_the_same(straight):
    (row,) = evaluate_main(EvaluateConfig(run=(straight.directory,)))
    assert (row["accuracy"], row["macro_f1"], row["entity_f1"]) == (straight.accuracy, straight.macro_f1, None)


def test_adapters_norms_head_and_configuration_come_back_together(config, bits):
    model, corpus = prepare(config)
    worked = make_optimizer(config, model)
    for batch in corpus.train.shuffled(16, seed=0, epoch=0):
        training_step(config, model, worked, batch)
    save_adapters(model, config.out, config, classes=corpus.classes, tagging=False)
    names = set(load_file(config.out / "adapter.safetensors"))
    assert {"head.weight", "head.bias", "encoder.blocks.1.attention_norm.weight"} < names
    again = load_trained(config.out)
    assert again.classes == corpus.classes and again.config == replace(config, out=None)
    batch = corpus.test.batch(list(range(8)))
    model.eval()
    found = again.model(batch.input_ids, batch.attention_mask)
    assert bits(found, model(batch.input_ids, batch.attention_mask))
    assert predict(again.model, corpus.test) == predict(model, corpus.test)


def moved(model):
    for _, adapter in adapters_of(model):
        torch.nn.init.normal_(adapter.up.weight)
    return model


@pytest.mark.parametrize("train_norms", [True, False])
def test_what_is_saved_does_not_depend_on_requires_grad(config, tmp_path, train_norms):
    """By layer: a model made ready for inference holds the same adapters, norms and head."""
    config = replace(config, train_norms=train_norms)
    model, corpus = prepare(config)
    for name in ("first", "second"):
        save_adapters(
            moved(model) if name == "first" else model, tmp_path / name, config, classes=corpus.classes, tagging=False
        )
        model.requires_grad_(False)
    for file in ("adapter.safetensors", "adapter.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    again = prepare(config)[0].requires_grad_(False)
    load_adapters(again, tmp_path / "first")
    assert all(torch.equal(p, model.get_parameter(name)) for name, p in again.named_parameters())


def test_a_base_in_another_type_is_told_from_another_base(config):
    model, corpus = prepare(config)
    save_adapters(moved(model), config.out, config, classes=corpus.classes, tagging=False)
    message = r"was trained on a base in float32, the model's is in bfloat16: load it into one in float32"
    assert_refused(prepare(config)[0].bfloat16(), config.out, message)
    again = prepare(config)[0]  # as the message says
    load_adapters(again, config.out)
    twin = model.bfloat16()
    assert all(torch.equal(p, twin.get_parameter(name)) for name, p in again.bfloat16().named_parameters())


OTHERS = [
    ({"bottleneck": 4}, r"is \(8\) saved, \(4\) in the model|is \(8,\) saved, \(4,\) in the model"),
    ({"scale": 2.0}, r"was saved with adapters \('bottleneck', 1\.0\)"),
    ({"adapter_type": "parallel"}, r"has \('parallel', 1\.0\)"),
    ({"targets": ("attention",)}, "the model has no such tensor"),
    ({"train_norms": False}, "the model has no such tensor"),
]


@pytest.mark.parametrize(("other", "message"), OTHERS, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_a_state_of_other_shapes_is_refused_in_one_line_and_nothing_is_copied(config, other, message):
    model, corpus = prepare(config)
    save_adapters(model, config.out, config, classes=corpus.classes, tagging=False)
    assert_refused(prepare(replace(config, **other))[0], config.out, message)


def test_another_base_head_or_damaged_file_is_refused(config, questions):
    model, corpus = prepare(config)
    save_adapters(model, config.out, config, classes=corpus.classes, tagging=False)
    other, _ = prepare(config)
    torch.nn.init.normal_(other.encoder.blocks[1].feed_forward.down.bias)
    assert_refused(other, config.out, "trained on another base model")
    wide = build_model(config, load_base(config)[0], 5, tagging=False)
    assert_refused(wide, config.out, r"head\.bias is \(3,\) saved, \(5,\) in the model")
    tensors, description = config.out / "adapter.safetensors", config.out / "adapter.json"
    whole, told = tensors.read_bytes(), description.read_text()
    tensors.write_bytes(whole[:-8])
    assert_refused(model, config.out, "is cut or edited")
    tensors.write_bytes(whole)
    description.write_text(told[:40])
    assert_refused(model, config.out, "cannot be read as JSON")
    description.write_text("{}")
    assert_refused(model, config.out, "does not describe an adapter state")
    description.write_text(told.replace('"bottleneck": 8', '"bottlenecks": 8'))
    with pytest.raises(UserError, match="of another version"):
        load_trained(config.out)
    with pytest.raises(UserError, match="exists and is not overwritten"):
        save_adapters(model, config.out, config, classes=corpus.classes, tagging=False)
    with pytest.raises(UserError, match="the model has no adapter"):
        save_adapters(prepare(replace(config, **FULL))[0], questions / "x", config, classes=[], tagging=False)


def assert_refused(model, path, message):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(UserError, match=message) as refusal:
        load_adapters(model, path)
    assert "\n" not in str(refusal.value)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters()), "partly loaded"


def test_evaluate_scores_saved_runs_on_other_data(config, tmp_path):
    columns = {"text_column": "text", "label_column": "label"}
    run = main(replace(config, dataset="ner-1", limit=320, max_length=32, epochs=1, **columns)).directory
    rows = evaluate_main(EvaluateConfig(run=(run,), dataset=("ner-1", "ner-3")))
    assert [row["dataset"] for row in rows] == ["ner-1", "ner-3"]
    assert rows[0]["entity_f1"] == json.loads((run / "result.json").read_text())["entity_f1"]
    write_conll(tmp_path / "own.conll", [Sentence(("Alma", "sings"), ("B-BIRD", "O"))])
    refused = {
        str(tmp_path / "own.conll"): "sentence 1: label B-BIRD was not seen in training",
        "trec": "trec holds classes of texts; the run was trained for tags of words",
        "ner-7": "the synthetic levels are",
    }
    for dataset, message in refused.items():
        with pytest.raises(UserError, match=message) as refusal:
            evaluate_main(EvaluateConfig(run=(run,), dataset=(dataset,)))
        assert "\n" not in str(refusal.value)


def test_a_conll_folder_trains_too(config, tmp_path):
    from projects.adapters.ner import NerConfig

    ner_main(NerConfig(out=tmp_path / "own", level=1))
    metrics = main(replace(config, dataset=str(tmp_path / "own"), limit=320, max_length=32, epochs=1))
    assert metrics.entity_f1 is not None


def test_the_identity_check(config, capsys, monkeypatch):
    check_identity(config)
    assert "same bits" in capsys.readouterr().out
    with pytest.raises(UserError, match="are not the identity"):
        check_identity(replace(config, init="xavier"))
    monkeypatch.setattr("projects.adapters.identity.remove_adapters", lambda _: 0)
    with pytest.raises(UserError, match="left something behind"):
        check_identity(config)


# ---------------------------------------------------------------- the default run


def default_run(questions, out, monkeypatch, *names, train=main):
    """`make run-adapters` on a tiny model, with some of its four runs."""
    runs = {name: default.RUNS[name] for name in (*names, "entities, parallel")}
    monkeypatch.setattr(default, "RUNS", runs)
    monkeypatch.setattr(default, "train", train)
    default.main(RunConfig(model=str(questions / "model"), bottleneck=2, limit=64, epochs=1, out=out))


def test_the_default_run_is_reloaded_and_scores_the_same(few_texts, questions, tmp_path, monkeypatch, capsys):
    default_run(questions, tmp_path / "runs", monkeypatch, "movie reviews, bottleneck")
    said = capsys.readouterr().out
    assert all(title in said for title in ("Identity at the start", "never seen in training", "Test"))
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"movie-reviews-bottleneck", "entities-parallel"}

    def boast(config):
        metrics = main(config)
        return replace(metrics, accuracy=metrics.accuracy + 0.1)

    with pytest.raises(UserError, match="the reloaded model scores otherwise"):
        default_run(questions, tmp_path / "boast", monkeypatch, train=boast)


def test_the_default_run_refuses_what_changed_since_it_was_saved(questions, tmp_path, monkeypatch):
    def tamper(config):
        metrics = main(config)
        adapter = metrics.directory / "adapter" / "adapter.safetensors"
        adapter.write_bytes(adapter.read_bytes()[:-1] + b"\x7f")
        return metrics

    with pytest.raises(UserError, match=r"adapter\.safetensors: TAMPERED"):
        default_run(questions, tmp_path / "runs", monkeypatch, train=tamper)


def test_the_default_run_trains_both_kinds_of_the_size_that_was_asked_for(monkeypatch, tmp_path):
    cells = []

    def ask(config):
        cells.append(config)
        if len(cells) == len(default.RUNS):
            raise KeyboardInterrupt
        told = dict.fromkeys(("accuracy", "macro_f1", "validation_score", "seconds"), 0.5)
        return training.Metrics(directory=config.out, entity_f1=None, trained=1, parameters=2, steps=3, **told)

    monkeypatch.setattr(default, "check_identity", lambda _: None)
    monkeypatch.setattr(default, "refuse_changed", lambda _: None)
    monkeypatch.setattr(default, "train", ask)
    with pytest.raises(KeyboardInterrupt):
        default.main(RunConfig(bottleneck=8, limit=300, seed=4, out=tmp_path))
    assert all((cell.bottleneck, cell.limit, cell.seed, cell.freeze_base) == (8, 300, 4, True) for cell in cells)
    told = [(cell.dataset, cell.arm, cell.lr, cell.scale) for cell in cells]
    assert told[1:3] == [("movie_reviews", "parallel", 3e-4, 4.0), ("ner-2", "bottleneck", 1e-3, 1.0)]


# ---------------------------------------------------------------- the commands


def run_command(*words):
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)


def test_the_real_command_with_the_smoke_configuration(tmp_path):
    """MiniLM, TREC, far fewer steps: the command a person types, in a process of its own; then its saved state."""
    words = [f"--{name}={getattr(SMOKE, name)}" for name in ("limit", "epochs", "bottleneck", "eval_every")]
    done = run_command(
        "projects.adapters.train", *words, "--curve_rows=16", "--max_length=8", "--out", str(tmp_path / "r")
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout and "Warning" not in done.stderr
    assert {f.verdict for f in verify(tmp_path / "r")} == {Verdict.UNTRUSTED_DEMO}
    assert load_trained(tmp_path / "r" / "adapter").config.bottleneck == SMOKE.bottleneck


BAD_INPUT = [
    (["--bottleneck", "0"], "--bottleneck 0: must be at least 1"),
    (
        ["--targets", "blocks.*.atention"],
        "pattern 'blocks.*.atention' names no module of the model; near it: blocks.*.att",
    ),
    (["--optimizer", "adam"], "--optimizer adam: there is none; use adamw, sgd, adafactor"),
    (["--dataset", "ner-4"], "--dataset ner-4: the synthetic levels are ner-1, ner-2, ner-3"),
    (["--dataset", "{}/bad"], "train.conll, line 2: 'lives' has no tag"),
    (["--dataset", "{}/unseen"], "validation, sentence 1: label B-CITY was not seen in training"),
    (["--dataset", "trek"], "did you mean trec?"),
    (["--dataset", "{}/none.csv"], "no such file"),
    (["--model", "nomodel"], "--model nomodel: neither embedded"),
    (["--model", "smollm2x"], "--model smollm2x: neither embedded"),
    (["--out", "{}/occupied"], "is in use and is not overwritten"),
    (["--lr", "-1"], "--lr -1.0: must be a positive number"),
    (["--weight_decay", "-1"], "--weight_decay -1.0: must not be negative"),
    (["--dropout", "1"], "--dropout 1.0: must be in [0, 1)"),
    (["--scale", "0"], "--scale 0.0: must be a positive number"),
    (["--limit", "3"], "--limit 3: must be at least one batch"),
    (["--no-pretrained"], "--no-pretrained trains from random weights: it needs --no-freeze_base"),
    (["--adapter_type", "lora", "--no-freeze_base"], "--adapter_type lora keeps the base frozen"),
    (["--resume"], "--resume needs --out"),
    (["--device", "cuda:9"], "--device cuda:9"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_ends_in_one_line_and_writes_nothing(words, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "file").touch()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.conll").write_text("Alma B-PER\nlives\n")
    write_conll(tmp_path / "unseen" / "train.conll", [Sentence(("Alma",), ("B-PER",))] * 40)
    for split in ("validation", "test"):
        write_conll(tmp_path / "unseen" / f"{split}.conll", [Sentence(("Lima",), ("B-CITY",))])
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = [] if "--limit" in words else ["--limit", "1600"]
    with pytest.raises(SystemExit) as ended:
        command(main, Config, [*given, *(word.format(tmp_path) for word in words)])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("error: ") and message in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_in_a_process_of_its_own():
    done = run_command("projects.adapters.train", "--bottleneck", "-2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --bottleneck -2: must be at least 1\n"
