"""Answers are transformers' own; they stop where they are told to; what was read is not read again."""

import threading
import tracemalloc

import numpy as np
import pytest

from shared.engine import Answer, Request, Sampling, load_engine, stream
from shared.engine.model import CHUNK
from shared.errors import UserError

pytestmark = pytest.mark.timeout(300)  # the first test that asks for a graph builds it
PROMPT = [int(i) for i in np.random.default_rng(1).integers(3, 49152, CHUNK + 30)]
DRAWN = Sampling(temperature=0.8, top_k=50, top_p=0.9, repetition_penalty=1.2, seed=7)


def answered(engine, prompt=PROMPT, *, cache=None, **request):
    """An answer that is complete, and the cache behind it."""
    request = {"max_tokens": 12, **request}
    reading = stream(engine, Request(prompt=prompt, **request), cache=cache)
    assert "".join(reading) == reading.answer.text
    return reading


def greedy_of_transformers(model, prompt, max_tokens, **options):
    import torch

    ids = torch.tensor([prompt])
    given = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False, pad_token_id=2, **options
    )
    return given[0, len(prompt) :].tolist()


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_are_those_of_transformers(tiny, tiny_torch, penalty):
    for length in (1, 9, CHUNK, CHUNK + 30):
        ours = answered(tiny, PROMPT[:length], sampling=Sampling(repetition_penalty=penalty)).answer.ids
        assert ours == greedy_of_transformers(tiny_torch, PROMPT[:length], 12, repetition_penalty=penalty)


def test_the_real_model_answers_as_in_transformers():
    from shared.assets import load_causal_lm

    engine, (model, tokenizer) = load_engine(precision="float32", threads=1), load_causal_lm()
    for text in ("The capital of France is", "Once upon a time", "def add(a, b):"):
        answer = answered(engine, text, max_tokens=6).answer
        assert answer.ids == greedy_of_transformers(model, tokenizer.encode(text), 6)
        assert answer.text == tokenizer.decode(answer.ids)


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(tiny):
    first, again = (answered(tiny, sampling=DRAWN).answer.ids for _ in range(2))
    assert first == again != answered(tiny, sampling=Sampling(temperature=0.8, seed=8)).answer.ids


def test_the_caller_has_the_logits_in_hand(tiny):
    """All but one token are forbidden, then the end."""
    seen = []

    def only(ids, logits):
        seen.append(list(ids))
        allowed = np.full_like(logits, -np.inf)
        allowed[2 if len(ids) == 3 else 500] = 0
        return allowed

    answer = answered(tiny, change_logits=only).answer
    assert answer.ids == [500, 500, 500, 2] and answer.finish == "end"
    assert seen == [[], [500], [500, 500], [500] * 3]
    assert answer.text == tiny.tokenizer.decode([500] * 3)


