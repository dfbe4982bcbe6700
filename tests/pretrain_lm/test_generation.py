"""Measures of what a model writes: by hand, at their extremes, and against what they are defined as."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from projects.pretrain_lm.analysis import eval_generation, plots
from projects.pretrain_lm.analysis.eval_generation import (
    ARTICLES,
    WAYS,
    Continuations,
    GenerationConfig,
    embed,
    perplexity,
)
from projects.pretrain_lm.evaluate import (
    bleu,
    distinct,
    label_probabilities,
    mixture_weight,
    repetition,
    self_bleu,
)
from projects.pretrain_lm.train_pretrain import load_run, read_corpus
from shared.errors import UserError
from shared.plotting import figure
from shared.report import read_csv


def test_distinct_by_hand():
    texts = [[1, 2, 1, 2], [1, 2, 3, 9]]
    assert distinct(texts, 1, 4) == 4 / 8
    assert distinct(texts, 2, 4) == 4 / 6  # 12, 21, 23, 39 of six
    assert distinct(texts, 1, 3) == 3 / 6  # the length is fixed: the 9 is not counted
    assert distinct([[1]], 2, 4) == 0


def test_repetition_by_hand():
    assert repetition([1, 2, 3, 4, 5, 6]) == 0
    assert repetition([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repetition([7] * 10) == pytest.approx(6 / 7)
    assert repetition([1, 2]) == 0


def test_bleu_by_hand():
    text = ["the", "cat", "sat", "on", "the", "mat"]
    assert bleu(text, [text]) == pytest.approx(1)
    other = ["the", "cat", "sat", "on", "a", "mat"]
    precisions = (5 / 6, 3 / 5, 2 / 4, 1 / 3)
    assert bleu(text, [other]) == pytest.approx(math.prod(precisions) ** (1 / 4))
    assert bleu(text[:4], [text]) == pytest.approx(math.exp(1 - 6 / 4))  # too short
    nothing = (0.5**4 / (6 * 5 * 4 * 3)) ** (1 / 4)  # each length counts half a match
    assert bleu(["u", "v", "w", "x", "y", "z"], [text]) == pytest.approx(nothing)


def test_self_bleu_is_one_for_copies_and_small_for_strangers():
    text = ["one", "two", "three", "four", "five"]
    assert self_bleu([text, text, text]) == pytest.approx(1)
    assert self_bleu([text, ["a", "b", "c", "d", "e"]]) < 0.2


def test_probabilities_of_the_labels_are_those_of_the_loss(trained):
    config, model, _ = load_run(trained.directory)
    found = label_probabilities(model, read_corpus(config).held_out(config, "test"))
    assert len(found) == trained.test.labels
    assert -np.log(found).mean() == pytest.approx(trained.test.loss, rel=1e-5)


def test_the_weight_of_a_mixture_is_the_best_on_a_grid():
    draw = np.random.Generator(np.random.PCG64(0))
    one, other = draw.uniform(0.01, 0.9, 500), draw.uniform(0.01, 0.7, 500)
    weight = mixture_weight(one, other)
    grid = np.linspace(0, 1, 101)
    best = grid[np.argmin([-np.log(w * one + (1 - w) * other).sum() for w in grid])]
    assert weight == pytest.approx(best, abs=0.011)


def test_every_way_of_sampling_is_written_and_measured(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(eval_generation, "WAYS", {k: WAYS[k] for k in ("greedy", "temperature 1")})
    judge = eval_generation.Judge()
    monkeypatch.setattr(eval_generation, "Judge", lambda: judge)  # its models are loaded once
    config = GenerationConfig(run=trained.directory, prompts=2, prompt_tokens=4, new_tokens=12, out=tmp_path / "g")
    rows = eval_generation.main(config)
    assert [row["way"] for row in rows] == [ARTICLES, "greedy", "temperature 1"]
    assert read_csv(tmp_path / "g" / "frontier.csv") == rows
    assert (tmp_path / "g" / "samples.md").read_text().count("> **") == 2  # two prompts, the one way of SHOWN
    assert eval_generation.main(config) == rows  # seeded
    with pytest.raises(UserError, match="0 test documents have more than 5005 tokens"):
        eval_generation.main(replace(config, new_tokens=5000))


def test_a_paragraph_goes_on_behind_its_opening(trained):
    config, model, tokenizer = load_run(trained.directory)
    asked = GenerationConfig(run=trained.directory, prompts=3, prompt_tokens=5, new_tokens=10)
    prompts, articles = eval_generation.held_out_prompts(asked, config.cleaning.out, tokenizer)
    assert all(prompt[0] == tokenizer.end_id and len(prompt) == 6 for prompt in prompts)
    assert all(len(ids) == 10 for ids in articles.ids)
    greedy = eval_generation.continuations(model, tokenizer, prompts, asked, WAYS["greedy"])
    ids = torch.tensor([prompts[0]])
    for written in greedy.ids[0][:5]:
        logits = model(ids)[0, -1].clone()
        logits[[tokenizer.pad_id, tokenizer.mask_id, tokenizer.end_id]] = -torch.inf
        assert logits.argmax() == written
        ids = torch.cat([ids, torch.tensor([[written]])], 1)


class Tokenizer:
    """Letters as tokens, padded with 0."""

    def __call__(self, text, *, padding=False, add_special_tokens=True, **_):
        if isinstance(text, str):
            return {"input_ids": [ord(c) % 7 + 1 for c in text]}
        longest = max(map(len, text))
        ids = [[ord(c) % 7 + 1 for c in one] + [0] * (longest - len(one)) for one in text]
        return {"input_ids": torch.tensor(ids), "attention_mask": (torch.tensor(ids) > 0).long()}


class Reader(torch.nn.Module):
    """Scores that depend on the last token alone."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(8, 8)

    def forward(self, input_ids, attention_mask=None):
        hidden = self.table(input_ids)
        return type("Out", (), {"logits": hidden, "last_hidden_state": hidden})()


def test_perplexity_counts_the_continuation_alone():
    reader, tokenizer = Reader(), Tokenizer()
    both = Continuations(["abc", "d"], [], ["de", "abcde"])
    log = reader.table.weight.log_softmax(-1)
    total = 0.0
    for prompt, written in zip(both.prompts, both.texts, strict=True):
        ids = tokenizer(prompt + written)["input_ids"]
        total += sum(log[ids[i - 1], ids[i]].item() for i in range(len(prompt), len(ids)))
    assert perplexity.__wrapped__(reader, tokenizer, both) == pytest.approx(math.exp(-total / 7), rel=1e-5)


def test_an_embedding_does_not_see_padding():
    reader, tokenizer = Reader(), Tokenizer()
    together = embed.__wrapped__(reader, tokenizer, ["ab", "abcdef"])
    alone = embed.__wrapped__(reader, tokenizer, ["ab"])
    torch.testing.assert_close(together[:1], alone)
    assert together.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_names_of_close_points_stand_apart(tmp_path):
    points = [(0.95, 0.168, "0.8", "k"), (0.96, 0.178, "0.95", "k"), (0.962, 0.176, "1", "k"), (0.3, 0.1, "", "k")]
    with figure(tmp_path / "x.png", title="t", xlabel="x", ylabel="y") as axes:
        axes.plot([x for x, *_ in points], [y for _, y, *_ in points])
        plots.name_points(axes, points)
        scale = 72 / axes.figure.dpi
        middles = [axes.transData.transform(text.xy) * scale + text.xyann for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == ["0.8", "0.95", "1"]
    assert all(np.hypot(*(a - b)) > 13 for i, a in enumerate(middles) for b in middles[:i])
