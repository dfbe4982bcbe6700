"""Synthetic entities, CoNLL files, tokens and their labels, scores: each against an independent truth."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2, Entities
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as sklearn_f1

from projects.adapters import lexicon
from projects.adapters.config import DataConfig
from projects.adapters.data import IGNORE_INDEX, Texts, first_pieces, load_corpus, tag_split, tags_of
from projects.adapters.evaluate import score_tags, score_texts
from projects.adapters.ner import (
    KINDS,
    LEVELS,
    SIZES,
    TAGS,
    Sentence,
    generate,
    patterns_of,
    read_conll,
    share_of,
    write_conll,
)
from projects.adapters.train import loss_of
from shared.assets import load_encoder
from shared.errors import UserError

NAMES = ("GIVEN", "FAMILY", "TOWNS", "FIRMS", "PRODUCTS", "AMBIGUOUS")
BESIDE = ("PLACE_FIRST", "FIRM_LAST", "PRODUCT_LAST")


@pytest.fixture(scope="module")
def tokenizer():
    return load_encoder("minilm", max_length=64)[1]


def surfaces(sentences):
    """(kind, words) of every entity, by seqeval's own reading of the tags."""
    found = []
    entities = Entities([list(s.tags) for s in sentences], IOB2).entities
    for sentence, spans in zip(sentences, entities, strict=True):
        found += [(e.tag, tuple(w.lower() for w in sentence.words[e.start : e.end])) for e in spans]
    return found


# ---------------------------------------------------------------- the generator


@pytest.mark.parametrize("name", [*NAMES, *BESIDE, "TEMPLATES"])
def test_every_pool_is_divided_without_overlap_or_loss(name):
    pool = getattr(lexicon, name)
    assert len(set(pool)) == len(pool)
    parts = [share_of(pool, split) for split in SIZES]
    assert sorted(word for each in parts for word in each) == sorted(pool)
    assert all(len(each) >= (3 if name in BESIDE else 7) for each in parts)


def entity_words(level, split, seed):
    return {word for _, name in surfaces(generate(level, split, seed=seed)) for word in name}


def test_no_word_of_a_name_is_in_training_at_any_level_with_any_seed():
    """Also not between levels: a model trained on one is evaluated on the others."""
    cases = list(itertools.product(LEVELS, range(5)))
    words = {split: set().union(*(entity_words(level, split, seed) for level, seed in cases)) for split in SIZES}
    assert not words["train"] & words["test"]
    assert not words["train"] & words["validation"] and not words["validation"] & words["test"]


@pytest.mark.parametrize("level", LEVELS)
def test_patterns_of_the_test_are_not_in_training(level):
    frames = {split: {frame_of(s) for s in generate(level, split)} for split in SIZES}
    assert not frames["train"] & frames["test"] and not frames["train"] & frames["validation"]
    assert not set(patterns_of("train")) & set(patterns_of("test"))


def frame_of(sentence):
    """The words outside entities, without the drawn days and nations."""
    drawn = {w.lower() for w in (*lexicon.DAYS, *lexicon.NATIONS)}
    outside = [w.lower() for w, t in zip(sentence.words, sentence.tags, strict=True) if t == "O"]
    return tuple(w for w in outside if w not in drawn)


@pytest.mark.parametrize("level", LEVELS)
def test_every_split_holds_every_kind(level):
    for split in SIZES:
        counts = [kind for kind, _ in surfaces(generate(level, split))]
        assert set(counts) == set(KINDS)
        assert min(counts.count(kind) for kind in KINDS) > 0.08 * len(counts)


def test_the_levels_differ_as_they_say():
    lengths = {level: [len(name) for _, name in surfaces(generate(level, "train"))] for level in LEVELS}
    assert set(lengths[1]) == {1} and set(lengths[2]) == set(lengths[3]) == {1, 2}
    assert all(w == w.lower() for s in generate(3, "test") for w in s.words)
    kinds = {}
    for kind, name in surfaces(generate(3, "train")):
        kinds.setdefault(name[0], set()).add(kind)
    assert sum(len(k) > 1 for k in kinds.values()) > 0.9 * len(kinds)  # a name alone tells nothing
    kinds = {}
    for kind, name in surfaces(generate(1, "train")):
        kinds.setdefault(name[0], set()).add(kind)
    assert all(len(k) == 1 for k in kinds.values())


def test_sentences_are_repeatable_and_seeds_differ():
    assert generate(2, "test") == generate(2, "test")
    assert generate(2, "test", seed=1) != generate(2, "test")
    assert len(generate(2, "test", count=7)) == 7


@pytest.mark.parametrize(("level", "split"), [(0, "train"), (4, "train"), (1, "dev")])
def test_a_level_that_is_not_there(level, split):
    with pytest.raises(UserError, match=f"level {level}, split '{split}'"):
        generate(level, split)


