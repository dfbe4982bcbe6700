"""A model that follows each rating without being trained again: EASE is a function of counts, and counts are added to.

i films · columns as in recommend/dislikes.py: 2i liked, 2i + 1 disliked
"""

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.recommend.collaborative import Similar, ease
from projects.movie_recs.recommend.dislikes import signed


class Counts:
    """How many people have each pair of opinions: XᵀX of the signed matrix, kept up to date.

    Attributes:
        gram: (2i, 2i); its diagonal says how many liked, and disliked, each film.
    """

    def __init__(self, likes: csr_matrix, dislikes: csr_matrix) -> None:
        both = signed(likes, dislikes)
        self.gram: Float[np.ndarray, "j j"] = np.asarray((both.T @ both).todense(), np.float64)

    @property
    def films(self) -> int:
        """I."""
        return len(self.gram) // 2

    def grow(self, films: int = 1) -> None:
        """Room for films that came later; nobody has said anything of them."""
        self.gram = np.pad(self.gram, (0, 2 * films))

    def clear(self, film: int) -> None:
        """Forget what was said of a film that is gone: as if nobody had said anything of it."""
        self.gram[2 * film : 2 * film + 2] = 0
        self.gram[:, 2 * film : 2 * film + 2] = 0

    def change(self, held: set[int], column: int, step: int) -> None:
        """Somebody who holds these opinions takes one up (step 1), or gives one up (step −1).

        Args:
            held: Columns of his other opinions, without this one.
            column: 2 · film if he likes it, 2 · film + 1 if he dislikes it.
        """
        others = [*held, column]
        self.gram[column, others] += step
        self.gram[list(held), column] += step

    def model(self, penalty: float) -> Similar:
        """EASE of the counts as they are: the same as one that is trained from the beginning."""
        empty = csr_matrix((0, len(self.gram)))
        return ease(empty, penalty, self.gram)

    def warm(self) -> np.ndarray:
        """Which films somebody has liked."""
        return np.asarray(np.diag(self.gram)[0::2] > 0)
