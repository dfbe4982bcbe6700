"""Train and test one classifier: `python -m projects.news_cls.train --dataset r52 --balance logit`.

Fine-tuning begins where logistic regression on the frozen encoder ends (Kumar et al. 2022, "Fine-tuning can distort
pretrained features"): with ten labels a topic, a random head would first pull the features to nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load as load_bytes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from torch import Tensor
from torch.optim import AdamW, Optimizer

from projects.news_cls import evaluate
from projects.news_cls.balance.losses import Loss, make_loss, weighted_sum
from projects.news_cls.balance.sampling import epoch_rows
from projects.news_cls.config import Config
from projects.news_cls.data.articles import Article, Corpus, first_of_each
from projects.news_cls.models import baselines
from projects.news_cls.models.contrastive import pair_loss, topic_batches
from projects.news_cls.models.lengths import LengthPolicy
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.models.self_training import Pseudo, self_train
from projects.news_cls.models.topic_model import Pieces, TopicModel, all_logits, autocast, embeddings
from shared import devices, optim
from shared.batching import of_like_length
from shared.errors import command
from shared.files import write_json
from shared.run_directories import new_directory
from shared.runs import Run, open_checkpoint
from shared.seeding import generator, seed_everything
from shared.tensors import load_trainable

RESULT = "result.json"
PARTS = ("train", "validation", "test")
NOTHING = Pseudo(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
HEAD_RATE = 10.0
Numbers = Int[np.ndarray, " m"]


@dataclass
class Trained:
    """A finished run: what was learned, and what it says of validation and test.

    Attributes:
        model: Encoder and head, of the arms that have one; the head is the fitted one.
        logits: (n, k) by part.
        labels: Numbers of the topics by part.
    """

    directory: Path
    corpus: Corpus
    model: TopicModel | None
    logits: dict[str, Float[np.ndarray, "n k"]]
    labels: dict[str, list[int]]
    metrics: dict[str, float]


def main(config: Config) -> Trained:
    """Train a classifier of news by topic and test it."""
    trained = train(config, Prepared())
    shown = ("validation_macro_f1", "test_accuracy", "test_macro_f1", "test_balanced_accuracy")
    print("  ".join(f"{name} {trained.metrics[name]:.4f}" for name in shown))  # noqa: T201 - the command's answer
    print(f"saved in {trained.directory}")  # noqa: T201
    return trained


def train(config: Config, prepared: Prepared) -> Trained:
    """One run, from the corpus to the numbers of the test."""
    seed_everything(config.seed)
    devices.use_all_cores()
    corpus = prepared.corpus(config)
    parts: dict[str, list[Article]] = {name: getattr(corpus, name) for name in PARTS}
    if config.labels:
        parts["train"] = first_of_each(corpus.train, config.labels, config.seed)
    known = {each.text for each in parts["train"]}
    parts["unlabelled"] = [each for each in corpus.train if each.text not in known] if config.unlabelled else []
    labels = {name: corpus.numbers(articles) for name, articles in parts.items() if name != "unlabelled"}
    texts = {name: [each.text for each in articles] for name, articles in parts.items()}
    directory = config.out or new_directory(Path("runs"), "news_cls", config.name)
    with Run(directory, project="news_cls", config=config, resume=config.resume, data=corpus.digest) as run:
        begun, steps, model = monotonic(), 0, None
        topics = len(corpus.labels)
        if config.arm == "majority":
            logits = {n: baselines.majority_logits(labels["train"], topics, len(texts[n])) for n in labels}
        elif config.arm == "svm":
            logits = svm_logits(config, texts, labels["train"], topics)
        else:
            model = TopicModel(config.model, corpus.labels, config.length_policy, upper=config.upper)
            encode = prepared.pooled if config.arm in ("frozen", "head") else prepared.pieces
            kept = {name: encode(config, model, each) for name, each in texts.items()}
            if config.arm in ("frozen", "head"):
                model.keep_layers()
            given = Given(kept, labels, as_it_came(config, prepared, model, texts))
            begun = monotonic()  # what is kept is shared by cells, and counted by none
            steps = ARMS[config.arm](config, run, model, given)
            logits = {name: all_logits(model, kept[name], precision=config.precision).numpy() for name in labels}
        metrics = measured(logits, labels, topics) | {"seconds": round(monotonic() - begun, 2)}
        run.log(steps + 1, **metrics)
        if model is not None:
            save(run, steps + 1, model, logits["validation"], labels["validation"])
    write_json(directory / RESULT, metrics)
    return Trained(directory, corpus, model, logits, labels, metrics)


def measured(
    logits: dict[str, Float[np.ndarray, "n k"]], labels: dict[str, list[int]], topics: int
) -> dict[str, float]:
    """Scores of validation and test, and their calibration with the temperature of validation."""
    found: dict[str, float] = {}
    for part in ("validation", "test"):
        predicted = logits[part].argmax(1).tolist()
        found |= {f"{part}_{name}": value for name, value in evaluate.scores(labels[part], predicted, topics).items()}
    heat = evaluate.temperature(torch.from_numpy(logits["validation"]), torch.tensor(labels["validation"]))
    right = [bool(each) for each in logits["test"].argmax(1) == np.asarray(labels["test"])]
    for name, scale in (("ece_raw", 1.0), ("ece", heat)):
        sure = evaluate.softmax(logits["test"] / scale).max(1)
        found[f"test_{name}"] = evaluate.expected_calibration_error(sure, right)
    return found | {"temperature": heat}


def svm_logits(
    config: Config, texts: dict[str, list[str]], labels: Sequence[int], topics: int
) -> dict[str, Float[np.ndarray, "n k"]]:
    """The SVM reads whole articles, or the first tokens alone where fewer than 128 are asked for."""
    if config.tokens < 128:
        texts = {name: first_tokens(config, each) for name, each in texts.items()}
    own, rest = texts["train"], texts["unlabelled"]

    def fitted(rows: Numbers, said: Numbers) -> Pipeline:
        more = [rest[row] for row in rows]
        return baselines.fit_svm([*own, *more], [*labels, *said.tolist()], config.c, config.balance)

    taken = self_train(lambda rows, said: baselines.svm_logits(fitted(rows, said), rest, topics)) if rest else NOTHING
    svm = fitted(taken.rows, taken.topics)
    return {name: baselines.svm_logits(svm, texts[name], topics) for name in PARTS}


def first_tokens(config: Config, texts: Sequence[str]) -> list[str]:
    """What an encoder with this many tokens would read of each text."""
    from shared.assets import load_encoder

    _, tokenizer = load_encoder(config.model, max_length=config.tokens)
    if not texts:
        return []
    read = tokenizer(list(texts), truncation=True, max_length=config.tokens, return_offsets_mapping=True)
    return [text[: offsets[-2][1]] for text, offsets in zip(texts, read["offset_mapping"], strict=True)]


# ---------------------------------------------------------------- arms with an encoder


@dataclass(frozen=True)
class Given:
    """What an arm learns from, by part.

    Attributes:
        kept: States that enter the upper layers.
        labels: Numbers of the topics; "unlabelled" has none.
        frozen: Embeddings of the encoder as it came, of "train" and "unlabelled".
    """

    kept: dict[str, Pieces]
    labels: dict[str, list[int]]
    frozen: dict[str, Float[np.ndarray, "n d"]]


def as_it_came(
    config: Config, prepared: Prepared, model: TopicModel, texts: dict[str, list[str]]
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Embeddings before anything is trained, kept for all cells that share the texts."""
    empty = torch.zeros(0, model.head.in_features)
    found = {name: prepared.pooled(config, model, texts[name]).states for name in ("train", "unlabelled")}
    return {name: torch.cat([empty, *(each.float() for each in states)]).numpy() for name, states in found.items()}


