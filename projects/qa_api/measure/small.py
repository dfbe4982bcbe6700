"""The whole service over an encoder of hashed words and a reader that needs no training: for faults and protocols.

`python -m projects.qa_api.measure.small` serves it with the same settings as the real one.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from projects.qa_api.index.encoder import Role
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.runtime import OneAtATime
from projects.qa_api.server.app import create_app
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import PREFIX, Settings
from shared.assets import load_encoder
from shared.errors import reported
from shared.web.launch import serve
from shared.web.settings import from_environment

WIDTH = 32
MARK = 102  # of MiniLM's tokenizer, between question and document


class HashedWords:
    """Vectors of hashed words: texts that share words are near."""

    width = WIDTH
    identity = f"hashed-words-{WIDTH}"

    def encode(self, texts: Sequence[str], role: Role) -> Float[np.ndarray, "n d"]:  # noqa: ARG002 - one vector for both
        """Counts of words, length 1."""
        found = np.zeros((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                told = hashlib.sha256(word.strip("?.,¿").encode("utf-8", "surrogatepass")).digest()
                found[row, int.from_bytes(told[:8], "big") % WIDTH] += 1
        norms: Float[np.ndarray, "n 1"] = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.maximum(norms, 1e-9)


class FirstWord(SpanReader):
    """Finds the answer in the first token of every document."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.name, self.upper = "first-word", 0
        self.tokenizer = OneAtATime(_tokenized)

    def forward(self, ids: Int[Tensor, "w t"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t 2"]:
        """5 for the first token of the document, 0 for the others, −∞ for padding."""
        scores = torch.zeros(*ids.shape, 2)
        begins = (ids == MARK).int().argmax(1) + 1
        scores[torch.arange(len(ids)), begins] = 5.0
        return scores.masked_fill(~mask[..., None], -torch.inf)


@cache
def _tokenizer() -> Any:
    """MiniLM's, loaded when somebody asks: a server that is killed a hundred times begins in no time."""
    return load_encoder("minilm")[1]


def _tokenized(*given: Any, **more: Any) -> Any:
    return _tokenizer()(*given, **more)


def small_service(settings: Settings) -> Service:
    """The service."""
    return Service(settings, HashedWords(), FirstWord())


def main(environment: Mapping[str, str]) -> None:
    """Serve as the environment says."""
    with reported():
        settings = from_environment(Settings, PREFIX, environment)

        def make() -> Any:
            return create_app(small_service(settings), settings)

        serve(make, host=settings.host, port=settings.port, said="answers small questions", grace=5)


if __name__ == "__main__":
    main(os.environ)
