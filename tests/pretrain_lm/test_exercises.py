"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import math

import pytest
import torch

from projects.pretrain_lm.data.collator import Chunk, CustomDataCollator
from projects.pretrain_lm.data.shards import chunks_of
from projects.pretrain_lm.evaluate import Prediction, distinct
from projects.pretrain_lm.models.sampling import Sampling, probabilities
from projects.pretrain_lm.models.transformer_lm import Cache, Size, TransformerLM, rotate, rotations
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
    model = TransformerLM(Size(vocabulary=v["v"], context=v["c"], layers=v["capas"], heads=4, width=v["d"]))
    assert sum(p.numel() for p in model.parameters()) == answer


def test_bits_and_perplexity():
    v, answer = solved("bits")
    assert Prediction(v["nats"], v["tokens"]).bits_per_byte(v["bytes"]) == pytest.approx(answer)
    v, answer = solved("perplejidad")
    total = v["n1"] * v["l1"] + v["n2"] * v["l2"]
    assert Prediction(total / (v["n1"] + v["n2"]), v["n1"] + v["n2"]).perplexity == pytest.approx(answer)


def test_chunks_of_a_document():
    for team in TEAMS[:10]:
        v, answer = solved("fragmentos", team)
        assert len(list(chunks_of(list(range(v["n"])), document=0, context=v["c"], end=1))) == answer


def test_what_is_seen_changed_and_asked_over_visits():
    v, answer = solved("ochenta", v=20)
    collator = CustomDataCollator("dynamic", vocabulary=23, padding=0, mask=2, special=(1,), ratio=v["p"] / 100)
    ids = torch.randint(3, 23, (20_000,), generator=torch.Generator().manual_seed(0)).tolist()
    batch = collator([Chunk(0, ids)])
    changed = (batch.ids[0] != torch.tensor(ids)).float().mean().item()
    assert changed * v["n"] == pytest.approx(answer, rel=0.05)
    v, answer = solved("visitas", p=20, k=4)
    collator.ratio, asked = 0.2, torch.zeros(20_000, dtype=torch.bool)
    for collator.epoch in range(4):
        asked |= collator([Chunk(0, ids)]).labels[0] != -100
    assert 100 * asked.float().mean().item() == pytest.approx(answer, rel=0.03)


def test_rotation_and_cache():
    _, answer = solved("rotacion", e=16, i=3, m=40)
    table, x = rotations(64, 16).double(), torch.zeros(1, 1, 64, 16, dtype=torch.double)
    x[..., 3] = 1.0  # the pair (3, 3 + 8) as the vector (1, 0)
    turned = rotate(x, table)[0, 0]
    angle = torch.atan2(turned[:, 11], turned[:, 3])
    assert (angle[50] - angle[10]).item() % (2 * math.pi) == pytest.approx(answer % (2 * math.pi), abs=1e-5)
    _v, answer = solved("cache", capas=2, d=96, b=3, t=10)
    cache = Cache.empty()
    model = TransformerLM(Size(vocabulary=9, context=12, layers=2, heads=4, width=96))
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
