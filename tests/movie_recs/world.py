"""A world small enough to be known: films of three kinds, people who like one of them, an encoder of words."""

import hashlib
import re

import numpy as np

from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.films import Film
from projects.movie_recs.data.ratings import in_order
from projects.movie_recs.embeddings.encoder import unit

WIDTH = 64
KINDS = {
    "Sci-Fi": "A spaceship crew meets aliens among the stars. The robot of the {n} station wakes up.",
    "Western": "A cowboy rides into the desert with his horse. The sheriff of town {n} waits with a gun.",
    "Romance": "A couple falls in love in the rain. Letters of the heart arrive in spring {n}.",
}


class WordEncoder:
    """Each word a random direction of its own: texts that share words are near."""

    name, width, identity = "words", WIDTH, "words-64"

    def __init__(self):
        self.texts = 0

    def encode(self, texts, role="passage"):
        self.texts += len(texts)
        return unit(np.stack([self._one(text) for text in texts])).astype(np.float32)

    def _one(self, text):
        found = np.full(WIDTH, 0.05)
        for word in re.findall(r"\w+", text.casefold()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            found = found + np.random.default_rng(seed).standard_normal(WIDTH)
        return found


def films(count=30):
    names = list(KINDS)
    return tuple(
        Film(
            id=100 + n,
            title=f"{names[n % 3]} number {n}",
            year=1970 + n,
            genres=(names[n % 3],),
            people=(f"Ann {names[n % 3]}",),
            text=KINDS[names[n % 3]].format(n=f"item{n}"),
            kind="plot",
        )
        for n in range(count)
    )


def ratings(people=60, count=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        kind = person % 3
        for film in rng.permutation(count)[: count * 2 // 3]:
            mine = film % 3 == kind
            stars = rng.choice([4.0, 4.5, 5.0] if mine else [1.0, 2.0, 3.0, 4.0])
            rows.append((person, film, stars, int(rng.integers(1, 10**6))))
    return in_order(*zip(*rows, strict=True), people, count)


def world(people=60, count=30):
    return Catalogue(films(count), ratings(people, count), "world")
