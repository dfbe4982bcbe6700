"""Drift tests at their level and with power, shares, updates, the gate, versions."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import binomtest
from sqlalchemy import text

from projects.news_cls.data.articles import Article
from projects.news_cls.measure import drift_power, gate_trials, update_choice
from projects.news_cls.monitor import memory
from projects.news_cls.monitor.drift import classifier_test, confidence_test, mmd_test
from projects.news_cls.monitor.labels import diagnose, estimate_weights, shares_test
from projects.news_cls.monitor.memory import Memory, held_out, propose
from projects.news_cls.monitor.update import (
    ANCHOR,
    MODES,
    SHARE,
    Holdout,
    Labelled,
    fit_head,
    gate,
    replayed,
    scores_of,
    updated,
)
from projects.news_cls.monitor.versions import Head, Versions, new_head
from projects.news_cls.study import RESULTS
from shared.errors import UserError
from shared.report import read_csv


def cloud(seed, size, shift=0.0, width=5):
    return np.random.default_rng(seed).normal(size=(size, width)) + shift


@pytest.mark.parametrize("size", [20, 60])
@pytest.mark.parametrize("test", [classifier_test, lambda a, b, s: mmd_test(a, b, s, 39)], ids=["classifier", "MMD"])
def test_false_alarms_are_what_was_asked_for(test, size):
    alarms = sum(test(cloud(n, 80), cloud(1000 + n, size), n).alarm() for n in range(80))
    assert binomtest(alarms, 80, 0.05).pvalue > 0.005


@pytest.mark.parametrize("test", [classifier_test, lambda a, b, s: mmd_test(a, b, s, 39)], ids=["classifier", "MMD"])
def test_a_large_shift_is_seen(test):
    assert all(test(cloud(n, 80), cloud(100 + n, 60, shift=1.0), n).alarm() for n in range(5))


def test_mmd_is_its_definition():
    old, new = cloud(0, 12), cloud(1, 9, 0.5)
    both = np.concatenate([old, new])
    distance = ((both[:, None] - both[None]) ** 2).sum(-1)
    kernel = np.exp(-distance / np.median(distance[np.triu_indices(21, 1)]))
    a, b, c = kernel[:12, :12], kernel[12:, 12:], kernel[:12, 12:]
    expected = (a.sum() - 12) / (12 * 11) + (b.sum() - 9) / (9 * 8) - 2 * c.mean()
    assert mmd_test(old, new, 0).effect == pytest.approx(expected, rel=1e-9)


def test_the_smallest_p_of_permutations():
    assert mmd_test(cloud(0, 40), cloud(1, 40, 3.0), 0, 99).p == pytest.approx(0.01)


def test_confidence_moves_or_not():
    assert confidence_test(np.linspace(0, 1, 99), np.linspace(0, 1, 50)).p > 0.9
    assert confidence_test(np.linspace(0.5, 1, 99), np.linspace(0, 0.5, 50)).alarm()


def world(seed, size, shares, shift=0.0):
    """Articles of three topics, 85 % of which a classifier gets right."""
    source = np.random.default_rng(seed)
    labels = source.choice(3, size=size, p=shares)
    said = np.where(source.random(size) < 0.85, labels, source.integers(3, size=size))
    return source.normal(size=(size, 6)) + 2 * np.eye(3, 6)[labels] + shift, labels, said


def test_the_new_shares_are_found_from_what_a_classifier_says():
    _, labels, said = world(0, 4000, [0.4, 0.4, 0.2])
    _, _, now = world(1, 4000, [0.1, 0.3, 0.6])
    weights = estimate_weights(labels, said, now, 3)
    assert np.allclose(weights, [0.25, 0.75, 3.0], atol=0.12)
    assert np.allclose(estimate_weights(labels, said, said, 3), 1, atol=1e-6)


def test_label_shift_is_not_input_drift():
    verdicts = {"none": [], "label shift": [], "input drift": []}
    for seed in range(12):
        old, labels, said = world(seed, 600, [0.4, 0.4, 0.2])
        for kind, told in (
            ("none", ([0.4, 0.4, 0.2], 0.0)),
            ("label shift", ([0.1, 0.2, 0.7], 0.0)),
            ("input drift", ([0.4, 0.4, 0.2], 0.6)),
        ):
            new, _, now = world(100 + seed, 150, *told)
            found = diagnose(old, labels, said, new, now, topics=3, seed=seed)
            verdicts[kind].append(found.verdict)
    for kind, found in verdicts.items():
        assert found.count(kind) >= 10, (kind, found)


def test_shares_that_one_topic_fills():
    assert shares_test(np.zeros(9, dtype=int), np.zeros(5, dtype=int), 3).p == 1.0
    assert shares_test(np.zeros(50, dtype=int), np.ones(50, dtype=int), 3).alarm()


def test_wilson_is_scipys():
    low, high = drift_power.wilson(7, 120)
    theirs = binomtest(7, 120).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


@pytest.mark.parametrize("kind", ["topic", "source", "label"])
def test_shifts_are_as_strong_as_they_say(kind):
    embedded, labels, said = world(0, 900, [0.4, 0.4, 0.2])
    own = drift_power.Sample(embedded, labels, np.eye(3)[said])
    other = drift_power.Sample(embedded + 100, labels, np.eye(3)[said])
    old, new = drift_power.shifted(own, other, kind, 0.4, 50, 0)
    assert len(old) == drift_power.REFERENCE and len(new) == 50
    strange = (new.embeddings[:, 0] > 50).mean()
    assert strange == (0.0 if kind == "label" else 0.4)
    if kind == "label":
        assert np.bincount(new.labels, minlength=3).max() / 50 > 0.5


def test_rows_of_alarms_and_power():
    embedded, labels, said = world(0, 700, [0.4, 0.4, 0.2])
    own = drift_power.Sample(embedded, labels, np.eye(3)[said])
    rows = drift_power.false_alarms(own, (40,), 4)
    assert {row["test"] for row in rows} == {*drift_power.TESTS, "diagnosis"}
    assert all(row["low"] <= row["rate"] <= row["high"] for row in rows)
    (row,) = drift_power.power(own, drift_power.Sample(embedded + 3, labels, np.eye(3)[said]), "source", (0.8,), 40, 3)
    assert row["classifier"] == row["mmd"] == row["said_input_drift"] == 1.0


# ---------------------------------------------------------------- updates and the gate


def labelled(seed, size, turn=0.0):
    """Two-dimensional topics; the new ones are turned."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (size,), generator=source)
    angle = labels * 2.1 + turn
    centre = torch.stack([angle.cos(), angle.sin()], 1) * 4
    return Labelled(torch.cat([centre + torch.randn(size, 2, generator=source), torch.ones(size, 1)], 1), labels)


