"""Batches, scores and the linear baseline, each against an independent truth."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.testing import assert_close

from projects.lora.data import Texts
from projects.lora.evaluate import logits_of, score
from projects.lora.models.classifier import mean_over_tokens
from projects.lora.probe import fit_head


@pytest.fixture
def texts():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (50,), generator=generator).tolist()
    tokens = [torch.randint(1, 50, (n,), generator=generator).tolist() for n in lengths]
    return Texts([""] * 50, tokens, [n % 3 for n in range(50)], pad_id=0)


def rows_of(texts, batches):
    """The rows that batches hold, found again by their tokens."""
    found = []
    for batch in batches:
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
            found.append(texts.token_ids.index(ids[mask.bool()].tolist()))
    return found


def test_an_epoch_holds_every_row_once_and_depends_on_seed_and_epoch(texts):
    orders = {
        (seed, epoch): rows_of(texts, texts.shuffled_batches(4, seed=seed, epoch=epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    assert rows_of(texts, texts.shuffled_batches(4, seed=1, epoch=1)) == orders[1, 1]


def test_batches_hold_like_lengths(texts):
    wasted = sum(int((b.attention_mask == 0).sum()) for b in texts.shuffled_batches(8, seed=0, epoch=0))
    at_random = sum(
        int((texts.batch(list(range(i, min(i + 8, 50)))).attention_mask == 0).sum()) for i in range(0, 50, 8)
    )
    assert wasted < at_random / 2


def test_splitting_keeps_rows_and_order(texts):
    batch = texts.batch([3, 1, 4, 1, 5])
    parts = batch.split(3)
    assert [len(part.labels) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.input_ids for part in parts]), batch.input_ids)


def test_padding_changes_no_score(plain, texts):
    together = logits_of(plain, texts)
    for row in (0, 17, 49):
        alone = texts.batch([row])
        with torch.no_grad():
            assert_close(plain(alone.input_ids, alone.attention_mask)[0], together[row], rtol=1e-4, atol=1e-6)


def test_the_mean_is_over_real_tokens():
    hidden = torch.tensor([[[2.0], [4.0], [9.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert mean_over_tokens(hidden, mask).flatten().tolist() == [3.0, 0.0]


def test_scores_equal_scikit_learns():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(200, 5, generator=generator)
    logits[:, 4] -= 100  # a class that is never predicted but there
    gold = torch.randint(0, 5, (200,), generator=generator)
    predicted = logits.argmax(1)
    mine = score(logits, gold.tolist())
    assert mine.accuracy == pytest.approx(accuracy_score(gold, predicted))
    assert mine.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro"))


def test_the_probe_reaches_scikit_learns_optimum():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(120, 6, generator=generator), torch.randint(0, 3, (120,), generator=generator)
    penalty = 1e-2
    head = nn.Linear(6, 3)
    fit_head(head, features, labels, penalty=penalty)
    # Theirs: ½‖W‖² + C·Σ loss; ours: mean loss + penalty·‖W‖², so C = 1 / (2·n·penalty).
    theirs = LogisticRegression(C=1 / (2 * 120 * penalty), tol=1e-10, max_iter=10_000).fit(features, labels)
    with torch.no_grad():
        expected = torch.from_numpy(theirs.predict_proba(features.numpy())).float()
        assert_close(torch.softmax(head(features), 1), expected, rtol=0.0, atol=1e-3)
