"""Corpora and what the frozen layers make of their texts: read and computed once, however many runs share them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from projects.news_cls.config import Config
from projects.news_cls.data.articles import Corpus
from projects.news_cls.data.sources import corpus as read_corpus
from projects.news_cls.models.topic_model import Pieces, TopicModel, embeddings, kept_states
from shared.tensors import load_tensors


@dataclass
class Prepared:
    """A corpus and what the frozen layers make of it; a study hands one to all cells that share it.

    Attributes:
        folder: Where kept states are stored, for a study that is stopped and goes on.
    """

    folder: Path | None = None
    corpora: dict[tuple[Any, ...], Corpus] = field(default_factory=dict)
    kept: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)

    def corpus(self, config: Config) -> Corpus:
        """What --dataset names."""
        key = (config.dataset, config.seed, config.text_column, config.label_column)
        if key not in self.corpora:
            self.corpora[key] = read_corpus(
                config.dataset, config.seed, text_column=config.text_column, label_column=config.label_column
            )
        return self.corpora[key]

    def pieces(self, config: Config, model: TopicModel, texts: Sequence[str]) -> Pieces:
        """States that enter the upper layers; a text is encoded once, whatever the seed."""

        def encode(fresh: list[str]) -> dict[str, list[Tensor]]:
            found = kept_states(model, fresh, precision=config.precision)
            own: dict[str, list[Tensor]] = {text: [] for text in fresh}
            for state, owner in zip(found.states, found.owner, strict=True):
                own[fresh[owner]].append(state)
            return own

        return self._cached(config, "states", texts, encode)

    def pooled(self, config: Config, model: TopicModel, texts: Sequence[str]) -> Pieces:
        """Embeddings of the encoder as it came, each as the one state of a piece."""

        def encode(fresh: list[str]) -> dict[str, list[Tensor]]:
            found = embeddings(model, self.pieces(config, model, fresh), precision=config.precision)
            return {text: [row[None, :].half()] for text, row in zip(fresh, found, strict=True)}

        return self._cached(config, "pooled", texts, encode)

    def _cached(
        self, config: Config, what: str, texts: Sequence[str], encode: Callable[[list[str]], dict[str, list[Tensor]]]
    ) -> Pieces:
        name = f"{what}-{config.model.replace('/', '_')}-{config.policy}{config.tokens}-{config.upper}"
        known = self.kept.setdefault(name, {})
        for text in dict.fromkeys(texts):
            if text not in known and self.folder and (path := self._place(name, text)).is_file():
                known[text] = [each for _, each in sorted(load_tensors(path).items())]
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        if fresh:
            for text, states in encode(fresh).items():
                known[text] = states
                if self.folder and what == "states":
                    self._write(self._place(name, text), states)
        pairs = [(article, state) for article, text in enumerate(texts) for state in known[text]]
        return Pieces([state for _, state in pairs], [article for article, _ in pairs], len(texts))

    def _place(self, name: str, text: str) -> Path:
        assert self.folder is not None
        return self.folder / name / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    def _write(self, path: Path, states: list[Tensor]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        save_file({f"{number:02}": each.contiguous() for number, each in enumerate(states)}, partial)
        partial.replace(path)