def test_an_answer_ends_before_its_stop_string(tiny):
    whole = answered(tiny).answer
    assert whole.finish == "length" and len(whole.ids) == 12
    stop = whole.text[len(whole.text) // 2 :][:4]
    answer = answered(tiny, stop=["never seen", stop]).answer
    assert answer.finish == "stop" and answer.text == whole.text[: whole.text.index(stop)]
    assert len(answer.ids) < 12


# ---------------------------------------------------------------- cancel


def test_cancel_stops_the_computation_at_the_next_token(tiny):
    """Another thread reads; after `cancel` it ends without computing one token more."""
    chosen, cancelled = threading.Event(), threading.Event()

    def pause(ids, logits):
        if len(ids) == 3:
            chosen.set()
            assert cancelled.wait(60)
        return logits

    reading = stream(tiny, Request(prompt=PROMPT, max_tokens=300, change_logits=pause))
    reader = threading.Thread(target=lambda: list(reading))
    reader.start()
    assert chosen.wait(60)
    computed = reading.cache.computed
    reading.cancel()
    cancelled.set()
    reader.join(60)
    assert not reader.is_alive() and reading.cache.computed == computed == len(PROMPT) + 3
    assert reading.answer.finish == "cancelled" and len(reading.answer.ids) == 4
    assert list(reading) == []


def test_cancel_stops_within_a_prompt(tiny, monkeypatch):
    reading = stream(tiny, Request(prompt=PROMPT))
    read = tiny.read

    def read_and_cancel(*arguments):
        reading.cancel()
        return read(*arguments)

    monkeypatch.setattr(tiny, "read", read_and_cancel)
    assert list(reading) == [] and reading.cache.computed == CHUNK


def test_cancel_after_the_end_changes_nothing(tiny):
    reading = answered(tiny)
    reading.cancel()
    assert reading.answer.cancelled and reading.answer.finish == "length"


# ---------------------------------------------------------------- the cache


def test_the_next_turn_reads_only_what_is_new_and_answers_as_if_it_had_read_all(tiny):
    first = answered(tiny)
    prompt = [*PROMPT, *first.answer.ids, 17, 18, 19]
    before = first.cache.computed
    second = answered(tiny, prompt, cache=first.cache)
    assert (
        second.cache.computed - before == 1 + 3 + 11
    )  # the last answered token, the new ones, the answer but its last
    assert second.answer.ids == answered(tiny, prompt).answer.ids


def test_a_rewound_cache_is_a_fresh_one(tiny):
    cache = answered(tiny).cache
    other = [*PROMPT[:20], 5, 6, 7]
    before = cache.computed
    assert answered(tiny, other, cache=cache).answer.ids == answered(tiny, other).answer.ids
    assert cache.computed - before == 3 + 11
    cache.rewind(0, 10)
    logits = tiny.read(cache, 0, PROMPT[10:40])
    np.testing.assert_allclose(logits, tiny.score(PROMPT[:40])[-1:], atol=1e-4 * np.abs(logits).max())


def test_the_same_prompt_again_reads_one_token_for_its_logits(tiny):
    cache = answered(tiny, max_tokens=1).cache
    before = cache.computed
    assert answered(tiny, cache=cache, max_tokens=1).answer.ids == answered(tiny, max_tokens=1).answer.ids
    assert cache.computed - before == 1


def test_a_cache_is_as_large_as_what_is_asked(tiny):
    cache = answered(tiny, max_tokens=12).cache
    assert cache.capacity == len(PROMPT) + 12
    assert cache.nbytes == 2 * 2 * 2 * 16 * 4 * cache.capacity  # k and v, layers, heads, width of a head, float32
    tokens, kept = list(cache.tokens[0]), [buffer[:, :, : cache.length(0)].copy() for buffer in cache.buffers]
    cache.reserve(400)
    assert cache.capacity == 400 and cache.tokens[0] == tokens
    for before, after in zip(kept, cache.buffers, strict=True):
        np.testing.assert_array_equal(before, after[:, :, : len(tokens)])


def test_generations_leave_no_memory_behind(tiny):
    """Our arrays: what numpy allocates is counted by tracemalloc."""
    answered(tiny)
    tracemalloc.start()
    try:
        for _ in range(5):
            answered(tiny, max_tokens=3)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            answered(tiny, max_tokens=3)
        assert tracemalloc.get_traced_memory()[0] - before < 50_000  # one cache is 80 kB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prompt": []}, "at least one token"),
        ({"prompt": ""}, "at least one token"),
        ({"prompt": [60_000]}, "from 0 to 49151"),
        ({"prompt": [-1]}, "from 0 to 49151"),
        ({"prompt": [5], "max_tokens": 0}, "max_tokens of at least 1"),
        ({"prompt": [5] * 500, "max_tokens": 13}, "513 tokens of prompt and answer: the model takes 512"),
        ({"prompt": [5], "stop": [""]}, "a stop string must not be empty"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_any_computation(tiny, request_, message):
    with pytest.raises(UserError, match=message):
        Answer(tiny, Request(**request_))


def test_the_model_refuses_what_the_graph_would_not(tiny):
    """The graph reads and writes other memory for these, without a word."""
    cache = tiny.new_cache(3)
    for ids, message in (([60_000], "from 0 to"), ([], "at least one"), ([5, 6, 7, 8], "room for 3")):
        with pytest.raises(UserError, match=message):
            tiny.read(cache, 0, ids)
    assert cache.length(0) == 0
