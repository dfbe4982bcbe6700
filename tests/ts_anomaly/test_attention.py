"""Attention and the association discrepancy against their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from projects.ts_anomaly.models.association import SMALL, AnomalyAttention, Association, discrepancy
from projects.ts_anomaly.models.attention import full_attention, linear_attention, sliding_attention
from projects.ts_anomaly.models.encoder import features


def attention_by_definition(query, key, value, bias):
    t, d = query.shape[2:]
    s, w, out = key.shape[2], bias.shape[1], torch.zeros_like(query)
    for i in range(t):
        own = s - t + i
        seen = range(max(0, own - w + 1), own + 1)
        scores = torch.stack(
            [(query[:, :, i] * key[:, :, j]).sum(-1) / math.sqrt(d) + bias[:, own - j] for j in seen], -1
        )
        weights = scores.softmax(-1)
        out[:, :, i] = sum(weights[..., n, None] * value[:, :, j] for n, j in enumerate(seen))
    return out


@pytest.mark.parametrize(
    ("t", "past", "w"), [(1, 0, 4), (5, 0, 4), (130, 0, 7), (130, 6, 7), (3, 2, 7), (70, 63, 64), (9, 20, 5)]
)
def test_sliding_attention_is_its_definition(t, past, w):
    q, k, v = torch.randn(2, 2, t, 8), torch.randn(2, 2, t + past, 8), torch.randn(2, 2, t + past, 8)
    bias = torch.randn(2, w)
    torch.testing.assert_close(
        sliding_attention(q, k, v, bias), attention_by_definition(q, k, v, bias), rtol=1e-4, atol=1e-5
    )


def test_full_attention_is_sliding_attention_with_a_window_of_all():
    (q, k, v), bias = torch.randn(3, 1, 2, 40, 8), torch.randn(2, 40)
    torch.testing.assert_close(full_attention(q, k, v, bias)[0], sliding_attention(q, k, v, bias), rtol=1e-4, atol=1e-5)


def test_linear_attention_is_its_kernel_and_causal():
    q, k, v = torch.randn(3, 1, 2, 150, 8)
    phi_q, phi_k = (torch.nn.functional.elu(each) + 1 for each in (q, k))
    weights = (phi_q @ phi_k.transpose(2, 3)).tril()
    torch.testing.assert_close(
        linear_attention(q, k, v), weights / weights.sum(-1, keepdim=True) @ v, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("w", [3, 9])
def test_full_attention_is_its_definition_with_a_bias_that_far_keys_share(causal, w):
    (q, k, v), bias = torch.randn(3, 1, 2, 9, 4), torch.randn(2, w)
    attended, weights = full_attention(q, k, v, bias, causal=causal)
    for i in range(9):
        seen = [j for j in range(9) if j <= i or not causal]
        scores = [(q[0, :, i] * k[0, :, j]).sum(-1) / 2 + bias[:, min(abs(i - j), w - 1)] for j in seen]
        expected = torch.stack(scores, -1).exp()
        expected = expected / expected.sum(-1, keepdim=True)
        torch.testing.assert_close(weights[0, :, i, seen], expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            attended[0, :, i], torch.einsum("hs,hsd->hd", expected, v[0][:, seen]), rtol=1e-4, atol=1e-5
        )


# ---------------------------------------------------------------- association


def test_the_discrepancy_is_a_symmetric_divergence_and_the_prior_a_gaussian():
    torch.manual_seed(0)
    attention = AnomalyAttention(16, 2, 6)
    _, prior, series = attention(torch.randn(1, 6, 16))
    torch.testing.assert_close(prior.sum(-1), torch.ones(1, 2, 6))
    torch.testing.assert_close(series.sum(-1), torch.ones(1, 2, 6))
    assert (prior.argmax(-1) == torch.arange(6)).all()
    assert torch.allclose(discrepancy(prior, prior), torch.zeros(1, 6), atol=1e-6)
    torch.testing.assert_close(discrepancy(prior, series), discrepancy(series, prior))
    assert (discrepancy(prior, series) > 0).all()


def test_minimax_pulls_the_prior_and_pushes_the_rest():
    torch.manual_seed(0)
    model = Association(32, 4, 16, 1)
    near, far = model.losses(torch.randn(4, 32))
    sigma = model.attention[0].sigma_proj.weight
    (own,) = torch.autograd.grad(near, [sigma], retain_graph=True)
    assert own.abs().sum() > 0
    assert torch.autograd.grad(far, [sigma], allow_unused=True, retain_graph=True)[0] is None, "sigma is detached there"


def test_the_discrepancy_is_the_mean_over_heads_of_two_divergences():
    random = np.random.default_rng(0)
    prior, series = random.dirichlet(np.full(5, 4.0), size=(2, 1, 3, 5))
    found = discrepancy(torch.tensor(prior), torch.tensor(series))
    expected = [
        np.mean([entropy(prior[0, h, i], series[0, h, i]) + entropy(series[0, h, i], prior[0, h, i]) for h in range(3)])
        for i in range(5)
    ]
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=0.005)  # `SMALL` in the logarithms
    assert float(found.max()) > 0.5


def test_the_prior_is_a_gaussian_as_wide_as_it_says():
    torch.manual_seed(0)
    attention, x = AnomalyAttention(8, 2, 5), torch.randn(1, 5, 8)
    _, prior, _ = attention(x)
    sigma = (3 ** (torch.sigmoid(5 * attention.sigma_proj(x)) + 1e-5) - 1).detach()
    for head in range(2):
        for i in range(5):
            bell = [math.exp(-((i - j) ** 2) / (2 * float(sigma[0, i, head]) ** 2)) for j in range(5)]
            np.testing.assert_allclose(prior[0, head, i].detach(), np.array(bell) / sum(bell), rtol=1e-3, atol=1e-6)


def test_the_score_is_the_last_points_error_and_rises_where_association_is_like_the_prior():
    torch.manual_seed(0)
    model, values = Association(32, 4, 16, 2).eval(), torch.randn(3, 32)
    with torch.no_grad():
        rebuilt, priors, series = model(values)
        apart = sum(discrepancy(p, s) for p, s in zip(priors, series, strict=True)) / 2  # (b, t)
        error = (rebuilt[:, -1] - features(values)[:, -1, 0]) ** 2
        share = (-apart).exp()[:, -1] / (-apart).exp().sum(1)
        torch.testing.assert_close(model.score(values), share * error, rtol=1e-4, atol=1e-7)
        values[1, -1] = torch.nan
        assert float(model.score(values)[1]) == 0


def test_both_losses_are_the_error_and_a_share_of_the_discrepancy_with_opposite_signs():
    torch.manual_seed(0)
    model, values = Association(32, 4, 16, 2), torch.randn(3, 32)
    values[0, 5:9] = torch.nan
    rebuilt, priors, series = model(values)
    apart = torch.stack([discrepancy(p, s).mean() for p, s in zip(priors, series, strict=True)]).mean()
    known = ~values.isnan()
    error = ((rebuilt - torch.asinh(values.nan_to_num(0.0))) ** 2 * known).mean()
    near, far = model.losses(values, 3.0)
    assert float(near.detach()) == pytest.approx(float((error + 3 * apart).detach()), rel=1e-5)
    assert float(far.detach()) == pytest.approx(float((error - 3 * apart).detach()), rel=1e-5)
    assert SMALL < 1e-3
