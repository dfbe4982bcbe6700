"""Losses and samplers against libraries and definitions; k micro-batches are one batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from projects.news_cls.balance import losses, sampling
from projects.news_cls.balance.losses import BALANCES, make_loss, weighted_sum
from projects.news_cls.models.topic_model import TopicModel, kept_states
from projects.news_cls.train import window_step
from shared.seeding import generator, seed_everything

LABELS = [0] * 50 + [1] * 10 + [2] * 3
COUNTS = torch.tensor([50.0, 10.0, 3.0])


def batch(seed=0, size=16):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, generator=source, dtype=torch.float64), torch.randint(3, (size,), generator=source)


def test_class_weights_are_sklearns():
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=np.array(LABELS))
    assert torch.allclose(losses.class_weights(COUNTS).double(), torch.from_numpy(theirs))
    absent = losses.class_weights(torch.tensor([6.0, 2.0, 0.0]))
    assert absent.tolist() == pytest.approx([8 / (2 * 6), 8 / (2 * 2), 0.0]), "a topic without articles is not of the k"


def test_focal_is_its_definition_and_cross_entropy_at_zero():
    logits, labels = batch()
    own = logits.softmax(1)[torch.arange(16), labels]
    assert torch.allclose(losses.focal(logits, labels, gamma=2.0), -((1 - own) ** 2) * own.log())
    assert torch.allclose(losses.focal(logits, labels, gamma=0.0), cross_entropy(logits, labels, reduction="none"))


def test_adjusted_logits_are_those_of_equal_priors():
    """Trained to the optimum, softmax(logits + log π) is the data's share; the logits alone are then flat."""
    logits = torch.zeros(3, requires_grad=True)
    labels = torch.tensor(LABELS)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = losses.adjusted(logits.expand(len(labels), 3), labels, COUNTS / COUNTS.sum()).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(logits.softmax(0), torch.full((3,), 1 / 3), atol=1e-3)


def test_adjustment_leaves_a_topic_without_articles_alone():
    logits, labels = torch.zeros(1, 2), torch.tensor([0])
    assert torch.isfinite(losses.adjusted(logits, labels, torch.tensor([1.0, 0.0]))).all()


def test_over_sampling_is_imblearns_counts_within_its_limit():
    rows = sampling.over_sampled(LABELS, generator(0), most=100)
    _, theirs = RandomOverSampler(random_state=0).fit_resample(np.arange(63)[:, None], LABELS)
    assert np.bincount([LABELS[row] for row in rows]).tolist() == np.bincount(theirs).tolist() == [50, 50, 50]
    limited = sampling.over_sampled(LABELS, generator(0), most=4)
    assert np.bincount([LABELS[row] for row in limited]).tolist() == [50, 40, 12]
    assert set(rows) == set(range(63)), "no article is lost"


def test_under_sampling_cuts_the_large_and_draws_others_each_epoch():
    source = generator(0)
    first, second = (sampling.under_sampled(LABELS, source, fewest=5) for _ in range(2))
    assert np.bincount([LABELS[row] for row in first]).tolist() == [10, 10, 3]
    assert len(set(first)) == len(first) and set(first) != set(second)


@pytest.mark.parametrize("balance", BALANCES)
def test_an_epoch_shuffles_and_plain_ones_hold_every_article_once(balance):
    rows = sampling.epoch_rows(balance, LABELS, generator(1))
    assert rows != sorted(rows)
    if balance not in ("over", "under"):
        assert sorted(rows) == list(range(63))


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("sizes", [(16,), (4, 4, 4, 4), (1, 7, 8), (15, 1)])
def test_micro_batches_add_up_to_the_weighted_mean(balance, sizes):
    logits, labels = batch()
    loss = make_loss(balance, COUNTS)
    each, weights = loss(logits, labels)
    whole = (each * weights).sum() / weights.sum()
    window, start, total = 16 / float(weights.sum()), 0, 0.0
    for size in sizes:
        part = slice(start, start + size)
        own, own_weights = loss(logits[part], labels[part])
        total += float(weighted_sum(own, own_weights, window)) / 16
        start += size
    assert total == pytest.approx(float(whole), rel=1e-6)


def test_weighted_cross_entropy_is_torchs():
    logits, labels = batch()
    each, weights = make_loss("weights", COUNTS)(logits, labels)
    theirs = cross_entropy(logits, labels, weight=losses.class_weights(COUNTS).double())
    assert float((each * weights).sum() / weights.sum()) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_accumulated_steps_of_the_model_are_one_big_step(base, balance):
    """Texts of unequal length and labels of unequal weight, in micro-batches of 1, 3 and 8: the same weights."""
    texts = [" ".join(["bank"] * length) for length in (1, 2, 3, 5, 8, 9, 11, 14)]
    labels = [0, 0, 0, 0, 0, 1, 1, 2]
    found = []
    for micro in (8, 3, 1):
        seed_everything(0)
        model = TopicModel(base.model, ("a", "b", "c"), base.length_policy, upper=1, dropout=0.0)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        kept = kept_states(model, texts, precision="float32")
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        counts = torch.bincount(torch.tensor(labels)).float()
        config = replace(base, micro=micro, balance=balance)
        loss, norm = window_step(config, model, optimizer, make_loss(balance, counts), kept, labels, list(range(8)))
        found.append((loss, norm, model.head.weight.detach().clone()))
    for loss, norm, weight in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5) and norm == pytest.approx(found[0][1], rel=1e-4)
        assert torch.allclose(weight, found[0][2], atol=1e-6)
