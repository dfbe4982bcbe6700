"""What the loader study measures: copies that differ in every word, each chunk read once."""

import json

import pytest

from projects.pretrain_lm.analysis.loader import LoaderConfig, main, moved, repeat
from shared.errors import UserError


@pytest.fixture(scope="session")
def corpus(prepared):
    return prepared.corpus


def chunks_of(folder):
    paths = sorted((folder / "chunks/train").glob("*.jsonl"))
    return [json.loads(line)["ids"] for path in paths for line in path.read_text().splitlines()]


def test_a_copy_is_another_text_of_the_same_shape():
    assert [moved(token, 3, 297) for token in (0, 1, 2)] == [0, 1, 2]
    assert sorted(moved(token, 5, 297) for token in range(3, 300)) == list(range(3, 300))
    assert all(moved(token, 1, 297) != token for token in range(3, 300))


def test_the_repeated_corpus(corpus, tmp_path):
    repeat(corpus, tmp_path / "four", 4)
    one, four = chunks_of(corpus), chunks_of(tmp_path / "four")
    assert four[: len(one)] == one
    assert len(four) == 4 * len(one)
    assert list(map(len, four)) == 4 * list(map(len, one))
    assert not {tuple(c) for c in four[: len(one)]} & {tuple(c) for c in four[len(one) : 2 * len(one)]}


def test_the_study_reads_every_token(corpus, monkeypatch):
    monkeypatch.setattr("projects.pretrain_lm.analysis.loader.COPIES", (1, 2))
    rows = main(LoaderConfig(corpus=corpus, batch_size=1))
    tokens = sum(map(len, chunks_of(corpus)))
    assert [row["tokens"] for row in rows] == [tokens, 2 * tokens]
    assert rows[1]["over_one"] == pytest.approx(1, abs=0.1)


def test_no_corpus_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no cleaned corpus"):
        main(LoaderConfig(corpus=tmp_path))
