"""Cleaning, copies, division and the report, each against what it promises."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.hf_finetune.config import Config
from projects.hf_finetune.data.cleaning import clean, normal, without_boilerplate, without_markup
from projects.hf_finetune.data.preprocess import (
    PreprocessConfig,
    main,
    prepare,
    split_by_group,
    subsample,
    without_copies,
)
from projects.hf_finetune.data.sources import rated_sentences, tone
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.sampler import LengthGroupedSampler
from shared.assets.text import text_key


@pytest.mark.parametrize(
    ("dirty", "tidy"),
    [
        ("<p>Good<br/>value</p>", "Good value"),
        ("it &lt;3 AT&amp;T", "it <3 AT&T"),
        ("twice &amp;amp; escaped", "twice & escaped"),
        ("&amp;lt;b&amp;gt;bold", "bold"),
        ("less than < 2 ft > 1", "less than < 2 ft > 1"),
        ("see http://a.b/c?d=1 and me@x.org now", "see and now"),
        ("“quoted” – it’s", '"quoted" - it\'s'),
        ("ﬁne\u200b soft\u00adhyphen\u0000", "fine softhyphen"),
        ("too   many\t\n spaces ", "too many spaces"),
        ("12 of 15 people found this review helpful. Great", "Great"),
        ("Summary: fine. Was this review helpful to you? Yes No", "fine."),
        ("it has pros and cons: some", "it has pros and cons: some"),
        ("long text (read more)", "long text"),
    ],
)
def test_cleaning(dirty, tidy):
    assert clean(dirty) == tidy


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)
    assert normal(normal(text)) == normal(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abc XYZ.,!?'0123", max_size=60))
def test_plain_words_are_left_alone(text):
    assert clean(text) == " ".join(text.split()) == without_boilerplate(without_markup(text)).strip()


def row(text, label, **more):
    return {"text": text, "label": label, **more}


def test_copies_and_near_copies():
    rows = [
        row("a good camera with a fine lens", "p", group="1"),
        row("A good camera, with a fine lens!", "p", group="2"),  # a copy: the first stays
        row("a good camera with a fine lens cap", "p", group="3"),  # near
        row("it came in a box", "n", group="4"),
        row("It came in a box.", "p", group="5"),  # disagrees: both go
        row("...", "p", group="6"),
        row("no", "n", group="7"),
    ]
    kept, dropped = without_copies(rows)
    assert [r["text"] for r in kept] == ["a good camera with a fine lens", "no"]
    assert {why: len(texts) for why, texts in dropped.items()} == {
        "no word in it": 1,
        "copies that disagree": 2,
        "copy": 1,
        "near copy": 1,
    }


def test_where_a_set_comes_divided_training_loses_the_copy():
    rows = [row("the very same words", "p", split="train"), row("the very same words", "p", split="test")]
    kept, _ = without_copies(rows)
    assert [r["split"] for r in kept] == ["test"]


def test_no_review_is_divided_and_no_sentence_is_in_two_splits():
    kept, _ = without_copies([{**r, "text": clean(r["text"])} for r in rated_sentences(0.5)])
    parts = split_by_group(kept)
    groups = {name: {r["group"] for r in part} for name, part in parts.items()}
    texts = {name: {text_key(r["text"]) for r in part} for name, part in parts.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not groups[one] & groups[other] and not texts[one] & texts[other]
    assert sum(map(len, parts.values())) == len(kept)
    assert len(groups["test"]) / sum(map(len, groups.values())) == pytest.approx(0.15, abs=0.01)


def test_the_draw_is_from_all_reviews_and_fixed():
    parts = split_by_group([{**r, "text": clean(r["text"])} for r in rated_sentences(0.5)])
    chosen = subsample(parts["train"], 500)
    assert len(chosen) == 500 and subsample(parts["train"], 500) == chosen
    assert len({r["group"] for r in chosen}) > 150
    assert {r["text"] for r in subsample(parts["train"], 100)} <= {r["text"] for r in chosen}
    assert subsample(parts["train"], None) == parts["train"]


@settings(max_examples=50, deadline=None)
@given(score=st.floats(-4, 4), band=st.floats(0, 2))
def test_tones_are_symmetric(score, band):
    opposite = {"negative": "positive", "neutral": "neutral", "positive": "negative"}
    assert tone(-score, band) == opposite[tone(score, band)]
    assert (tone(score, band) == "neutral") == (abs(score) <= band)


def test_the_report_counts_what_is_there(tmp_path):
    config = Config(limit=100, max_length=16)
    report = main(PreprocessConfig(**config.data, out=tmp_path))
    assert json.loads((tmp_path / "data.json").read_text()) == report
    data = prepare(config, load_tokenizer("minilm", max_length=16))
    assert report["read"] == report["kept"] + sum(each["count"] for each in report["dropped"].values())
    for name, part in report["splits"].items():
        split = data.splits[name]
        assert part["sentences"] == len(split) == sum(part["classes"].values())
        assert part["classes"]["neutral"] == list(split["labels"]).count(1)
        assert part["tokens"]["longest"] == max(map(len, split["input_ids"])) <= 16
        assert part["cut"] == sum(len(ids) == 16 for ids in split["input_ids"])


def test_scores_in_a_file_become_tones(tmp_path):
    lines = [f"sentence number {n} about thing{n},{(n % 9) - 4}" for n in range(60)]
    (tmp_path / "stars.csv").write_text("text,label\n" + "\n".join(lines))
    config = Config(dataset=str(tmp_path / "stars.csv"), scores=True, neutral_band=1.0)
    data = prepare(config, load_tokenizer("minilm", max_length=16))
    assert data.classes == ["negative", "neutral", "positive"]


# ---------------------------------------------------------------- the order of an epoch


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=200), batch=st.integers(1, 20), epoch=st.integers(0, 3)
)
def test_an_epoch_holds_every_row_once_and_the_short_batch_comes_last(lengths, batch, epoch):
    sampler = LengthGroupedSampler(lengths, batch=batch, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths))) and order == list(sampler)
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    assert all(len(each) == batch for each in batches[:-1])


def test_batches_hold_like_lengths_and_epochs_differ():
    lengths = [1 + n % 50 for n in range(500)]
    sampler = LengthGroupedSampler(lengths, batch=16, seed=0)
    first = list(sampler)
    batches = [first[i : i + 16] for i in range(0, 496, 16)]
    padded = sum(16 * max(lengths[row] for row in each) for each in batches)
    assert padded < 1.1 * sum(lengths) + 16 * 50
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert math.isclose(len(first), 500)