# ---------------------------------------------------------------- CoNLL files


def test_conll_files_are_read_as_they_were_written(tmp_path):
    sentences = generate(2, "validation", count=20)
    write_conll(tmp_path / "x.conll", sentences)
    assert read_conll(tmp_path / "x.conll") == sentences
    text = (tmp_path / "x.conll").read_text()
    (tmp_path / "y.conll").write_text("-DOCSTART- -X- O\n\n" + text.replace("\t", " NN x  ") + "\n\n")
    assert read_conll(tmp_path / "y.conll") == sentences


LINES = [
    ("10\u00a0000\tO\n", ("10\u00a0000",), ("O",)),
    ("10\u00a0000 O\n", ("10\u00a0000",), ("O",)),
    ("New York\tB-LOC\n", ("New York",), ("B-LOC",)),
    ("New York \t NNP\t\tB-LOC \n", ("New York",), ("B-LOC",)),
    (
        "one\u2028two\u0085three\x0bfour\x0c O\n\u3000\tO\n",
        ("one\u2028two\u0085three\x0bfour\x0c", "\u3000"),
        ("O", "O"),
    ),
    ("Lima\tB-LOC\r\nwaits\tO\r\n", ("Lima", "waits"), ("B-LOC", "O")),
    ("Lima B-LOC\rwaits O\r", ("Lima", "waits"), ("B-LOC", "O")),
    ("\ufeff-DOCSTART- -X- -X- O\n\nLima B-LOC\n", ("Lima",), ("B-LOC",)),
    ("\ufeffLima B-LOC\n \t \n", ("Lima",), ("B-LOC",)),
]


@pytest.mark.parametrize(("text", "words", "tags"), LINES)
def test_columns_are_divided_at_tabs_else_at_ascii_spaces(tmp_path, text, words, tags):
    (tmp_path / "x.conll").write_bytes(text.encode())
    assert read_conll(tmp_path / "x.conll") == [Sentence(words, tags)]


