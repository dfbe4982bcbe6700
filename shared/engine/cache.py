"""Keys and values of what was read so far, row by row, in memory that is written in place.

r rows · h heads of keys and values · c capacity in tokens · e width of a head
"""

import numpy as np
from jaxtyping import Float

from shared.engine.steering import RowSteering, Steering
from shared.errors import UserError


class KeyValueCache:
    """For each row the tokens that were read, and per layer their keys and values.

    Only the first `length(row)` positions of a row hold something. So to rewind a row is to forget its last tokens,
    and a row whose tokens start like the next prompt need not read that part again.

    Attributes:
        tokens: Those that each row holds.
        computed: How many tokens were run through the model to fill this cache; it never falls.
        buffers: Keys and values of layer 0, keys and values of layer 1, …
        steering: What is added in each row; its keys and values were computed with it.
    """

    def __init__(
        self, layers: int, heads: int, head_width: int, *, rows: int, capacity: int, steering: RowSteering
    ) -> None:
        if rows < 1 or capacity < 1:
            raise UserError("a cache needs at least one row and room for one token")
        shape = (rows, heads, capacity, head_width)
        self.buffers: list[Float[np.ndarray, "r h c e"]] = [np.zeros(shape, np.float32) for _ in range(2 * layers)]
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self.computed = 0
        self.steering = steering

    @property
    def capacity(self) -> int:
        """Tokens for which each row has room."""
        return self.buffers[0].shape[2]

    @property
    def nbytes(self) -> int:
        """Memory of keys and values."""
        return sum(buffer.nbytes for buffer in self.buffers)

    def length(self, row: int) -> int:
        """Tokens of a row."""
        return len(self.tokens[row])

    def reserve(self, capacity: int) -> None:
        """Make room for this many tokens a row, and keep what is there."""
        if capacity <= self.capacity:
            return
        used = max(map(len, self.tokens))
        for index, old in enumerate(self.buffers):
            new = np.zeros((*old.shape[:2], capacity, old.shape[3]), np.float32)
            new[:, :, :used] = old[:, :, :used]
            self.buffers[index] = new

    def steer(self, row: int, steering: Steering | None) -> None:
        """Let a row be computed with what is added; what was read with something else is forgotten."""
        if steering is not self.steering.of[row]:
            self.rewind(row, 0)
        self.steering.set(row, steering)

    def rewind(self, row: int, length: int) -> None:
        """Forget all but the first tokens of a row."""
        del self.tokens[row][length:]

    def keep_prefix(self, row: int, ids: list[int]) -> int:
        """Rewind to what the row has in common with a prompt, but for its last token, whose logits are wanted.

        Returns:
            How many tokens of the prompt need not be read again.
        """
        limit = min(self.length(row), len(ids) - 1)
        common = next((i for i in range(limit) if self.tokens[row][i] != ids[i]), limit)
        self.rewind(row, common)
        return common

    def move(self, source: int, target: int) -> None:
        """Let the row `target` become the row `source`, which is empty then."""
        if source == target:
            return
        used = self.length(source)
        for buffer in self.buffers:
            buffer[target, :, :used] = buffer[source, :, :used]
        self.tokens[target], self.tokens[source] = self.tokens[source], []
        self.steering.set(target, self.steering.of[source])
