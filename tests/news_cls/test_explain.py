"""Attributions beside captum, their completeness, words, occlusion by hand, and faithfulness."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from projects.news_cls.explain.attributions import (
    blank,
    encoded,
    integrated_gradients,
    logits_of,
    masked_logits,
    occlusion,
)
from projects.news_cls.explain.faithfulness import by_score, curves, random_orders
from projects.news_cls.measure import reasons
from projects.news_cls.models.lengths import LengthPolicy
from projects.news_cls.models.topic_model import Batch, TopicModel, padded
from tests.news_cls.conftest import WORDS, news_rows

TEXT = "bank shares unbelievably profit goal market street"


@pytest.fixture
def model(trained):
    return trained.model.eval()


@pytest.mark.parametrize("policy", [LengthPolicy("head", 16), LengthPolicy("windows", 6)])
@pytest.mark.parametrize("topic", [0, 2])
def test_gradients_are_captums(model, policy, topic, monkeypatch):
    monkeypatch.setattr(model, "policy", policy)
    own = integrated_gradients(model, TEXT, topic, steps=32)
    pieces = encoded(model, TEXT).ids
    pad = model.tokenizer.pad_token_id
    (ids, mask), (empty, _) = padded(pieces, pad), padded(blank(model, pieces), pad)
    owner = torch.zeros(len(ids), dtype=torch.long)

    def forward(states):  # captum's batches stand along the first axis
        rows = states.reshape(-1, *ids.shape, states.shape[-1])
        found = [logits_of(model, row, Batch(row, mask, owner, 1))[0, topic] for row in rows]
        return torch.stack(found)

    here, there = model.embedded(ids).detach()[None], model.embedded(empty).detach()[None]
    theirs = IntegratedGradients(forward).attribute(here, there, n_steps=32, method="riemann_middle")[0].sum(-1)
    expected = [float(theirs[piece, first:end].sum()) for piece, first, end in own.spans]
    assert np.allclose(own.scores, expected, atol=1e-4)
    assert float(theirs[:, 0].abs().max()) < 1e-6, "special tokens are in both, and have no part"


def test_the_prefix_of_e5_is_read_and_is_no_word(save_tiny_bert, tmp_path):
    save_tiny_bert(tmp_path / "tiny-e5")
    e5 = TopicModel(str(tmp_path / "tiny-e5"), ("a", "b"), LengthPolicy("windows", 8), upper=1).eval()
    told = e5.tokenizer("query: bank shares", add_special_tokens=False)["input_ids"]
    assert e5.prefix == "query: " and e5.pieces("bank shares")[0][1:-1] == told and e5.opening == 3
    own = integrated_gradients(e5, "bank shares profit goal market street today", steps=64)
    assert own.words == ["bank", "shares", "profit", "goal", "market", "street", "today"] and own.error < 0.02
    assert [span[:2] for span in own.spans[:5]] == [(0, 3), (0, 4), (0, 5), (0, 6), (1, 1)], "the second piece has none"
    empty = blank(e5, e5.pieces("bank shares profit"))
    assert empty[0][:3] == e5.pieces("x")[0][:3] and set(empty[0][3:-1]) == {e5.tokenizer.pad_token_id}


def test_words_of_sentencepiece_begin_at_its_mark(model, monkeypatch):
    """SentencePiece marks beginnings where BERT marks what goes on."""
    marked = ["<s>", "▁un", "believ", "ably", "▁good", "</s>"]
    monkeypatch.setattr(model, "pieces", lambda _: [[0, 1, 2, 3, 4, 5]])
    monkeypatch.setattr(model.tokenizer, "convert_ids_to_tokens", lambda ids: [marked[i] for i in ids])
    found = encoded(model, "")
    assert found.words == ["unbelievably", "good"] and found.spans == [(0, 1, 4), (0, 4, 5)]


def test_attributions_add_up_better_with_more_steps(model):
    errors = [integrated_gradients(model, TEXT, steps=steps).error for steps in (2, 64)]
    assert errors[1] <= 0.01 and errors[1] < errors[0]
    own = integrated_gradients(model, TEXT, steps=64)
    assert sum(own.scores) == pytest.approx(own.logit - own.baseline, rel=0.011)


def test_tokens_are_merged_to_words(model):
    own = encoded(model, TEXT)
    assert own.words == TEXT.split() and own.spans[2][2] - own.spans[2][1] > 1
    two = replace_policy(model, LengthPolicy("windows", 5), TEXT)
    assert {piece for piece, _, _ in two.spans} == set(range(len(two.ids)))
    covered = [(piece, place) for piece, first, end in two.spans for place in range(first, end)]
    assert len(covered) == len(set(covered)) == sum(len(ids) - 2 for ids in two.ids)


def replace_policy(model, policy, text):
    before, model.policy = model.policy, policy
    try:
        return encoded(model, text)
    finally:
        model.policy = before


def test_occlusion_is_the_fall_of_the_logit(model):
    own = occlusion(model, TEXT, 0)
    parts = encoded(model, TEXT)
    whole = masked_logits(model, parts, [frozenset()])[0, 0]
    for word in (0, 2, 6):
        piece, first, end = parts.spans[word]
        ids = [list(each) for each in parts.ids]
        ids[piece][first:end] = [model.tokenizer.pad_token_id] * (end - first)
        tokens, mask = padded(ids, model.tokenizer.pad_token_id)
        batch = Batch(model.embedded(tokens), mask, torch.zeros(len(ids), dtype=torch.long), 1)
        with torch.no_grad():
            hidden = logits_of(model, batch.states, batch)[0, 0]
        assert own.scores[word] == pytest.approx(float(whole - hidden), abs=1e-5)


def test_a_topic_that_is_right_is_explained_by_its_own_words(model):
    rows = [(text, label, integrated_gradients(model, text)) for text, label in news_rows(60)]
    right = [(label, own) for _, label, own in rows if model.labels[own.topic] == label]
    best = [own.words[int(np.argmax(own.scores))] in " ".join(WORDS[label]).split() for label, own in right]
    assert len(right) > 30 and sum(best) / len(best) > 0.6, "by chance two words of six"


def test_hiding_what_matters_costs_more_than_hiding_the_rest(model):
    text = "bank shares profit market today city people year week river"
    own = occlusion(model, text)
    order = by_score(own)
    best, worst = curves(model, text, own.topic, [order, order[::-1]])
    assert best.deletion < worst.deletion and best.insertion > worst.insertion
    assert all(sorted(each) == list(range(10)) for each in random_orders(10, 3, 0))


def test_rows_of_the_measure(model):
    (row,) = reasons.items(model, [TEXT], 8)
    assert row["words"] == 7 and set(row) >= {
        "error",
        "deletion",
        "deletion_random",
        "insertion_occlusion",
        "agreement",
    }
    own = integrated_gradients(model, TEXT)
    assert reasons.agreement(own, own) == pytest.approx(1)
    assert reasons.agreement(own, replace(own, scores=[-each for each in own.scores])) == pytest.approx(-1)