@pytest.fixture
def past():
    return labelled(0, 300), labelled(1, 300)


@pytest.fixture
def current(past):
    return fit_head(new_head(3, 3), past[0])


def test_a_fitted_head_is_good_and_weights_of_zero_are_as_if_not_there(past):
    head = fit_head(new_head(3, 3), past[0])
    assert scores_of(head, past[1])["accuracy"] > 0.93
    half = torch.cat([torch.ones(150), torch.zeros(150)])
    first = Labelled(past[0].embeddings[:150], past[0].labels[:150])
    assert torch.allclose(
        fit_head(new_head(3, 3), past[0], half).weight, fit_head(new_head(3, 3), first).weight, atol=1e-4
    )


def test_updates_learn_the_new_and_replay_keeps_the_old(past, current):
    new, judge = labelled(2, 60, turn=0.7), labelled(3, 300, turn=0.7)
    found = {mode: updated(current, new, past[0], mode) for mode in MODES}
    before = scores_of(current, judge)["accuracy"]
    old = {mode: scores_of(head, past[1])["accuracy"] for mode, head in found.items()}
    assert all(scores_of(head, judge)["accuracy"] > before for head in found.values())
    assert all(old[mode] > old["alone"] for mode in MODES if mode != "alone"), "alone, it forgets"
    assert old["replay"] >= max(old["anchored"], old["replay alone"]), "replay and the tie keep more than either"


