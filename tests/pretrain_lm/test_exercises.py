"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import math

import pytest
import torch

from projects.pretrain_lm.data.collator import Chunk, CustomDataCollator
from projects.pretrain_lm.data.shards import chunks_of
from projects.pretrain_lm.evaluate import Evaluation, distinct
from projects.pretrain_lm.models.sampling import Sampling, probabilities
from projects.pretrain_lm.models.transformer_lm import KVCache, ModelConfig, TransformerLM, apply_rotary, rotary_cos_sin
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import TEAMS, SheetTests

SHEET = sheet_of("pretrain_lm")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 12, 64, 0.5, "t", "2 * t**2", "n1 / n2", "(n1 - n2) / (n1 + n2)")


# The references against the code: an exercise whose solution is wrong teaches nothing.


def solved(name, team="equipo-3", **more):
    values = {**NAMES[name].values(team), **more}
    return values, NAMES[name].answer.solve(values)


def test_parameters_of_a_model():
    v, answer = solved("parametros", v=300, c=20, d=96, capas=3)
    shape = {"vocab_size": v["v"], "context_length": v["c"], "num_layers": v["capas"], "hidden_size": v["d"]}
    model = TransformerLM(ModelConfig(num_heads=4, **shape))
    assert sum(p.numel() for p in model.parameters()) == answer


def test_bits_and_perplexity():
    v, answer = solved("bits")
    assert Evaluation(v["nats"], v["tokens"]).bits_per_byte(v["bytes"]) == pytest.approx(answer)
    v, answer = solved("perplejidad")
    total = v["n1"] * v["l1"] + v["n2"] * v["l2"]
    assert Evaluation(total / (v["n1"] + v["n2"]), v["n1"] + v["n2"]).perplexity == pytest.approx(answer)


def test_chunks_of_a_document():
    for team in TEAMS[:10]:
        v, answer = solved("fragmentos", team)
        assert len(list(chunks_of(list(range(v["n"])), document=0, context_length=v["c"], end_id=1))) == answer


def test_what_is_seen_changed_and_asked_over_visits():
    v, answer = solved("ochenta", v=20)
    known = {"vocab_size": 23, "pad_id": 0, "mask_id": 2, "special_ids": (1,)}
    ids = torch.randint(3, 23, (20_000,), generator=torch.Generator().manual_seed(0)).tolist()
    batch = CustomDataCollator("dynamic", **known, mask_ratio=v["p"] / 100)([Chunk(0, ids)])
    changed = (batch.input_ids[0] != torch.tensor(ids)).float().mean().item()
    assert changed * v["n"] == pytest.approx(answer, rel=0.05)
    v, answer = solved("visitas", p=20, k=4)
    asked = torch.zeros(20_000, dtype=torch.bool)
    for epoch in range(4):
        asked |= CustomDataCollator("dynamic", **known, mask_ratio=0.2, epoch=epoch)([Chunk(0, ids)]).labels[0] != -100
    assert 100 * asked.float().mean().item() == pytest.approx(answer, rel=0.03)


def test_rotation_and_cache():
    _, answer = solved("rotacion", e=16, i=3, m=40)
    table, x = rotary_cos_sin(64, 16).double(), torch.zeros(1, 1, 64, 16, dtype=torch.double)
    x[..., 3] = 1.0  # the pair (3, 3 + 8) as the vector (1, 0)
    turned = apply_rotary(x, table)[0, 0]
    angle = torch.atan2(turned[:, 11], turned[:, 3])
    assert (angle[50] - angle[10]).item() % (2 * math.pi) == pytest.approx(answer % (2 * math.pi), abs=1e-5)
    _v, answer = solved("cache", capas=2, d=96, b=3, t=10)
    cache = KVCache.empty()
    model = TransformerLM(ModelConfig(vocab_size=9, context_length=12, num_layers=2, num_heads=4, hidden_size=96))
    model(torch.zeros(3, 10, dtype=torch.long), cache=cache)
    assert sum(t.numel() * 4 for t in (*cache.keys, *cache.values)) / 1e6 == pytest.approx(answer)


def test_a_cycle_and_a_nucleus():
    v, answer = solved("distintos")
    text = [n % v["q"] for n in range(v["n"])]
    assert distinct([text], 2, v["n"]) == pytest.approx(answer)
    for team in TEAMS[:10]:
        v, answer = solved("top_p", team)
        chances = torch.tensor([[v["a"], v["b2"], v["c3"], 0.06, 0.04]])
        tail = (1 - chances.sum()) / 200
        scores = torch.cat([chances, tail.expand(1, 200)], 1).log()
        assert probabilities(scores, Sampling(top_p=v["p"]))[0, 0].item() == pytest.approx(answer, rel=1e-4)
