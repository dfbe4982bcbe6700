"""A small corpus of made-up articles, and the configuration that trains on it."""

import json
import random
from dataclasses import replace

import pytest

from projects.pretrain_lm.config import SMOKE

WORDS = """
the of and to a in that is was he for it with as his on be at by had not are but from or have an they city
bridge river mayor council letter winter year report money people water train station morning evening school
market
""".split()  # noqa: SIM905 - a list of as many strings is harder to read


def article(seed, words=80):
    draw = random.Random(seed)
    return " ".join(draw.choices(WORDS, k=words)) + f". Number {seed}."


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory):
    """160 articles in a JSONL file."""
    path = tmp_path_factory.mktemp("raw") / "articles.jsonl"
    path.write_text("".join(json.dumps({"text": article(seed)}) + "\n" for seed in range(160)))
    return path


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
    """Where the cleaned corpus of all tests goes; the first that needs it makes it."""
    return tmp_path_factory.mktemp("corpus") / "cleaned"


@pytest.fixture
def smoke(corpus_file, corpus_folder, tmp_path):
    """SMOKE on that corpus, on two epochs of some twenty steps."""
    return replace(SMOKE, dataset=str(corpus_file), corpus=corpus_folder, batch_size=64, out=tmp_path / "run")