def test_a_head_tied_to_zero_is_ridge_logistic_regression(past):
    """Oracle: scikit-learn minimises C · Σ loss + ‖W‖² / 2; the last column is the tests' own constant."""
    from sklearn.linear_model import LogisticRegression

    points, labels = past[0].embeddings[:, :2].contiguous(), past[0].labels
    head = fit_head(new_head(3, 2), Labelled(points, labels), anchor=0.2)
    theirs = LogisticRegression(C=1 / (0.2 * len(labels)), tol=1e-8, max_iter=1000).fit(points.numpy(), labels.numpy())
    assert torch.allclose(head.weight, torch.from_numpy(theirs.coef_).float(), atol=2e-3)


def test_the_tie_holds_the_head_where_it_was(past, current):
    new = labelled(2, 60, turn=1.2)
    moved = {anchor: fit_head(current, new, anchor=anchor).weight - current.weight for anchor in (0.01, 1.0, 1e4)}
    lengths = [float(each.norm()) for each in moved.values()]
    assert lengths[0] > 2 * lengths[1] and lengths[2] < 1e-3


def test_replay_weighs_the_new_labels_together(past, current):
    """Two copies of the new labels are the new labels: their weight is that of all of them."""
    new = labelled(2, 60, turn=0.7)
    once, twice = (replayed(current, each, past[0], anchor=0.3, share=0.2) for each in (new, new + new))
    assert torch.allclose(once.weight, twice.weight, atol=1e-3)
    none = replayed(current, new, past[0], anchor=0.3, share=0.0)
    assert torch.allclose(none.weight, fit_head(current, past[0], anchor=0.3).weight, atol=1e-3)


def test_the_tie_is_the_one_that_validation_chose():
    rows = [row for row in read_csv(RESULTS / "updates.csv") if row["chosen"]]
    assert [(row["anchor"], row["share"]) for row in rows] == [(ANCHOR, SHARE)]


def test_candidates_are_compared_without_a_test_article(past, current, monkeypatch):
    """The choice reads the pool alone, divided by stories."""
    articles = [Article(f"text {n}", "abc"[n % 3], group=f"story {n // 2}") for n in range(240)]
    source = labelled(3, 240, turn=0.7)
    number = {each.text: n for n, each in enumerate(articles)}

    def embedded(part):
        rows = torch.tensor([number[each.text] for each in part])
        return Labelled(source.embeddings[rows], source.labels[rows])

    learn, judge = update_choice.inner(articles, 0)
    assert not {each.group for each in learn} & {each.group for each in judge} and len(learn) > len(judge) > 60
    rows = update_choice.candidates(current, past[0], past[1], articles, embedded, labels=20, trials=2)
    assert len(rows) == 9 and sum(row["chosen"] for row in rows) == 1
    best = next(row for row in rows if row["chosen"])
    assert best["accepted"] == max(row["accepted"] for row in rows)


def test_the_gate_lets_good_updates_in_and_no_spoilt_ones(past, current):
    let_in = dict.fromkeys(gate_trials.KINDS, 0)
    for seed in range(3):
        new, judge = labelled(10 + seed, 90, turn=0.7), labelled(30 + seed, 200, turn=0.7)
        for kind in gate_trials.KINDS:
            let_in[kind] += gate_trials.trial(current, new, past[0], (past[1], judge), kind, seed)["accepted"]
    assert let_in["good"] == 3 and let_in["shuffled labels"] == let_in["one class only"] == 0
    assert let_in["other texts' labels"] <= 1  # labels at random may happen to help


