"""A small corpus of made-up articles, the configuration that trains on it, and one run that many tests look at."""

import json
import random
from dataclasses import replace

import pytest

from projects.pretrain_lm.config import SMOKE
from projects.pretrain_lm.train_pretrain import main, prepare_corpus

WORDS = """
the of and to a in that is was he for it with as his on be at by had not are but from or have an they city
bridge river mayor council letter winter year report money people water train station morning evening school
market
""".split()  # noqa: SIM905 - a list of as many strings is harder to read


def article(seed, words=80, end="."):
    draw = random.Random(seed)
    return " ".join(draw.choices(WORDS, k=words)) + f". Number {seed}{end}"


def write_jsonl(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory):
    """160 articles in a JSONL file."""
    return write_jsonl(tmp_path_factory.mktemp("raw") / "articles.jsonl", map(article, range(160)))


@pytest.fixture(scope="session")
def prepared(corpus_file, tmp_path_factory):
    """SMOKE on that corpus, which is cleaned: two epochs of 36 steps each."""
    corpus = tmp_path_factory.mktemp("corpus") / "cleaned"
    config = replace(SMOKE, dataset=str(corpus_file), corpus=corpus, batch_size=64)
    prepare_corpus(config)
    return config


@pytest.fixture
def smoke(prepared, tmp_path):
    """The same, with a directory of its own for the run."""
    return replace(prepared, out=tmp_path / "run")


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory):
    """The metrics of one run with dropout, in whose directory no test may change anything."""
    return main(replace(prepared, dropout=0.1, out=tmp_path_factory.mktemp("trained") / "run"))