OWN = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(OWN.filter(lambda w: w == w.strip(" ") and w[0] not in "-\ufeff"), min_size=1, max_size=4))
def test_any_word_that_holds_no_tab_and_no_line_end_comes_back(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("conll") / "x.conll"
    sentences = [Sentence(tuple(words), ("O",) * len(words))]
    write_conll(path, sentences)
    assert read_conll(path) == sentences


BAD_LINES = [
    ("\u00a0\n", 1, "has no tag"),
    ("\tO\n", 1, "'O' has no tag"),
    ("Alma B-PER\nlives\n", 2, "'lives' has no tag"),
    ("Alma B-PER\nin O\nLima LOC\n", 3, "tag 'LOC' is not IOB2"),
    ("Alma B-\n", 1, "tag 'B-' is not IOB2"),
    ("Alma X-PER\n", 1, "tag 'X-PER' is not IOB2"),
    ("in O\nLima I-LOC\n", 2, "I-LOC follows O"),
    ("Alma B-PER\nLima I-LOC\n", 2, "I-LOC follows B-PER"),
    ("Alma B-PER\n\nLima I-PER\n", 3, "I-PER follows O"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD_LINES)
def test_a_bad_line_is_named_with_file_and_number(tmp_path, text, line, message):
    path = tmp_path / "bad.conll"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        read_conll(path)
    assert str(refused.value).startswith(f"{path}, line {line}: ") and message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_empty_missing_or_not_text(tmp_path):
    (tmp_path / "empty.conll").write_text("\n\n")
    (tmp_path / "bytes.conll").write_bytes(b"\xff\xfe\x00")
    for name, message in (("empty", "no sentence"), ("none", "no such file"), ("bytes", "line 1: not UTF-8")):
        with pytest.raises(UserError, match=message):
            read_conll(tmp_path / f"{name}.conll")


# ---------------------------------------------------------------- tokens and labels


def test_a_words_tag_is_on_its_first_piece_and_nowhere_else(tokenizer):
    sentence = Sentence(("Huamanga", "is", "Xylotec's"), ("B-LOC", "O", "B-ORG"))
    texts = tag_split([sentence], list(TAGS), tokenizer, 64, "test")
    pieces = tokenizer.convert_ids_to_tokens(texts.tokens[0])
    assert len(pieces) > 6  # the names are cut
    bearing = [(p, TAGS[label]) for p, label in zip(pieces, texts.labels[0], strict=True) if label != IGNORE_INDEX]
    assert [tag for _, tag in bearing] == ["B-LOC", "O", "B-ORG"]
    assert not any(p.startswith("##") or p in ("[CLS]", "[SEP]") for p, _ in bearing)
    assert bearing[1][0] == "is"


def test_two_equal_words_in_a_row_both_bear_a_tag():
    assert first_pieces([None, 0, 1, 1, 2, None], [4, 5, 6]) == [IGNORE_INDEX, 4, 5, IGNORE_INDEX, 6, IGNORE_INDEX]


def test_padding_does_not_enter_the_loss(tokenizer, small):
    from projects.adapters.models.transformer_base import TokenClassifier

    texts = tag_split(generate(1, "train", count=6), list(TAGS), tokenizer, 64, "train")
    torch.manual_seed(0)
    model = TokenClassifier(small(vocab_size=len(tokenizer)), len(TAGS))
    together = loss_of(model, texts.batch(list(range(6))))
    alone = [loss_of(model, texts.batch([row])) for row in range(6)]
    words = [sum(label != IGNORE_INDEX for label in row) for row in texts.labels]
    mean = sum(loss * n for loss, n in zip(alone, words, strict=True)) / sum(words)
    assert together.item() == pytest.approx(mean.item(), rel=1e-5)


def test_a_label_that_training_lacks_is_refused(tokenizer, tmp_path):
    train = [Sentence(("Alma", "left"), ("B-PER", "O"))]
    other = [Sentence(("Lima", "waits"), ("B-CITY", "O"))]
    for split, sentences in (("train", train), ("validation", train), ("test", train + other)):
        write_conll(tmp_path / f"{split}.conll", sentences)
    with pytest.raises(UserError, match="test, sentence 2: label B-CITY was not seen in training") as refused:
        load_corpus(DataConfig(dataset=str(tmp_path), max_length=16), tokenizer)
    assert "\n" not in str(refused.value)


def test_tags_of_a_foreign_file_begin_with_o():
    sentences = [Sentence(("a", "b", "c"), ("B-ZEBRA", "I-ZEBRA", "B-APE"))]
    assert tags_of(sentences) == ["O", "B-APE", "B-ZEBRA", "I-ZEBRA"]
    assert tags_of(generate(1, "train", count=50)) == list(TAGS)


@pytest.mark.parametrize("tagging", [False, True])
def test_an_epoch_holds_every_row_once_and_depends_on_seed_and_epoch(tagging):
    tokens = [[*range(1, 3 + n % 7), 100 + n] for n in range(50)]
    labels = [[0] * len(row) for row in tokens] if tagging else [n % 3 for n in range(50)]
    texts = Texts([""] * 50, tokens, labels, pad_id=0)
    orders = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        found = []
        for batch in texts.shuffled(4, seed=seed, epoch=epoch):
            assert (batch.labels.ndim == 2) == tagging
            found += [int(ids.max()) - 100 for ids in batch.input_ids]
        assert sorted(found) == list(range(50))
        assert orders.setdefault((seed, epoch), found) == found
    assert len({tuple(order) for order in orders.values()}) == 3


# ---------------------------------------------------------------- scores


def test_scores_of_texts_equal_scikit_learns():
    gold, predicted = torch.randint(0, 4, (300,)), torch.randint(0, 4, (300,))  # of five classes one is absent
    mine = score_texts(predicted, gold, 5)
    assert mine.accuracy == pytest.approx(accuracy_score(gold, predicted))
    assert mine.macro_f1 == pytest.approx(sklearn_f1(gold, predicted, average="macro"))
    assert mine.primary == mine.accuracy


def random_tags(draw, length):
    return [draw.choice(TAGS) for _ in range(length)]


def test_scores_of_tags_equal_a_count_of_spans():
    """Oracle: spans counted by hand. Strict: an I- that continues nothing of its kind begins no entity."""
    draw = random.Random(0)
    gold = [list(s.tags) for s in generate(2, "test", count=60)]
    predicted = [random_tags(draw, len(row)) if draw.random() < 0.5 else row for row in gold]
    mine = score_tags(gold, predicted)
    right = wrong = missed = 0
    for g, p in zip(gold, predicted, strict=True):
        a, b = spans_by_hand(g), spans_by_hand(p)
        right, wrong, missed = right + len(a & b), wrong + len(b - a), missed + len(a - b)
    assert mine.entity_f1 == pytest.approx(2 * right / (2 * right + wrong + missed))
    pairs = [(g, p) for a, b in zip(gold, predicted, strict=True) for g, p in zip(a, b, strict=True)]
    assert mine.accuracy == pytest.approx(accuracy_score(*zip(*pairs, strict=True)))
    report = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    assert mine.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert mine.primary == mine.entity_f1


def spans_by_hand(tags):
    found, start = set(), None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((tags[start][2:], start, place))
            start = None
        if tag.startswith("B-"):
            start = place
    return found


def test_a_start_with_i_is_no_entity():
    """What the default mode of seqeval counts as right, the strict one does not."""
    assert score_tags([["B-PER", "O"]], [["I-PER", "O"]]).entity_f1 == 0.0
    assert score_tags([["B-PER", "I-PER"]], [["B-PER", "I-PER"]]).entity_f1 == 1.0