def test_spoilt_labels_are_spoilt_as_they_say():
    new = labelled(0, 90)
    assert torch.equal(gate_trials.planted(new, "good", 0).labels, new.labels)
    shuffled = gate_trials.planted(new, "shuffled labels", 0).labels
    assert (
        torch.equal(shuffled.sort().values, new.labels.sort().values) and (shuffled != new.labels).float().mean() > 0.4
    )
    assert len(gate_trials.planted(new, "one class only", 0).labels.unique()) == 1
    slipped = gate_trials.planted(new, "other texts' labels", 0)
    rows = [int((new.embeddings == each).all(1).nonzero()) for each in slipped.embeddings]
    assert sorted(rows) == list(range(90)) and torch.equal(slipped.labels, new.labels[rows].roll(1))
    assert (slipped.labels == new.labels[rows]).float().mean() < 0.5


def test_the_gate_wants_both(past, current):
    new, judge = labelled(5, 90, turn=1.2), labelled(6, 200, turn=1.2)
    forgetful = gate(current, updated(current, new, past[0], "alone"), Holdout(past[1]), Holdout(judge))
    assert not forgetful.accepted and forgetful.reason == "loses the old" and forgetful.new[0] > 0
    same = gate(current, current, Holdout(past[1]), Holdout(judge))
    assert not same.accepted and same.reason == "does not gain on the new" and same.new == (0.0, 0.0, 0.0)
    few = gate(current, current, Holdout(past[1]), Holdout(labelled(7, 29)))
    assert few.reason == "too few new labels"


def test_gains_are_those_of_sklearn(past, current):
    from sklearn.metrics import f1_score

    candidate = updated(current, labelled(2, 60, turn=0.7), past[0], "alone")
    truth = past[1].labels.numpy()
    f1 = [f1_score(truth, head.logits(past[1].embeddings).argmax(1), average="macro") for head in (current, candidate)]
    gain, low, high = Holdout(past[1]).macro_f1_gain(current, candidate)
    assert gain == pytest.approx(f1[1] - f1[0], abs=1e-9) and low <= gain <= high


# ---------------------------------------------------------------- versions


def opened(tmp_path):
    return Versions(f"sqlite:///{tmp_path / 'news.sqlite'}")


TOLD = {"labels": ("a", "b", "c"), "encoder": "e", "temperature": 1.5, "unsure_below": 0.6}


def test_versions_survive_and_the_last_release_answers(tmp_path, current):
    store = opened(tmp_path)
    assert store.current() is None
    first = store.add(current, **TOLD, action="release", reason="first", numbers={})
    second = store.add(new_head(3, 3), **TOLD, action="refuse", reason="bad", numbers={"new": [0.1]}, parent=first)
    store.close()
    again = opened(tmp_path)
    found = again.current()
    assert found.id == first and torch.equal(found.head.weight, current.weight) and found.labels == ("a", "b", "c")
    assert again.get(second).parent == first and again.decisions()[0]["numbers"] == {"new": [0.1]}
    with pytest.raises(UserError, match="no version before"):
        again.rollback("x")
    third = again.add(new_head(3, 3), **TOLD, action="release", reason="good", numbers={}, parent=first)
    assert again.current().id == third and again.rollback("worse").id == first and again.current().id == first
    assert [each["action"] for each in again.decisions()] == ["rollback", "release", "refuse", "release"]


def test_feedback_is_used_up_by_a_release_alone(tmp_path, current):
    store = opened(tmp_path)
    first = store.add(current, **TOLD, action="release", reason="", numbers={})
    numbers = [store.say(f"text {n}", "a", "b", first) for n in range(3)]
    store.add(current, **TOLD, action="refuse", reason="", numbers={}, parent=first)
    assert len(store.feedback()) == 3
    store.add(current, **TOLD, action="release", reason="", numbers={}, parent=first, feedback=numbers[:2])
    assert [row["id"] for row in store.feedback()] == numbers[2:] and len(store.feedback(unused=False)) == 3
    assert store.waiting() == 1
    with pytest.raises(UserError, match="learned from these corrections meanwhile"):
        store.add(current, **TOLD, action="release", reason="", numbers={}, parent=first, feedback=numbers)
    assert store.count() == {"versions": 3, "decisions": 3, "feedback": 3}


