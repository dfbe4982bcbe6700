"""Masks: how many, of what, when they change, and that nobody draws the mask of another."""

import math

import pytest
import torch
from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

from projects.pretrain_lm.data.collator import Chunk, CustomDataCollator, word_numbers
from projects.pretrain_lm.models.transformer_lm import NO_LABEL
from shared.errors import UserError

PAD, END, MASK, WORDS = 0, 1, 2, 100


def collator_of(objective="dynamic", **more):
    return CustomDataCollator(objective, vocab_size=WORDS, pad_id=PAD, mask_id=MASK, special_ids=(END,), **more)


def chunks_of(count, length=64, seed=0, start=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, WORDS, (count, length), generator=draw)
    ids[:, -1] = END
    return [Chunk(start + number, row) for number, row in enumerate(ids.tolist())]


def chosen_of(batch):
    return batch.labels != NO_LABEL


def test_causal_labels_are_the_next_tokens():
    batch = collator_of("causal")([Chunk(0, [5, 6, 7, END]), Chunk(1, [8, 9])])
    assert batch.input_ids.tolist() == [[5, 6, 7, END], [8, 9, PAD, PAD]]
    assert batch.labels.tolist() == [[6, 7, END, NO_LABEL], [9, NO_LABEL, NO_LABEL, NO_LABEL]]
    assert batch.attention_mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_causal_labels_are_those_of_the_library_once_it_has_shifted():
    tokenizer = BertTokenizerFast(vocab={"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, **{f"w{i}": i for i in range(3, 100)}})
    theirs = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    chunks = [Chunk(n, row.ids[:length]) for n, (row, length) in enumerate(zip(chunks_of(3), (9, 5, 7), strict=True))]
    expected = theirs([{"input_ids": chunk.ids} for chunk in chunks])
    mine = collator_of("causal")(chunks)
    assert torch.equal(mine.input_ids, expected["input_ids"])
    assert torch.equal(mine.labels[:, :-1], expected["labels"][:, 1:])
    assert torch.equal(mine.attention_mask.long(), expected["attention_mask"])


@pytest.mark.parametrize("objective", ["dynamic", "static"])
@pytest.mark.parametrize("ratio", [0.15, 0.4])
def test_shares_are_80_10_10_by_a_chi_squared_test(objective, ratio):
    chunks = chunks_of(1800)
    batch = collator_of(objective, mask_ratio=ratio)(chunks)
    original = torch.tensor([chunk.ids for chunk in chunks])
    chosen = chosen_of(batch)
    tokens = original.numel() - len(chunks)  # the end of each is never chosen
    assert tokens > 1e5
    spread = math.sqrt(tokens * ratio * (1 - ratio))
    assert abs(int(chosen.sum()) - tokens * ratio) < 4 * spread
    masked, kept = batch.input_ids == MASK, batch.input_ids == original
    # A random replacement is the token itself once in 97 times.
    counts = torch.tensor([(chosen & masked).sum(), (chosen & ~masked & ~kept).sum(), (chosen & kept).sum()])
    expected = chosen.sum() * torch.tensor([0.8, 0.1 * 96 / 97, 0.1 + 0.1 / 97])
    assert ((counts - expected) ** 2 / expected).sum().item() < 13.8  # the 0.999 quantile with 2 degrees of freedom
    assert torch.equal(batch.input_ids[~chosen], original[~chosen])
    assert torch.equal(batch.labels[chosen], original[chosen])


def test_as_many_are_chosen_as_by_the_library():
    """The library's collator on the same tokens: the shares of chosen and masked tokens agree within sampling error."""
    tokenizer = BertTokenizerFast(vocab={"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, **{f"w{i}": i for i in range(3, 100)}})
    theirs = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=0)
    chunks = chunks_of(600)
    expected = theirs([{"input_ids": chunk.ids} for chunk in chunks])
    mine = collator_of()(chunks)
    for count in (lambda i, lab: (lab != NO_LABEL).sum(), lambda i, lab: (i == MASK).sum()):
        one, other = count(mine.input_ids, mine.labels).item(), count(expected["input_ids"], expected["labels"]).item()
        assert abs(one - other) < 5 * math.sqrt(one + other)


def test_random_replacements_are_ordinary_and_uniform():
    batch, chunks = collator_of(mask_ratio=0.9)(chunks_of(1500)), chunks_of(1500)
    original = torch.tensor([chunk.ids for chunk in chunks])
    others = batch.input_ids[chosen_of(batch) & (batch.input_ids != MASK) & (batch.input_ids != original)]
    counts = torch.bincount(others, minlength=WORDS)
    assert not counts[:3].any()
    expected = len(others) / 97
    assert ((counts[3:] - expected) ** 2 / expected).sum().item() < 146  # the 0.999 quantile with 96


def test_specials_and_padding_are_never_chosen():
    rows = [Chunk(n, [3, END, 4, END, 5][: 2 + n % 4]) for n in range(200)]
    batch = collator_of(mask_ratio=0.9)(rows)
    assert batch.attention_mask is not None
    assert not chosen_of(batch)[~batch.attention_mask].any()
    assert not torch.isin(batch.labels[chosen_of(batch)], torch.tensor([PAD, END, MASK])).any()


def test_a_dynamic_mask_is_another_in_each_epoch_and_a_static_one_is_not():
    chunks = chunks_of(1600)
    found = {kind: [collator_of(kind, epoch=epoch)(chunks) for epoch in (0, 1)] for kind in ("dynamic", "static")}
    one, two = (chosen_of(batch) for batch in found["dynamic"])
    overlap = (one & two).sum().item() / one.sum().item()
    assert overlap == pytest.approx(0.15, abs=4 * math.sqrt(0.15 * 0.85 / one.sum().item()))
    assert torch.equal(found["static"][0].input_ids, found["static"][1].input_ids)
    assert torch.equal(found["static"][0].labels, found["static"][1].labels)


@pytest.mark.parametrize("objective", ["dynamic", "static"])
def test_a_mask_belongs_to_its_chunk_whatever_batch_order_and_worker(objective):
    chunks = chunks_of(8)
    together = collator_of(objective)(chunks)
    torch.manual_seed(99)  # a worker's global state
    torch.rand(7)
    backwards = collator_of(objective)(chunks[::-1])
    alone = collator_of(objective)(chunks[3:4])
    assert torch.equal(together.labels.flip(0), backwards.labels)
    assert torch.equal(together.labels[3:4], alone.labels)


def test_equal_chunks_of_other_numbers_have_other_masks_and_so_have_other_seeds():
    ids = chunks_of(1)[0].ids
    one, two = (collator_of()([Chunk(n, ids)]) for n in (0, 1))
    assert not torch.equal(one.labels, two.labels)
    assert not torch.equal(one.labels, collator_of(seed=1)([Chunk(0, ids)]).labels)


def test_dynamic_and_static_masks_of_one_chunk_are_independent():
    chunks = chunks_of(1600)
    one, two = (chosen_of(collator_of(kind)(chunks)) for kind in ("dynamic", "static"))
    overlap = (one & two).sum().item() / one.sum().item()
    assert overlap == pytest.approx(0.15, abs=0.02)


def test_masking_changes_no_chunk_and_draws_nothing_from_the_global_generator():
    chunks = chunks_of(5)
    before = [list(chunk.ids) for chunk in chunks]
    state = torch.random.get_rng_state()
    collator_of()(chunks)
    assert [chunk.ids for chunk in chunks] == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_whole_words_are_masked_whole():
    words = word_numbers([n % 3 == 0 for n in range(63)] + [True])
    chunks = [Chunk(c.id, c.ids, words) for c in chunks_of(300)]
    chosen = chosen_of(collator_of(whole_words=True)(chunks))
    triples = chosen[:, :63].unflatten(1, (21, 3))
    assert torch.equal(triples.any(2), triples.all(2))
    share = triples.any(2).float().mean().item()
    assert share == pytest.approx(0.15, abs=4 * math.sqrt(0.15 * 0.85 / (300 * 21)))
    with pytest.raises(UserError, match="does not say where its words begin"):
        collator_of(whole_words=True)(chunks_of(1))


def test_a_chunk_always_teaches_something():
    batch = collator_of(mask_ratio=0.01)(chunks_of(200, length=4))
    assert chosen_of(batch).any(1).all()
    assert not chosen_of(collator_of()([Chunk(0, [END])])).any()


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, float("nan")])
def test_a_ratio_out_of_range_is_one_line(ratio):
    with pytest.raises(UserError, match="mask ratio"):
        collator_of(mask_ratio=ratio)


def test_masking_without_a_mask_token_is_one_line():
    with pytest.raises(UserError, match="needs a mask token"):
        CustomDataCollator("static", vocab_size=9, pad_id=0)
    CustomDataCollator("causal", vocab_size=9, pad_id=0)
