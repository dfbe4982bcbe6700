"""Length policies, kept states, contrast, self-training, early stopping, training, saving."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from projects.news_cls import train as training
from projects.news_cls.classifier import Classifier
from projects.news_cls.config import Config
from projects.news_cls.models import baselines
from projects.news_cls.models import prepared as preparing
from projects.news_cls.models.contrastive import pair_loss, topic_batches
from projects.news_cls.models.lengths import MOST_WINDOWS, LengthPolicy
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.models.self_training import self_train, surest
from projects.news_cls.models.topic_model import TopicModel, all_logits, embeddings, find_layers, kept_states, padded
from projects.news_cls.train import EarlyStopping, train
from shared.errors import UserError
from shared.fingerprint.citations import checkpoints
from shared.seeding import generator, seed_everything
from tests.news_cls.conftest import news_rows

TEXTS = [text for text, _ in news_rows(9)]


@given(st.lists(st.integers(10, 99), max_size=60), st.integers(4, 20))
def test_policies_read_what_they_say(ids, tokens):
    room = tokens - 2
    (head,) = LengthPolicy("head", tokens).pieces(ids, 1, 2)
    assert head == [1, *ids[:room], 2]
    (ends,) = LengthPolicy("ends", tokens).pieces(ids, 1, 2)
    tail = room // 2
    assert ends == ([1, *ids, 2] if len(ids) <= room else [1, *ids[: room - tail], *ids[-tail:], 2])
    windows = LengthPolicy("windows", tokens).pieces(ids, 1, 2)
    assert [each for piece in windows for each in piece[1:-1]] == ids[: room * MOST_WINDOWS]
    assert all(len(piece) <= tokens for piece in (head, ends, *windows)) and 1 <= len(windows) <= MOST_WINDOWS


@pytest.mark.parametrize("tokens", [3, 513])
def test_a_policy_that_reads_nothing_is_refused(tokens):
    with pytest.raises(UserError, match="--tokens"):
        LengthPolicy("head", tokens)


@pytest.mark.parametrize("upper", [0, 1, 2])
@pytest.mark.parametrize("policy", [LengthPolicy("head", 12), LengthPolicy("windows", 6)])
def test_kept_states_change_nothing(tiny, upper, policy):
    """Embeddings through kept states are those of the whole encoder, text by text, without padding."""
    seed_everything(0)
    model = TopicModel(str(tiny / "model"), ("a", "b"), policy, upper=upper)
    texts = ["bank", "one two three four five six seven eight nine ten eleven twelve thirteen", "goal match coach"]
    found = embeddings(model, kept_states(model, texts, precision="float32"), precision="float32")
    for text, row in zip(texts, found, strict=True):
        means = []
        for ids in model.pieces(text):
            state = model.encoder(torch.tensor([ids])).last_hidden_state[0].detach()
            means.append(state.mean(0))
        whole = torch.stack(means).mean(0)
        whole = whole / whole.norm() * len(whole) ** 0.5
        assert torch.allclose(row, whole, atol=2e-3), text  # kept in half precision


def test_padding_and_order_do_not_matter(base):
    model = TopicModel(base.model, ("a", "b"), base.length_policy, upper=1)
    together = embeddings(model, kept_states(model, TEXTS, precision="float32"), precision="float32")
    backwards = embeddings(model, kept_states(model, TEXTS[::-1], precision="float32"), precision="float32")
    assert torch.allclose(together, backwards.flip(0), atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.full((9,), 32**0.5), atol=1e-4)
    ids, mask = padded([[1, 2], [1, 3, 4, 2]], 0)
    assert ids.tolist() == [[1, 2, 0, 0], [1, 3, 4, 2]] and mask.sum(1).tolist() == [2, 4]


def test_upper_layers_alone_are_trained(base):
    model = TopicModel(base.model, ("a", "b"), base.length_policy, upper=1)
    moving = {name for name, each in model.named_parameters() if each.requires_grad}
    assert {"head.weight", "head.bias"} < moving
    assert all(".layer.1." in name or name.startswith("head") for name in moving)
    with pytest.raises(UserError, match="--upper 3: "):
        TopicModel(base.model, ("a", "b"), base.length_policy, upper=3)
    with pytest.raises(UserError, match="not an encoder whose layers are known"):
        find_layers(torch.nn.Linear(1, 1), "x")


def test_pair_loss_is_its_definition():
    source = torch.Generator().manual_seed(0)
    found, labels = torch.randn(6, 4, generator=source), [0, 0, 1, 1, 2, 2]
    same, apart = [], []
    for i in range(6):
        for j in range(i + 1, 6):
            cosine = torch.nn.functional.cosine_similarity(found[i], found[j], dim=0)
            (same if labels[i] == labels[j] else apart).append(float((cosine - float(labels[i] == labels[j])) ** 2))
    expected = (np.mean(same) + np.mean(apart)) / 2
    assert float(pair_loss(found, torch.tensor(labels))) == pytest.approx(expected, rel=1e-5)
    assert float(pair_loss(torch.eye(3)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]))) == pytest.approx(0, abs=1e-6)


def test_batches_of_pairs_hold_two_of_each_topic():
    labels = [0] * 20 + [1] * 5 + [2] * 2
    for rows in topic_batches(labels, 9, 5, generator(0)):
        counts = np.bincount([labels[row] for row in rows], minlength=3)
        assert len(set(rows)) == len(rows) and (counts >= 2).all()


def test_the_surest_are_the_same_share_of_each_topic():
    logits = np.array([[5.0, 0], [4, 0], [3, 0], [2, 0], [0, 1], [0, 9]])
    taken = surest(logits, 0.5)
    assert taken.rows.tolist() == [0, 1, 5] and taken.topics.tolist() == [0, 0, 1]


def test_self_training_learns_from_what_it_took():
    points = np.concatenate([np.linspace(-3, -0.2, 20), np.linspace(0.2, 3, 20)])
    truth = (points > 0).astype(int)
    seen = []

    def fit(rows, said):
        seen.append(len(rows))
        known, labels = np.concatenate([[-2.9, 1.0], points[rows]]), np.concatenate([[0, 1], said])
        middle = (known[labels == 0].mean() + known[labels == 1].mean()) / 2  # −0.95 at first: wrong for some
        return np.stack([middle - points, points - middle], axis=1)

    taken = self_train(fit)
    assert (taken.topics == truth[taken.rows]).mean() > 0.95 and seen[0] == 0 and seen == sorted(seen)


def test_a_head_of_two_topics_and_of_missing_ones():
    source = np.random.default_rng(0)
    rows = source.normal(size=(40, 8)).astype(np.float32)
    for topics, labels in ((2, [0, 1] * 20), (4, [0, 2] * 20), (4, [0, 1, 3, 3] * 10)):
        fitted = baselines.fit_linear(rows, labels, 1.0)
        weight, bias = baselines.head_of(fitted, topics)
        own = torch.from_numpy(baselines.unit(rows)) @ weight.T + bias
        theirs = baselines.linear_logits(fitted, rows, topics)
        assert (own.argmax(1).numpy() == theirs.argmax(1)).all() and set(own.argmax(1).tolist()) <= set(labels)
        assert np.allclose(
            own.softmax(1).numpy()[:, sorted(set(labels))], fitted.predict_proba(baselines.unit(rows)), atol=1e-4
        )


def test_early_stopping_restores_the_best_bit_for_bit():
    model = torch.nn.Linear(3, 2)
    stopper, states, said = EarlyStopping(2), [], []
    for score in (0.5, 0.7, 0.6, 0.7, 0.9):
        torch.nn.init.normal_(model.weight)
        states.append(model.weight.detach().clone())
        said.append(stopper.stops(score, model))
        if said[-1]:
            break
    assert said == [False, False, False, True], "of equal epochs the first is the best"
    stopper.restore(model)
    assert torch.equal(model.weight, states[1])


@pytest.mark.parametrize("arm", ["majority", "svm", "frozen", "head", "tuned", "contrastive"])
def test_every_arm_trains_and_beats_the_majority(base, tmp_path, arm):
    found = train(replace(base, arm=arm, epochs=2, lr=1e-3, out=tmp_path / "run"), Prepared())
    right = found.metrics["test_accuracy"]
    assert right == pytest.approx(1 / 3, abs=0.05) if arm == "majority" else right > 0.6
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == found.metrics


@pytest.mark.parametrize("arm", ["svm", "frozen", "tuned", "contrastive"])
def test_unlabelled_articles_are_read_without_their_labels(base, tmp_path, arm, monkeypatch):
    """With every hidden label replaced by nonsense nothing changes."""
    config = replace(base, arm=arm, labels=6, unlabelled=True)
    first = train(replace(config, out=tmp_path / "one"), Prepared()).logits["test"]
    prepared = Prepared()
    own = prepared.corpus(config)
    known = {each.text for each in training.first_of_each(own.train, 6, config.seed)}
    spoilt = [each if each.text in known else replace(each, label="money") for each in own.train]
    prepared.corpora = {key: replace(own, train=spoilt) for key in prepared.corpora}
    monkeypatch.setattr(training, "first_of_each", lambda rows, *_: [each for each in own.train if each.text in known])
    chosen = [each for each in own.train if each.text in known]
    monkeypatch.setattr(training, "first_of_each", lambda *_: sorted(chosen, key=lambda each: order[each.text]))
    order = {each.text: n for n, each in enumerate(first_order(own.train, config.seed))}
    second = train(replace(config, out=tmp_path / "two"), prepared).logits["test"]
    assert np.allclose(first, second, atol=1e-5)


def first_order(articles, seed):
    from shared.assets.splits import shuffled

    return sorted(articles, key=lambda each: shuffled(f"{seed}:{each.text}"))


def test_training_repeats_itself(base, tmp_path):
    runs = [train(replace(base, out=tmp_path / name), Prepared()).logits["test"] for name in ("one", "two")]
    assert np.array_equal(*runs)


def test_kept_states_on_disk_are_read_again(base, tmp_path, monkeypatch):
    first = train(replace(base, out=tmp_path / "one"), Prepared(tmp_path / "kept")).logits["test"]
    monkeypatch.setattr(preparing, "kept_states", lambda *_, **__: pytest.fail("encoded again"))
    second = train(replace(base, out=tmp_path / "two"), Prepared(tmp_path / "kept")).logits["test"]
    assert np.array_equal(first, second)


def test_a_saved_model_answers_as_the_trained_one(trained, classifier):
    texts = [each.text for each in trained.corpus.test]
    logits = classifier.head.logits(classifier.embed(texts)).numpy()
    assert np.allclose(logits, trained.logits["test"], atol=2e-2)
    assert classifier.labels == trained.corpus.labels and classifier.model.policy == trained.model.policy
    answer = classifier.answer(["<b>bank</b> shares profit market"])[0]
    assert answer.topic == "money" and sum(sure for _, sure in answer.probabilities) == pytest.approx(1)


def test_nothing_to_read_is_unsure(classifier):
    assert all(each.unsure for each in classifier.answer(["", "<p></p>", "a"]))


def test_a_changed_checkpoint_is_refused(trained, tmp_path):
    import shutil

    shutil.copytree(trained.directory, tmp_path / "run")
    weights = checkpoints(tmp_path / "run")[-1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"TAMPERED|changed|digest"):
        Classifier.load(tmp_path / "run")
    with pytest.raises(UserError, match="holds no trained model"):
        Classifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"lr": 0.0}, "--lr"),
        ({"lr": 5.0}, "--lr"),
        ({"labels": 0}, "--labels"),
        ({"tokens": 2}, "--tokens"),
        ({"epochs": 0}, "--epochs"),
        ({"upper": 0}, "--upper"),
        ({"unlabelled": True}, "--unlabelled"),
        ({"resume": True}, "--resume"),
    ],
)
def test_what_cannot_work_is_one_line(told, said):
    with pytest.raises(UserError, match=said):
        Config(**told)


def test_a_used_directory_is_not_overwritten(base, trained):
    with pytest.raises(UserError, match="in use and is not overwritten"):
        train(replace(base, out=trained.directory), Prepared())


def test_logits_do_not_depend_on_batches(trained):
    model = trained.model
    kept = kept_states(model, TEXTS, precision="float32")
    whole = all_logits(model, kept, precision="float32")
    single = torch.cat([all_logits(model, kept.select([row]), precision="float32") for row in range(len(TEXTS))])
    assert torch.allclose(whole, single, atol=1e-5)
    joined = kept.select([0, 1]) + kept.select([2])
    assert torch.allclose(all_logits(model, joined, precision="float32"), whole[:3], atol=1e-5)
