"""Runs: nothing is lost, nothing crosses, and a run counts more than its parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.originality.alignment import REACH, added_up, aligned_runs

PLACES = st.integers(0, 150)
MATCHES = st.lists(st.tuples(PLACES, PLACES, st.sampled_from([0.5, 2.0, 7.0])), max_size=40, unique_by=lambda m: m[:2])


@given(MATCHES, st.randoms())
def test_runs_keep_every_match_whatever_the_order_in_which_they_come(matches, rng):
    runs = aligned_runs(matches)
    assert sum(run.matches for run in runs) == len(matches)
    assert sum(run.weight for run in runs) == pytest.approx(sum(weight for *_, weight in matches))
    rng.shuffle(matches)
    assert aligned_runs(matches) == runs


@given(MATCHES)
def test_runs_go_forward_on_both_sides_and_never_leap(matches):
    for run in aligned_runs(matches):
        for first, last in (run.left, run.right):
            assert run.matches - 1 <= last - first <= (run.matches - 1) * REACH


def test_a_gap_within_reach_is_bridged_and_a_wider_one_is_not():
    near = aligned_runs([(0, 100, 7.0), (REACH, 101, 7.0)])
    assert [(run.left, run.right, run.weight) for run in near] == [((0, REACH), (100, 101), 14.0)]
    assert len(aligned_runs([(0, 100, 7.0), (REACH + 1, 101, 7.0)])) == 2
    assert len(aligned_runs([(0, 100, 7.0), (1, 99, 7.0)])) == 2, "backwards on one side"


def test_interleaved_runs_are_told_apart():
    """Two parts of the one side that alternate, and stand far from one another on the other."""
    matches = [(2 * n, 200 + n, 7.0) for n in range(10)] + [(2 * n + 1, n, 7.0) for n in range(10)]
    assert [(run.matches, run.right) for run in aligned_runs(matches)] == [(10, (200, 209)), (10, (0, 9))]


def test_one_long_run_counts_more_than_the_same_weight_scattered():
    whole = aligned_runs([(n, n, 7.0) for n in range(40)])
    scattered = aligned_runs([(n * (REACH + 1), n * (REACH + 1), 7.0) for n in range(40)])
    assert sum(run.weight for run in whole) == sum(run.weight for run in scattered) == 280
    assert added_up(whole, 100) == pytest.approx(280**2 / 380)
    assert added_up(scattered, 100) == pytest.approx(40 * 49 / 107)
