"""Articles to topics with a saved encoder and a head: what the service, the batch job and the measurements call.

classifier = Classifier.load(Path("runs/news_cls/served"))
classifier.answer(["<p>Shares rose …</p>"])[0].topic
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from projects.news_cls.data.cleaning import clean
from projects.news_cls.export import FOLDER, OnnxEncoder
from projects.news_cls.models.topic_model import TopicModel, embeddings, kept_states
from projects.news_cls.monitor.versions import Head
from projects.news_cls.train import load
from shared import devices
from shared.errors import UserError
from shared.fingerprint.citations import checkpoints


@dataclass(frozen=True)
class Answer:
    """What is said of one article.

    Attributes:
        topic: The likeliest.
        probabilities: One a topic, likeliest first; calibrated by the temperature of validation.
        unsure: Whether a person should look: the largest is below the line that 90 % of validation passes, or the text
            holds hardly a word.
    """

    topic: str
    probabilities: list[tuple[str, float]]
    unsure: bool


@dataclass
class Classifier:
    """A model, the head that answers, and the sizes of its confidence.

    Attributes:
        digest: SHA-256 of the encoder's checkpoint; heads belong to one.
        onnx: Computes embeddings instead of torch, where it was asked for.
    """

    model: TopicModel
    head: Head
    labels: tuple[str, ...]
    temperature: float
    unsure_below: float
    digest: str
    precision: devices.Precision = "auto"
    onnx: OnnxEncoder | None = None

    @classmethod
    def load(cls, run: Path, *, backend: str = "torch", precision: devices.Precision = "auto") -> "Classifier":
        """From a finished run.

        Raises:
            UserError: If there is none, or its checkpoint does not verify.
        """
        found = checkpoints(run)
        if not found:
            raise UserError(f"{run} holds no trained model: python -m projects.news_cls trains one")
        model, extra = load(found[-1])
        digest = hashlib.sha256((found[-1] / "model.safetensors").read_bytes()).hexdigest()[:16]
        head = Head(model.head.weight.detach().clone(), model.head.bias.detach().clone())
        onnx = OnnxEncoder(run / FOLDER, digest) if backend == "onnx" else None
        return cls(
            model, head, tuple(extra["labels"]), extra["temperature"], extra["unsure_below"], digest, precision, onnx
        )

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Embeddings of cleaned texts."""
        if self.onnx is not None:
            return self.onnx.embed(self.model, texts)
        return embeddings(
            self.model, kept_states(self.model, texts, precision=self.precision), precision=self.precision
        )

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Topics of texts as they come, markup and all."""
        cleaned = [clean(text) for text in texts]
        return self.judged(cleaned, self.embed(cleaned))

    def judged(self, cleaned: Sequence[str], found: Float[Tensor, "n d"]) -> list[Answer]:
        """Answers from embeddings."""
        sure = (self.head.logits(found) / self.temperature).double().softmax(-1)
        answers = []
        for text, row in zip(cleaned, sure, strict=True):
            order = row.argsort(descending=True).tolist()
            ranked = [(self.labels[topic], float(row[topic])) for topic in order]
            read = self.model.pieces(text[:ENOUGH])[0]
            unsure = ranked[0][1] < self.unsure_below or len(read) < self.model.opening + FEWEST
            answers.append(Answer(ranked[0][0], ranked, unsure))
        return answers


FEWEST = 4
"""Tokens, the closing one counted: of less nobody can say a topic."""
ENOUGH = 10_000
"""Characters in which they are looked for."""


def as_json(answer: Answer) -> str:
    """One line."""
    return json.dumps({"topic": answer.topic, "unsure": answer.unsure, "probabilities": dict(answer.probabilities)})
