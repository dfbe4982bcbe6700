"""Predictions and scores: accuracy, macro-F1, and the strict F1 of entities; and saved runs against the benchmarks.

python -m projects.adapters.evaluate --run runs/adapters/ner-2-bottleneck-m64-seed0 --dataset ner-1 ner-2 ner-3
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from seqeval.metrics import f1_score  # type: ignore[import-untyped]
from seqeval.scheme import IOB2  # type: ignore[import-untyped]
from torch import Tensor, nn

from projects.adapters.data import IGNORE_INDEX, NER, Texts, load_corpus, tag_split
from projects.adapters.ner import generate, read_conll
from shared import devices
from shared.errors import UserError, command
from shared.progress import table

if TYPE_CHECKING:
    from projects.adapters.state import Trained


@dataclass(frozen=True)
class Score:
    """How well a model does on one split, each number from 0 to 1.

    Attributes:
        accuracy: Share of right answers: of texts, or of words.
        macro_f1: Mean F1 of the classes, or of the kinds of entity, each with equal weight.
        entity_f1: Strict F1 of whole entities (kind and both ends must be right); None where there are none.
    """

    accuracy: float
    macro_f1: float
    entity_f1: float | None = None

    @property
    def primary(self) -> float:
        """The number that rates and epochs are chosen by: entity F1 where there is one, else accuracy."""
        return self.accuracy if self.entity_f1 is None else self.entity_f1

    def log_entries(self, prefix: str) -> dict[str, float]:
        """The scores under the names of a log: validation_accuracy, ...; `<prefix>_score` is the primary one."""
        values = {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "score": self.primary}
        if self.entity_f1 is not None:
            values["entity_f1"] = self.entity_f1
        return {f"{prefix}_{name}": value for name, value in values.items()}


def evaluate(model: nn.Module, texts: Texts, classes: list[str], *, tagging: bool) -> Score:
    """The model's score on a split; the model is left in evaluation mode."""
    predictions = predict(model, texts)
    if not tagging:
        return score_texts(torch.tensor(predictions), torch.tensor(texts.labels), len(classes))
    gold, predicted = [], []
    for row, labels in zip(predictions, texts.labels, strict=True):
        assert isinstance(labels, list)
        pairs = [(p, g) for p, g in zip(row, labels, strict=True) if g != IGNORE_INDEX]
        predicted.append([classes[p] for p, _ in pairs])
        gold.append([classes[g] for _, g in pairs])
    return score_tags(gold, predicted)


@torch.inference_mode()
def predict(model: nn.Module, texts: Texts, *, batch_size: int = 64) -> list[Any]:
    """The likeliest class of each text, or of each of its tokens, in the order of the texts."""
    model.eval()
    device = next(model.parameters()).device
    predictions: list[Any] = [None] * len(texts)
    for rows, batch in texts.in_order(batch_size):
        batch = batch.to(device)
        likeliest = model(batch.input_ids, batch.attention_mask).argmax(-1).tolist()  # (b,) or (b,t)
        for row, found in zip(rows, likeliest, strict=True):
            predictions[row] = found[: len(texts.tokens[row])] if isinstance(found, list) else found
    return predictions


def score_texts(predicted: Tensor, gold: Tensor, classes: int) -> Score:
    """Accuracy and macro-F1; a class that is neither there nor predicted does not count.

    >>> score_texts(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), 3)
    Score(accuracy=0.6666666865348816, macro_f1=0.5555555820465088, entity_f1=None)
    """
    right = torch.bincount(gold[predicted == gold], minlength=classes)
    counted = torch.bincount(gold, minlength=classes) + torch.bincount(predicted, minlength=classes)
    present = counted > 0
    f1 = 2 * right[present] / counted[present]  # 2·TP / (2·TP + FP + FN)
    return Score((predicted == gold).float().mean().item(), f1.mean().item())


def score_tags(gold: list[list[str]], predicted: list[list[str]]) -> Score:
    """Word accuracy, macro-F1 over kinds and micro-F1 of entities, by seqeval: strict, IOB2.

    >>> score_tags([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]]).entity_f1  # a wrong end is a wrong entity
    0.0
    """
    pairs = [(g, p) for gs, ps in zip(gold, predicted, strict=True) for g, p in zip(gs, ps, strict=True)]
    accuracy = sum(g == p for g, p in pairs) / len(pairs)
    strict: dict[str, Any] = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    micro, macro = (float(f1_score(gold, predicted, average=kind, **strict)) for kind in ("micro", "macro"))
    return Score(accuracy, macro, micro)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score saved runs on the test splits of the benchmarks."""

    run: tuple[Path, ...]
    """Directories of finished runs of train.py with our adapters."""
    dataset: tuple[str, ...] = ()
    """What to score each on; by default what it was trained for. Its labels must be those of training."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""


def main(config: EvaluateConfig) -> list[dict[str, Any]]:
    """Score saved runs on the test splits of the benchmarks."""
    from projects.adapters.state import load_trained

    devices.use_all_cores()
    device = devices.pick(config.device)
    found = [(run, load_trained(run / "adapter", device=device)) for run in config.run]
    tests = [
        (run, dataset or "its own", trained, load_test(trained, dataset or trained.config.dataset))
        for run, trained in found
        for dataset in config.dataset or (None,)
    ]  # all of them are read before the first is scored
    rows = [
        {"run": str(run), "dataset": dataset, **vars(score_trained(trained, texts))}
        for run, dataset, trained, texts in tests
    ]
    cells = [["–" if value is None else value for value in row.values()] for row in rows]
    table("Test", ["run", "dataset", "accuracy", "macro-F1", "entity F1"], cells)
    return rows


def score_trained(trained: "Trained", texts: Texts) -> Score:
    """The score of a saved run's adapters on a split."""
    return evaluate(trained.model, texts, trained.classes, tagging=trained.tagging)


def load_test(trained: "Trained", dataset: str) -> Texts:
    """The test split of a dataset, with the labels of a trained model; a .conll file is a test as a whole.

    Raises:
        UserError: If the dataset's task or labels are not those of training.
    """
    if dataset in NER or dataset.endswith(".conll"):
        sentences = generate(NER[dataset], "test") if dataset in NER else read_conll(Path(dataset))
        if not trained.tagging:
            raise UserError(f"{dataset} holds tags of words; the run was trained for classes of texts")
        return tag_split(sentences, trained.classes, trained.tokenizer, trained.config.max_length, dataset)
    corpus = load_corpus(replace(trained.config, dataset=dataset, limit=None), trained.tokenizer)
    if corpus.tagging != trained.tagging:
        kinds = ("classes of texts", "tags of words")
        raise UserError(f"{dataset} holds {kinds[corpus.tagging]}; the run was trained for {kinds[trained.tagging]}")
    for name in corpus.classes:
        if name not in trained.classes:
            raise UserError(f"{dataset}: label {name} was not seen in training ({', '.join(trained.classes)})")
    if corpus.classes != trained.classes:
        raise UserError(f"{dataset}: its classes are {', '.join(corpus.classes)}, not all of those of training")
    return corpus.test


if __name__ == "__main__":
    command(main, EvaluateConfig)
