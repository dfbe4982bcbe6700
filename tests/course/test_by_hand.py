"""Cells that a reader changes: they do their work in a notebook only, and what they build by hand is the real thing."""

import importlib
import sys
import types

import pytest
import torch
from torch import nn

from shared.course.cells import Drawing, curves, descend, live
from shared.course.project import find, names

LEAST = 3  # cells that work


@pytest.mark.parametrize("name", names())
def test_each_project_is_built_by_hand_in_cells_that_work_in_a_notebook_only(name, capsys):
    source = (find(name).folder / "by_hand.py").read_text()
    assert source.count("\nlive(") + source.count("\nsay(") >= LEAST
    importlib.import_module(f"projects.{name}.by_hand")
    assert capsys.readouterr().out == ""


def test_work_is_done_and_shown_where_a_kernel_runs_and_nowhere_else(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    live(lambda x: x + 1, 1)
    assert shown == [] and "ipykernel" not in sys.modules
    threads = torch.get_num_threads()
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    live(lambda x: x + 1, 1)
    torch.set_num_threads(threads)
    assert shown == [2]


def test_descent_is_adamw_on_what_asks_for_a_gradient():
    frozen, moving = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.full((2,), 3.0))
    losses = descend([frozen, moving], lambda _: ((moving - frozen) ** 2).sum(), steps=3, rate=0.1)
    other = torch.full((2,), 3.0, requires_grad=True)
    optimizer, expected = torch.optim.AdamW([other], lr=0.1), []
    for _ in range(3):
        loss = ((other - 1) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses == expected and torch.equal(frozen, torch.ones(2))


def test_a_drawing_is_a_picture_and_a_text():
    drawn = curves({"a": [1.0, 2.0], "b": [2.0, 2.0]}, title="t", xlabel="x", ylabel="y")
    assert isinstance(drawn, Drawing) and drawn.png.startswith(b"\x89PNG")
    shown = drawn._repr_mimebundle_()
    assert shown["text/plain"] == "t: a, b" and set(shown) == {"text/plain", "image/png"}


def test_the_layer_by_hand_is_loras():
    from projects.lora.by_hand import LowRank
    from projects.lora.models.lora import LoRALinear

    torch.manual_seed(0)
    base, x = nn.Linear(6, 5), torch.randn(3, 6)
    ours, theirs = LowRank(base, 2, 4.0), LoRALinear(base, 2, 4.0)
    torch.testing.assert_close(ours(x), base(x), rtol=0, atol=0)
    ours.A.data, ours.B.data = theirs.A.data, torch.randn(2, 5)
    theirs.B.data = ours.B.data
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_objective_by_hand_is_ppos():
    from projects.rlhf_ppo.by_hand import clipped
    from projects.rlhf_ppo.rl.ppo import policy_loss

    torch.manual_seed(0)
    ratio, advantage = torch.rand(4, 5) * 2, torch.randn(4, 5)
    mask = torch.ones(4, 5, dtype=torch.bool)
    expected, _ = policy_loss(ratio.log(), torch.zeros(4, 5), advantage, mask, 0.2)
    torch.testing.assert_close(-clipped(ratio, advantage, 0.2).mean(), expected)


def test_attention_by_hand_is_causal_with_its_mask_only():
    from projects.pretrain_lm.by_hand import Attention

    torch.manual_seed(0)
    x = torch.randn(1, 5, 8)
    other = torch.cat([x[:, :-1], x[:, -1:] + 1], 1)
    for causal in (True, False):
        attention = Attention(8, causal=causal)
        assert torch.equal(attention(x)[:, :-1], attention(other)[:, :-1]) is causal


def test_scores_by_hand_are_bm25s():
    import bm25s
    import numpy as np

    from projects.rag_agent.by_hand import bm25

    texts = ["a cat sat on a mat", "a dog", "the cat and the other cat", "nothing else here"]
    retriever = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    retriever.index([text.split() for text in texts], show_progress=False)
    expected = retriever.get_scores(["cat", "mat"]) * (1.5 + 1)  # the library leaves the constant k1 + 1 out
    np.testing.assert_allclose(bm25("cat mat", texts, 1.5, 0.75), expected, rtol=1e-5)


def test_mixout_by_hand_is_the_projects():
    from projects.hf_finetune.by_hand import mixout
    from projects.hf_finetune.training.mixout import mix

    w, u = torch.randn(9, 9), torch.randn(9, 9)
    torch.manual_seed(3)
    found = mixout(w, u, 0.5)
    torch.manual_seed(3)
    keep = (torch.rand_like(w) >= 0.5) * 2.0
    torch.testing.assert_close(found, mix(w, u, keep))
    assert torch.equal(mixout(w, w, 0.5), w)


def test_the_losses_by_hand_are_the_projects():
    from projects.ppo_dpo_orpo import by_hand, losses

    torch.manual_seed(0)
    logits, start = torch.randn(6), torch.randn(6).log_softmax(0)
    chosen, rejected = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    now = logits.log_softmax(0)
    margin = losses.dpo_margin(now[chosen], now[rejected], start[chosen], start[rejected])
    expected = losses.dpo_loss(margin, beta=0.3).mean()
    torch.testing.assert_close(by_hand.dpo(logits, start, chosen, rejected, 0.3), expected)
    expected = losses.orpo_loss(now[chosen], now[rejected], -now[chosen].mean(), weight=0.7)
    torch.testing.assert_close(by_hand.orpo(logits, chosen, rejected, 0.7), expected)
