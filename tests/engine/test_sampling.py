"""Sampling against its definitions and against transformers' processors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper

from shared.engine.sampling import Sampling, choose, draw, keep_top_k, keep_top_p, penalize_repetition, softmax
from shared.errors import UserError

# Distinct: the processors break ties by the order of a sort, we keep equals.
distinct = arrays(np.float32, 12, elements=st.floats(-8, 8, width=32), unique=True)


def theirs(processor, logits, seen=(0,)):
    return processor(torch.tensor([list(seen)]), torch.tensor(logits)[None])[0].numpy()


@given(distinct, st.integers(1, 12))
def test_top_k_is_the_library_s(logits, k):
    np.testing.assert_array_equal(keep_top_k(logits, k), theirs(TopKLogitsWarper(k), logits))


@given(distinct, st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_tokens_that_reach_p(logits, p):
    kept, probabilities = np.isfinite(keep_top_p(logits, p)), softmax(logits)
    assert probabilities[kept].min() > probabilities[~kept].max(initial=0) or kept.all()
    without_last = probabilities[kept].sum() - probabilities[kept].min()
    assert without_last < p + 1e-9 and probabilities[kept].sum() > p - 1e-9


def test_top_p_is_the_library_s_on_a_whole_vocabulary():
    logits = np.random.default_rng(0).normal(0, 3, 49152).astype(np.float32)
    for p in (0.1, 0.5, 0.9, 0.99):
        ours, library = keep_top_p(logits, p), theirs(TopPLogitsWarper(p), logits)
        assert abs(np.isfinite(ours).sum() - np.isfinite(library).sum()) <= 1  # a float32 sum of 49,152 terms


@given(distinct, st.lists(st.integers(0, 11), min_size=1), st.floats(0.5, 2))
def test_the_penalty_is_the_library_s(logits, seen, penalty):
    library = theirs(RepetitionPenaltyLogitsProcessor(penalty), logits, seen)
    np.testing.assert_allclose(penalize_repetition(logits, np.array(seen), penalty), library, rtol=1e-6)


def test_draws_follow_the_probabilities():
    probabilities, rng = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0]), np.random.default_rng(0)
    counts = np.bincount([draw(probabilities, rng) for _ in range(20_000)], minlength=6) / 20_000
    assert not counts[probabilities == 0].any()
    np.testing.assert_allclose(counts, probabilities, atol=4 * np.sqrt(0.25 / 20_000))  # four standard errors


class Largest:
    """A generator whose uniform number is the largest below 1."""

    def random(self):
        return 1 - 2**-53


def test_a_token_of_probability_0_is_never_drawn():
    assert draw(np.array([0.1] * 10 + [0.0]), Largest()) == 9


def test_the_temperature_comes_before_top_p():
    """At 0.25 the first token holds 0.96 of the probability, at 1 only 0.6: top-p leaves it alone in the first case."""
    logits, nobody = np.log(np.array([0.6, 0.25, 0.15])), np.array([], dtype=int)
    drawn = {
        t: {choose(logits, nobody, Sampling(temperature=t, top_p=0.9), np.random.default_rng(s)) for s in range(60)}
        for t in (0.25, 1.0)
    }
    assert drawn == {0.25: {0}, 1.0: {0, 1, 2}}


def test_greedy_takes_the_first_of_the_largest_after_the_penalty():
    logits, rng = np.array([1.0, 3.0, 3.0, 2.9]), np.random.default_rng(0)
    assert choose(logits, np.array([0]), Sampling(), rng) == 1
    assert choose(logits, np.array([1, 2]), Sampling(repetition_penalty=1.5), rng) == 3


@pytest.mark.parametrize("logits", [[0.0, np.nan], [-np.inf, -np.inf]])
def test_logits_that_allow_no_choice_are_refused(logits):
    with pytest.raises(ValueError, match="NaN, or nothing"):
        choose(np.array(logits), np.array([0]), Sampling(), np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": t} for t in (-1.0, float("nan"), float("inf"))),
        *({"top_p": p} for p in (0.0, 1.1, float("nan"))),
        {"top_k": -1},
        {"repetition_penalty": 0.0},
        {"seed": -1},
    ],
)
def test_values_out_of_range_are_named(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))} must be"):
        Sampling(**wrong)