def linear_probe(
    config: Config, model: TopicModel, given: Given, own: Float[np.ndarray, "n d"], rest: Float[np.ndarray, "m d"]
) -> Pseudo:
    """Set the head to the logistic regression of embeddings. Returns the unlabelled articles that it took.

    Args:
        own: Embeddings of the training articles.
        rest: Embeddings of the unlabelled articles.
    """
    topics, labels = len(model.labels), given.labels["train"]

    def fitted(rows: Numbers, said: Numbers) -> LogisticRegression:
        found = np.concatenate([own, rest[rows]])
        return baselines.fit_linear(found, [*labels, *said.tolist()], config.c, config.balance)

    taken = NOTHING
    if len(rest):
        taken = self_train(lambda rows, said: baselines.linear_logits(fitted(rows, said), rest, topics))
    model.set_head(*baselines.head_of(fitted(taken.rows, taken.topics), topics))
    return taken


def frozen(config: Config, _: Run, model: TopicModel, given: Given) -> int:
    """The encoder as it is, and logistic regression. Like all arms it returns the steps that it took."""
    linear_probe(config, model, given, given.frozen["train"], given.frozen["unlabelled"])
    return 0


def contrastive(config: Config, run: Run, model: TopicModel, given: Given) -> int:
    """Pull topics apart pair by pair, then logistic regression on what came of it."""
    kept, labels = given.kept, given.labels
    source = generator(config.seed, 1)
    steps = config.epochs * -(-len(labels["train"]) // config.batch_size)
    optimizer = AdamW(_groups(config, model))
    schedule = optim.linear_schedule(optimizer, total=steps)
    truth = torch.tensor(labels["train"])
    for step, rows in enumerate(topic_batches(labels["train"], config.batch_size, steps, source), start=1):
        model.train()
        with autocast(config.precision):
            found = model.embed(kept["train"].batch(rows))
        loss = pair_loss(found.float(), truth[rows])
        norm = optim.step(optimizer, loss, max_norm=1.0)
        schedule.step()
        run.log(step, loss=loss.item(), grad_norm=norm)
    after = {name: embeddings(model, kept[name], precision=config.precision).numpy() for name in given.frozen}
    linear_probe(config, model, given, after["train"], after["unlabelled"])
    return steps


def tuned(config: Config, run: Run, model: TopicModel, given: Given) -> int:
    """Fine-tune the upper layers and the head; where validation may decide, the best epoch's weights are restored."""
    kept, labels = given.kept, given.labels
    taken = linear_probe(config, model, given, given.frozen["train"], given.frozen["unlabelled"])
    own, truth = kept["train"], list(labels["train"])
    if len(taken.rows):
        own = own + kept["unlabelled"].select(taken.rows.tolist())
        truth += taken.topics.tolist()
    loss = make_loss(config.balance, torch.bincount(torch.tensor(truth), minlength=len(model.labels)).float())
    optimizer = AdamW(_groups(config, model))
    source = generator(config.seed, 2)
    size = len(epoch_rows(config.balance, truth, generator(config.seed, 2)))
    schedule = optim.linear_schedule(optimizer, total=config.epochs * -(-size // config.batch_size))
    stopper = EarlyStopping(config.patience)
    step = 0
    for epoch in range(config.epochs):
        rows = epoch_rows(config.balance, truth, source)
        for chosen in of_like_length(rows, own.lengths, config.batch_size, source):
            value, norm = window_step(config, model, optimizer, loss, own, truth, chosen)
            schedule.step()
            step += 1
            run.log(step, loss=value, grad_norm=norm)
        if config.labels is None:
            found = all_logits(model, kept["validation"], precision=config.precision).numpy().argmax(1).tolist()
            score = evaluate.scores(labels["validation"], found, len(model.labels))["macro_f1"]
            run.log(step, epoch=epoch + 1, watched_macro_f1=score)
            if stopper.stops(score, model):
                break
    stopper.restore(model)
    return step


def window_step(
    config: Config,
    model: TopicModel,
    optimizer: Optimizer,
    loss: Loss,
    kept: Pieces,
    labels: Sequence[int],
    rows: Sequence[int],
) -> tuple[float, float]:
    """One optimizer step over a window of articles, in micro-batches that add up to it. Returns loss and norm."""
    model.train()
    truth = torch.tensor([labels[row] for row in rows])
    weights = loss(torch.zeros(len(rows), len(model.labels)), truth)[1]
    window = len(rows) / float(weights.sum())
    total = 0.0

    def parts() -> Any:
        nonlocal total
        for start in range(0, len(rows), config.micro):
            part = slice(start, start + config.micro)
            with autocast(config.precision):
                logits = model(kept.batch(rows[part]))
            each, own = loss(logits.float(), truth[part])
            found = weighted_sum(each, own, window)
            total += found.item() / len(rows)
            yield found, len(each)

    norm = optim.accumulated_step(optimizer, parts(), total=len(rows), max_norm=1.0)
    return total, norm


class EarlyStopping:
    """Keeps the weights of the best epoch, and says when to stop.

    Args:
        patience: Epochs without a better score.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = float("-inf")
        self._since = 0
        self._kept: dict[str, Tensor] | None = None

    def stops(self, score: float, model: torch.nn.Module) -> bool:
        """Whether training ends here; of equal epochs the first is kept."""
        if score > self.best:
            self.best, self._since = score, 0
            self._kept = {name: each.detach().clone() for name, each in _moving(model).items()}
            return False
        self._since += 1
        return self._since >= self.patience

    @torch.no_grad()
    def restore(self, model: torch.nn.Module) -> None:
        """Bring back the very bits of the best epoch; nothing where no score was given."""
        if self._kept is not None:
            for name, each in _moving(model).items():
                each.copy_(self._kept[name])


def _moving(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def _groups(config: Config, model: TopicModel) -> list[dict[str, object]]:
    rates = {
        "head": (lambda name: name.startswith("head."), HEAD_RATE * config.lr),
        "layers": (lambda _: True, config.lr),
    }
    return optim.parameter_groups(model, rates, weight_decay=0.01)


ARMS = {"frozen": frozen, "head": tuned, "contrastive": contrastive, "tuned": tuned}


# ---------------------------------------------------------------- saved


def save(run: Run, step: int, model: TopicModel, logits: Float[np.ndarray, "n k"], labels: Sequence[int]) -> Path:
    """A sealed checkpoint: trained layers and head, topics, length policy, temperature and the line of "unsure"."""
    heat = evaluate.temperature(torch.from_numpy(logits), torch.tensor(labels))
    sure = evaluate.softmax(logits / heat).max(1)
    extra = {
        "model": model.name,
        "labels": list(model.labels),
        "policy": model.policy.saved(),
        "upper": model.upper,
        "temperature": heat,
        "unsure_below": evaluate.threshold_at(sure, 0.9),
    }
    return run.save(step, dict(_moving(model)), extra=extra)


def load(checkpoint: Path) -> tuple[TopicModel, dict[str, Any]]:
    """A saved model, verified, and what was saved beside its weights.

    Raises:
        UserError: If the checkpoint is missing, changed, or of another encoder.
    """
    opened = open_checkpoint(checkpoint)
    extra = json.loads(opened.read("state.json"))["extra"]
    policy = LengthPolicy(**extra["policy"])
    model = TopicModel(extra["model"], extra["labels"], policy, upper=extra["upper"])
    load_trainable(model, load_bytes(opened.read("model.safetensors")))
    return model.eval(), extra


if __name__ == "__main__":
    command(main, Config)