def test_a_version_and_its_decision_are_written_together(tmp_path, current, monkeypatch):
    store = opened(tmp_path)
    with pytest.raises(TypeError):
        store.add(current, **TOLD, action="release", reason="", numbers={"x": object()})
    assert store.count() == {"versions": 0, "decisions": 0, "feedback": 0}


def test_a_version_that_was_cut_is_one_line(tmp_path, current):
    store = opened(tmp_path)
    store.add(current, **TOLD, action="release", reason="", numbers={})
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE versions SET head = substr(head, 1, 20)"))
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        store.current()
    with pytest.raises(UserError, match="no version 9"):
        store.get(9)


@pytest.mark.parametrize("change", ["labels = 'x'", "labels = '[\"a\"]'", "labels = '3'", "temperature = 0"])
def test_a_version_that_does_not_fit_together_is_one_line(tmp_path, current, change):
    store = opened(tmp_path)
    store.add(current, **TOLD, action="release", reason="", numbers={})
    with store._engine.begin() as connection:
        connection.execute(text(f"UPDATE versions SET {change}"))
    with pytest.raises(UserError, match="version 1 does not fit together"):
        store.current()


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite://", "sqlite:///:memory:", "oracle://x/y", "sqlite:////proc/none/x.sqlite"]
)
def test_a_database_that_cannot_be_is_one_line(url):
    with pytest.raises(UserError, match="database"):
        Versions(url)


def test_a_proposal_learns_from_two_thirds_and_is_judged_by_the_rest(tmp_path, past, current):
    store = opened(tmp_path)
    store.add(current, **TOLD, action="release", reason="", numbers={})
    new = labelled(8, 240, turn=1.0)
    for number in range(240):
        store.say(f"article {number}", "a", "b", 1)
    decision, version = propose(store, store.current(), Memory(*past), store.feedback(), new)
    assert decision.accepted and version == 2 and store.current().id == 2 and store.feedback() == []
    assert 60 < sum(held_out(f"article {number}") for number in range(240)) < 100
    with pytest.raises(UserError, match="no feedback"):
        propose(
            store, store.current(), Memory(*past), [], Labelled(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
        )


def test_a_text_that_is_sent_again_counts_once_by_what_was_said_last(tmp_path, past, current):
    store = opened(tmp_path)
    store.add(current, **TOLD, action="release", reason="", numbers={})
    names = [f"article {number}" for number in range(60)]
    for name in names + [next(filter(held_out, names))] * 40:
        store.say(name, "a", "b", 1)
    new = labelled(8, 60, turn=1.0)
    copies = Labelled(new.embeddings[:1].repeat(40, 1), new.labels[:1].repeat(40))
    decision, _ = propose(store, store.current(), Memory(*past), store.feedback(), new + copies)
    assert decision.reason == "too few new labels", "forty copies of one article are one"
    learned = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(memory, "updated", lambda head, learn, _: learned.append(learn.labels.tolist()) or head)
        rows = [
            {"id": n, "text": name} for n, name in enumerate(2 * [next(each for each in names if not held_out(each))])
        ]
        propose(store, store.current(), Memory(*past), rows, Labelled(new.embeddings[:2], torch.tensor([0, 2])))
    assert learned == [[2]], "a correction of a correction replaces it"


def test_memory_is_written_and_read(tmp_path, past):
    Memory(*past).write(tmp_path)
    found = Memory.read(tmp_path)
    assert torch.allclose(found.train.embeddings, past[0].embeddings, atol=1e-2)
    assert torch.equal(found.holdout.labels, past[1].labels)
    with pytest.raises(UserError, match="is not there"):
        Memory.read(tmp_path / "nowhere")
    save_file({"train.labels": torch.zeros(2)}, tmp_path / memory.NAME)
    with pytest.raises(UserError, match="lacks holdout"):
        Memory.read(tmp_path)


def test_a_head_packs_and_unpacks(current):
    again = Head.unpacked(current.packed())
    assert torch.equal(again.weight, current.weight) and torch.equal(again.bias, current.bias)
