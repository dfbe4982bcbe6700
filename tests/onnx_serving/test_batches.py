"""Both batching schemes give what one row alone gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.onnx_serving.inference.padded_batches import padding_share, plan_batches, run_padded
from projects.onnx_serving.inference.sampling import Sampling, top_p_probabilities
from projects.onnx_serving.inference.token_by_token import (
    Prompt,
    decode_steps,
    generate,
    generate_without_cache,
    left_pad,
    position_ids_of,
)
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from shared.errors import UserError

PADDING = 2  # also the end token, as in SmolLM2
ROWS = [[5, 6, 7], [9], [2, 11, 2, 12, 13, 14, 15, 16], [3, 4]]  # the third holds the padding token as text


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 60), max_size=40),
    st.integers(1, 300),
    st.one_of(st.none(), st.integers(1, 9)),
    st.booleans(),
)
def test_plans_hold_every_row_once_within_budget(lengths, budget, largest, by_length):
    batches = plan_batches(lengths, budget, max_rows=largest, sort_by_length=by_length)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget
        assert largest is None or len(rows) <= largest


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=9, max_size=40), st.integers(1, 9))
def test_sorting_never_wastes_more_than_the_order_of_arrival(lengths, size):
    lengths = lengths[: len(lengths) // size * size]  # full batches: a last one of few long rows may waste less
    mine, theirs = (
        plan_batches(lengths, 10**9, max_rows=size, sort_by_length=by_length) for by_length in (True, False)
    )
    assert padding_share(lengths, mine) <= padding_share(lengths, theirs) + 1e-12


def test_waste_by_hand():
    assert padding_share([1, 3, 4], [[0, 1], [2]]) == pytest.approx(2 / 10)
    assert padding_share([5, 5], [[0, 1]]) == 0 and padding_share([], []) == 0


@pytest.mark.parametrize(
    "options", [{"token_budget": 1}, {"token_budget": 200}, {"token_budget": 10**6, "sort_by_length": False}]
)
def test_padded_batches_equal_rows_alone(encoder, splitter, options):
    texts = ["short.", "A longer text with some more words in it.", "Middle sized text here.", "word " * 60]
    windows = [window for text in texts for window in splitter("Who is it?", text)]
    run = TorchEncoder(encoder)
    found = run_padded(run, windows, pad_id=0, **options)
    for window, (start, end) in zip(windows, found, strict=True):
        ids = torch.tensor([window.input_ids])
        with torch.no_grad():
            alone = encoder(input_ids=ids, token_type_ids=torch.tensor([window.token_type_ids]))
        np.testing.assert_allclose(start, alone.start_logits[0].numpy(), atol=2e-5)
        np.testing.assert_allclose(end, alone.end_logits[0].numpy(), atol=2e-5)


def library(decoder, row, limit):
    ids = torch.tensor([row])
    with torch.no_grad():
        made = decoder.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=limit,
            pad_token_id=PADDING,
        )
    return made[0, len(row) :].tolist()


def trimmed(tokens, ends):
    return next((tokens[:i] for i, token in enumerate(tokens) if token in ends), tokens)


@pytest.mark.parametrize("run", [generate, generate_without_cache])
def test_a_batch_of_mixed_lengths_equals_the_librarys_rows_alone(decoder, run):
    made = run(
        TorchDecoder(decoder), [Prompt(token_ids=row, max_new_tokens=12) for row in ROWS], pad_id=PADDING, eos_ids={2}
    )
    assert made == [trimmed(library(decoder, row, 12), {2}) for row in ROWS]


def test_each_row_is_trimmed_at_its_own_end(decoder):
    free = generate(
        TorchDecoder(decoder), [Prompt(token_ids=row, max_new_tokens=12) for row in ROWS], pad_id=PADDING, eos_ids=()
    )
    ends = {free[0][3], free[1][6]}  # tokens that rows really make: they now end there
    made = generate(
        TorchDecoder(decoder), [Prompt(token_ids=row, max_new_tokens=12) for row in ROWS], pad_id=PADDING, eos_ids=ends
    )
    assert made == [trimmed(row, ends) for row in free]
    assert len({len(row) for row in made}) > 1


def test_limits_are_each_rows_own(decoder):
    prompts = [Prompt(token_ids=row, max_new_tokens=limit) for row, limit in zip(ROWS, (1, 5, 3, 9), strict=True)]
    assert [len(row) for row in generate(TorchDecoder(decoder), prompts, pad_id=PADDING, eos_ids=())] == [1, 5, 3, 9]


def test_a_step_with_the_cache_equals_the_full_pass(decoder):
    run = TorchDecoder(decoder)
    ids, mask = left_pad(ROWS, PADDING)
    logits, cache = run(ids, mask, position_ids_of(mask), None)
    for step in range(5):
        new = logits.argmax(-1)[:, None]
        ids = np.concatenate([ids, new], axis=1)
        mask = np.concatenate([mask, np.ones_like(new)], axis=1)
        logits, cache = run(new, mask, position_ids_of(mask)[:, -1:], cache)
        full, _ = run(ids, mask, position_ids_of(mask), None)
        np.testing.assert_allclose(logits, full, atol=1e-4, err_msg=f"step {step}")


def test_masks_come_from_lengths_and_positions_from_masks():
    ids, mask = left_pad(ROWS, PADDING)
    assert mask.sum(axis=1).tolist() == [3, 1, 8, 2]
    assert (ids[2] == ROWS[2]).all()
    assert position_ids_of(mask)[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 2]


def test_a_row_that_nobody_waits_for_leaves_and_the_others_do_not_notice(decoder):
    prompts = [Prompt(token_ids=row, max_new_tokens=8) for row in ROWS]
    whole = generate(TorchDecoder(decoder), prompts, pad_id=PADDING, eos_ids=())
    seen = {row: [] for row in range(4)}
    for new in decode_steps(
        TorchDecoder(decoder), prompts, pad_id=PADDING, eos_ids=(), cancelled=lambda row: row == 1 and len(seen[1]) >= 3
    ):
        for row, token in new.items():
            seen[row].append(token)
    assert len(seen[1]) == 3 and seen[1] == whole[1][:3]
    assert [seen[row] for row in (0, 2, 3)] == [whole[row] for row in (0, 2, 3)]


def test_a_sampled_row_does_not_depend_on_its_neighbours(decoder):
    prompts = [
        Prompt(token_ids=row, max_new_tokens=8, sampling=Sampling(temperature=1.0, top_p=0.9, seed=seed))
        for seed, row in enumerate(ROWS)
    ]
    together = generate(TorchDecoder(decoder), prompts, pad_id=PADDING, eos_ids=())
    alone = [generate(TorchDecoder(decoder), [prompt], pad_id=PADDING, eos_ids=())[0] for prompt in prompts]
    assert together == alone
    greedy = generate(
        TorchDecoder(decoder), [Prompt(token_ids=row, max_new_tokens=8) for row in ROWS], pad_id=PADDING, eos_ids=()
    )
    assert together != greedy


def test_nucleus_by_definition():
    chances = np.array([0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(top_p_probabilities(np.log(chances), 0.6), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(top_p_probabilities(np.log(chances), 1.0), chances)
    np.testing.assert_allclose(top_p_probabilities(np.log(chances), 1e-9), [1, 0, 0, 0])


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-30, 1e-4])
def test_next_to_no_temperature_is_greedy(temperature):
    choose = Sampling(temperature=temperature, top_p=5e-324).sampler()
    assert [choose(np.array([-1e4, 30.0, 29.0, 1e4], dtype=np.float32)) for _ in range(9)] == [3] * 9


def test_draws_follow_the_probabilities():
    choose = Sampling(temperature=1.0, seed=1).sampler()
    logits = np.log(np.array([0.1, 0.6, 0.3], dtype=np.float32))
    counts = np.bincount([choose(logits) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(counts, [0.1, 0.6, 0.3], atol=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": float("nan")},
        {"temperature": -1.0},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_sampling_refuses(options):
    with pytest.raises(UserError):
        Sampling(**options)
