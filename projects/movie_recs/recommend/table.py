"""The films of a live catalogue as arrays: rows that come, change and die.

n rows · d width
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from projects.movie_recs.data.films import Film

GROWTH = 1.25


@dataclass
class Table:
    """The films as arrays, a row each; a removed film's row is dead and not used again.

    Attributes:
        vectors: (rows, d), centred, of length 1; more rows are kept than are used.
        plain: The same before they were centred, in half precision: what MMR compares.
    """

    width: int
    films: list[Film] = field(default_factory=list)
    row: dict[int, int] = field(default_factory=dict)
    vectors: Float[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    plain: Float[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    alive: Bool[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, bool))
    ids: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def put(
        self, films: Sequence[Film], vectors: Float[np.ndarray, "n d"], plain: Float[np.ndarray, "n d"]
    ) -> list[int]:
        """Rows of these films: their own if they are there already, else new ones."""
        fresh = [film for film in films if film.id not in self.row]
        self._room(len(self.films) + len(fresh))
        for film in fresh:
            self.row[film.id] = len(self.films)
            self.films.append(film)
        rows = [self.row[film.id] for film in films]
        for row, film in zip(rows, films, strict=True):
            self.films[row], self.ids[row], self.alive[row] = film, film.id, True
        self.vectors[rows], self.plain[rows] = vectors, plain
        return rows

    def drop(self, film: int) -> bool:
        """Whether it was there."""
        row = self.row.pop(film, None)
        if row is not None:
            self.alive[row] = False
        return row is not None

    def rows(self, films: Iterable[int]) -> Int[np.ndarray, " m"]:
        """Rows of those of these films that are there."""
        return np.array([self.row[film] for film in films if film in self.row], np.int64)

    def _room(self, wanted: int) -> None:
        if wanted <= len(self.vectors):
            return
        more = max(wanted, int(GROWTH * len(self.vectors))) - len(self.vectors)
        self.vectors = np.concatenate([self.vectors.reshape(-1, self.width), np.zeros((more, self.width), np.float32)])
        room = np.zeros((more, self.width), np.float16)
        self.plain = np.concatenate([self.plain.reshape(-1, self.width), room])
        self.alive = np.concatenate([self.alive, np.zeros(more, bool)])
        self.ids = np.concatenate([self.ids, np.zeros(more, np.int64)])
