"""Cleaning against texts written by hand, groups, divisions, leaks and label errors."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.news_cls.data import label_errors
from projects.news_cls.data.articles import (
    Article,
    Corpus,
    apart,
    cleaned,
    divide,
    first_of_each,
    grouped,
    refuse_overlap,
    standard,
)
from projects.news_cls.data.cleaning import LONGEST, clean, mask_leaks
from projects.news_cls.data.exploration import leaks, summary
from projects.news_cls.data.sources import corpus
from shared.errors import UserError
from tests.news_cls.conftest import news_rows, write_news

CASES = tomllib.loads((Path(__file__).parent / "cleaning.toml").read_text(encoding="utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_cleaning(case):
    assert clean(case["raw"]) == case["clean"]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab <>&;/!-p'\"\n\x00\u200b(AP)"), max_size=60))
def test_clean_text_has_no_markup_and_no_control_characters(text):
    found = clean(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u200b]|</?p[^<>\"']*>| {2}|\n\n|^\s|\s$", found)


@pytest.mark.parametrize(
    "bomb",
    [
        "<div>" * 100_000,
        "<" * 500_000,
        "<!--" * 100_000,
        "&amp;" * 200_000,
        "<a '" * 100_000,
        "(" * 500_000,
        "a@" * 200_000,
    ],
)
def test_bombs_are_cut_and_end(bomb):
    assert len(clean(bomb)) <= LONGEST


@pytest.mark.parametrize("digits", ["9", "0", "٣"])
def test_a_number_of_a_character_may_have_any_length(digits):
    """Python converts no whole number of more than 4,300 digits from text."""
    for text in (
        f"shares &#{digits * 100_000}; rose",
        f"shares &#{digits * 5_000} rose",
        f"shares &#x{digits * 5_000}; rose",
    ):
        assert clean(text).startswith("shares ") and clean(text).endswith(" rose")
    assert clean("caf&#233; &#0000233; &#8217;") == "café é ’"


def test_masked_texts_name_no_section_and_no_outlet():
    masked = mask_leaks("BBC Sport: the sport of kings, said Reuters. AP's man in the world of business.")
    assert not re.search(r"\b(bbc|sport|reuters|ap|world|business)\b", masked, re.IGNORECASE)
    assert "of kings" in masked and "man in the" in masked


def article(text, label="a", **told):
    return Article(text, label, **told)


STORY = "the minister said on monday that the bank would cut its rates before the summer and raise them again in autumn"


def test_near_duplicates_share_a_group_and_copies_go():
    rows = [
        article(STORY),
        article(STORY.upper() + "!"),
        article(STORY + " when all is well"),
        article("something else"),
    ]
    found = grouped(rows)
    assert [each.text for each in found] == [STORY, STORY + " when all is well", "something else"]
    assert found[0].group == found[1].group != found[2].group


def test_copies_that_disagree_on_the_topic_go_both():
    assert grouped([article(STORY, "a"), article(STORY, "b"), article("else", "a")]) == grouped([article("else", "a")])


def test_groups_of_their_own_stay_together():
    rows = [article("one text here", group="wire7"), article("quite another text", group="wire7"), article("third")]
    found = grouped(rows)
    assert found[0].group == found[1].group != found[2].group


def many(count=120):
    return [
        article(f"{text} {number}", label, group=f"g{number // 2}")
        for number, (text, label) in enumerate(news_rows(count))
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_story_is_in_two_parts_and_all_are_somewhere(seed):
    rows = many()
    found = divide("x", rows, seed)
    parts = [found.train, found.validation, found.test]
    groups = [{each.group for each in part} for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert sorted(each.text for part in parts for each in part) == sorted(each.text for each in rows)
    assert [round(len(part) / len(rows), 1) for part in parts] == [0.7, 0.1, 0.2]
    assert divide("x", rows[::-1], seed).digest == found.digest


def test_another_seed_is_another_division():
    assert divide("x", many(), 0).digest != divide("x", many(), 1).digest


def test_an_overlap_is_refused_whatever_was_done_before():
    same = article(STORY, "a", group="g")
    with pytest.raises(AssertionError, match="two parts"):
        refuse_overlap(Corpus("x", ("a",), [same], [], [article("other", "a", group="g")]))
    with pytest.raises(AssertionError, match="two parts"):
        refuse_overlap(Corpus("x", ("a",), [same], [], [article(STORY + ".", "a", group="h")]))


def test_a_standard_test_stays_whole_and_training_loses_what_it_holds():
    test = [article(STORY), article("a text of the test", "b"), article("a topic of the test alone", "rare")]
    train, own = apart([article(STORY), article(STORY + " and so"), *many()], test)
    assert [each.text for each in own] == [each.text for each in test]
    assert not [each for each in train if each.text.startswith(STORY)] and len(train) == 120
    found = standard("x", train, own, 0)
    assert found.labels == ("money", "sport", "tech") and len(found.test) == 3
    assert found.numbers(found.test) == [-1, -1, -1], "topics that only the test has are known to nobody"


def test_few_labels_are_nested_and_even():
    rows = many()
    ten, five = first_of_each(rows, 10, 3), first_of_each(rows, 5, 3)
    assert {each.text for each in five} < {each.text for each in ten}
    assert sorted(each.label for each in five) == ["money"] * 5 + ["sport"] * 5 + ["tech"] * 5
    assert {each.text for each in first_of_each(rows, 5, 4)} != {each.text for each in five}
    with pytest.raises(UserError, match="--labels 41: there are only 40 articles of"):
        first_of_each(rows, 41, 0)


def test_what_is_nothing_but_markup_goes():
    assert [each.text for each in cleaned([article("<p></p>"), article("<b>x</b>")])] == ["x"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a b", "x"), ("c d", "x")], "1 topic"),
        ([*news_rows(30), ("the only one of its kind", "lonely")], "fewer than three stories of lonely"),
        ([("", "x")], "line 2: 'text' is empty"),
        ([], "holds no rows"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_one_line(tmp_path, rows, said):
    with pytest.raises(UserError, match=said):
        corpus(str(write_news(tmp_path / "news.csv", rows)))


def test_a_file_with_another_column_or_encoding(tmp_path):
    path = write_news(tmp_path / "news.csv", news_rows(30), ("body", "topic"))
    with pytest.raises(UserError, match="no column 'text'; its columns are body, topic"):
        corpus(str(path))
    assert len(corpus(str(path), text_column="body", label_column="topic").train) == 21
    path.write_bytes(b"text,label\ncaf\xe9,x\n")
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        corpus(str(path))
    with pytest.raises(UserError, match="neither embedded"):
        corpus("ag_news_of_nowhere")


def test_words_that_decide_alone_are_found_and_names_are_told_from_topics():
    rows = [article(f"bbc sport tonight the goal number {n}", "sport") for n in range(30)]
    rows += [article(f"the bank opened branch {n}", "money") for n in range(30)]
    found = {leak.word: leak for leak in leaks(rows)}
    assert found["goal"].topic == "sport" and not found["goal"].named
    assert found["bbc"].named and found["sport"].named and found["bank"].topic == "money"
    assert "the" not in found


def test_the_summary_counts(tiny):
    row = summary(corpus(str(tiny / "news.csv")))
    assert row["train"] + row["validation"] + row["test"] == 150 and row["topics"] == 3 and row["overlap"] == 0


# ---------------------------------------------------------------- label errors, beside cleanlab


def noisy(seed, count=400, topics=4, wrong=0.1):
    source = np.random.default_rng(seed)
    truth = source.integers(topics, size=count)
    logits = source.normal(size=(count, topics)) + 3 * np.eye(topics)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.where(source.random(count) < wrong, source.integers(topics, size=count), truth)
    return labels, probabilities, labels != truth


@pytest.mark.parametrize("seed", range(5))
def test_the_confident_joint_is_cleanlabs(seed):
    labels, probabilities, _ = noisy(seed)
    ours = label_errors.confident_joint(labels, probabilities)
    theirs = compute_confident_joint(labels, probabilities, calibrate=True)
    assert np.abs(ours - theirs).max() <= 1 and (ours.sum(1) == np.bincount(labels)).all()


@pytest.mark.parametrize("seed", range(5))
def test_suspects_are_cleanlabs_and_mostly_wrong(seed):
    labels, probabilities, wrong = noisy(seed)
    ours = label_errors.suspected(labels, probabilities)
    theirs = find_label_issues(labels, probabilities, filter_by="prune_by_noise_rate", min_examples_per_class=0)
    assert (ours == theirs).mean() > 0.99 and (ours & theirs).sum() >= 0.9 * theirs.sum()
    assert wrong[ours].mean() > 0.7 > 0.15 > wrong.mean()
    assert wrong[label_errors.self_confidence(labels, probabilities)[:10]].mean() >= 0.9
