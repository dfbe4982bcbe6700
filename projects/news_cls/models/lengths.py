"""What is read of an article that is longer than the encoder: one object, for training, evaluation and the service.

    policy = LengthPolicy("ends", 128)
    policy.pieces(ids, open_id, close_id)    token ids of each piece, special tokens included

A policy that is another in the service than in training is a silent error: it is saved with the model and read from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import UserError

Kind = Literal["head", "ends", "windows"]
MOST_WINDOWS = 4
"""Windows of an article; what comes after them is left out: news put first what matters."""


@dataclass(frozen=True)
class LengthPolicy:
    """How many tokens are read, and which.

    Attributes:
        kind: "head" reads the beginning; "ends" its beginning and its end, half each (Sun et al. 2019, "How to
            fine-tune BERT for text classification?", §5.3.1); "windows" reads up to MOST_WINDOWS pieces, whose
            embeddings are averaged.
        tokens: Length of a piece, its two special tokens included.
    """

    kind: Kind = "head"
    tokens: int = 128

    def __post_init__(self) -> None:
        """Refuse what reads nothing."""
        if not 4 <= self.tokens <= 512:
            raise UserError(f"--tokens {self.tokens}: must be from 4 to 512")

    def pieces(self, ids: Sequence[int], open_id: int, close_id: int) -> list[list[int]]:
        """The pieces that are read, each within [CLS] … [SEP]; a text without a token is one empty piece.

        Args:
            ids: Tokens of the whole text, without special tokens.
            open_id: [CLS] of the model.
            close_id: [SEP] of the model.
        """
        room = self.tokens - 2
        read = [list(ids[:room])]
        if self.kind == "ends" and len(ids) > room:
            tail = room // 2
            read = [[*ids[: room - tail], *ids[len(ids) - tail :]]]
        elif self.kind == "windows":
            read = [list(ids[start : start + room]) for start in range(0, max(1, len(ids)), room)][:MOST_WINDOWS]
        return [[open_id, *piece, close_id] for piece in read]

    def saved(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "tokens": self.tokens}
