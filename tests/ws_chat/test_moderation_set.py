"""The sentences that were written by hand for the moderation step."""

import tomllib
from pathlib import Path

SENTENCES = tomllib.loads((Path(__file__).parent / "sentences.toml").read_text(encoding="utf-8"))


def test_there_are_as_many_of_each():
    assert len(SENTENCES["refused"]) == len(SENTENCES["harmless"]) == 20
