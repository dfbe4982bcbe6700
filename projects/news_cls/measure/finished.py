"""What is measured of the served models, with nothing trained but heads: a part of the study each.

A measure takes the study, computes its rows and writes its table.
"""

import statistics
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from torch import Tensor

from projects.news_cls import evaluate
from projects.news_cls.config import Config
from projects.news_cls.data.articles import Article, Corpus, up_to
from projects.news_cls.data.cleaning import mask_leaks
from projects.news_cls.data.exploration import leaks, summary
from projects.news_cls.data.label_errors import suspected
from projects.news_cls.data.sources import TOPICS, bbc, corpus, outlets
from projects.news_cls.measure import drift_power, gate_trials, reasons, update_choice
from projects.news_cls.models import baselines
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.models.self_training import self_train
from projects.news_cls.models.topic_model import TopicModel, embeddings
from projects.news_cls.monitor.update import MODES, Labelled, Mode, fit_head, scores_of, updated
from projects.news_cls.monitor.versions import Head, new_head
from projects.news_cls.train import load
from shared.assets.splits import assign
from shared.fingerprint.citations import checkpoints
from shared.measured import write_measured
from shared.study import Done, bootstrap

Rows = list[dict[str, Any]]
WITHIN = 0.1
"""Tie to zero of a head that learns from the pool alone: 1 / (C n) of the looser candidate of the frozen arm."""
LATER = Path("tests/news_cls/later_news.toml")
NEW_LABELS = (5, 15, 50)
FIRST_TRIAL = 20
"""Divisions 0 to 19 were used up when the gate's level was 0.05."""
HALVES = {"pool": 0.5, "test": 0.5}
NAMES: dict[Mode, str] = {
    "alone": "update alone",
    "anchored": "update alone, tied to the old",
    "replay alone": "update with replay, not tied",
    "replay": "update with replay",
    "retrained": "retrained",
}


@dataclass
class Subject:
    """A served model of one division, and where its embeddings come from."""

    config: Config
    model: TopicModel
    temperature: float
    corpus: Corpus
    prepared: Prepared

    @classmethod
    def of(cls, done: Done, prepared: Prepared) -> "Subject":
        """From a finished cell."""
        assert done.directory is not None
        model, extra = load(checkpoints(done.directory)[-1])
        return cls(done.config, model, extra["temperature"], prepared.corpus(done.config), prepared)

    @property
    def head(self) -> Head:
        """As it was trained."""
        return Head(self.model.head.weight.detach(), self.model.head.bias.detach())

    def embedded(self, texts: Sequence[str], *, frozen: bool = False) -> Float[Tensor, "n d"]:
        """By the tuned encoder, or by the one that it was."""
        if frozen or self.config.arm == "frozen":
            plain = TopicModel(self.config.model, self.model.labels, self.model.policy, upper=self.config.upper)
            return torch.cat([state.float() for state in self.prepared.pooled(self.config, plain, texts).states])
        return embeddings(
            self.model, self.prepared.pieces(self.config, self.model, texts), precision=self.config.precision
        )

    def labelled(self, articles: Sequence[Article], *, frozen: bool = False) -> Labelled:
        """Articles with the numbers of their topics."""
        return Labelled(
            self.embedded([a.text for a in articles], frozen=frozen), torch.tensor(self.corpus.numbers(articles))
        )


def halves(articles: Sequence[Article], seed: int) -> tuple[list[Article], list[Article]]:
    """Articles of 2017 to learn from, and to be tested on: whole stories, spread evenly over topics."""
    ordered = sorted(articles, key=lambda each: (each.group, each.text))
    split = assign([f"{seed}:{each.group}" for each in ordered], [each.label for each in ordered], HALVES)
    parts: dict[str, list[Article]] = {name: [] for name in HALVES}
    for each in ordered:
        parts[split[f"{seed}:{each.group}"]].append(each)
    return parts["pool"], parts["test"]


# ---------------------------------------------------------------- time


def time(run: Any) -> None:
    """From 2004 to 2017: without new labels, with some, and what becomes of the old."""
    found: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    for done in run.served_cells():
        own = Subject.of(done, run.prepared)
        for key, value in [*of_svm(own), *of_heads(own)]:
            found.setdefault(key, []).append(value)
    rows = []
    for (method, mode, labels), each in found.items():
        row: dict[str, Any] = {"method": method, "mode": mode, "labels": labels, "seeds": len(each)}
        for name in ("macro_f1", "accuracy", "old_macro_f1"):
            values = [one[name] for one in each if name in one]
            row[name] = round(statistics.mean(values), 4) if values else ""
            row[f"{name}_sd"] = round(statistics.stdev(values), 4) if len(values) > 1 else "" if not values else 0.0
        rows.append(row)
    write_measured(run.config.out / "time.csv", rows, "news_cls", run.config)


def of_svm(own: Subject) -> list[tuple[tuple[str, str, str], dict[str, float]]]:
    """The SVM, trained anew with the new labels."""
    pool, test = halves(outlets(), own.config.seed)
    found = []
    for labels in (0, *NEW_LABELS):
        known = [*own.corpus.train, *(up_to(pool, labels, own.config.seed) if labels else [])]
        svm = baselines.fit_svm([a.text for a in known], own.corpus.numbers(known), 1.0)
        row: dict[str, float] = {}
        for part, prefix in ((test, ""), (own.corpus.test, "old_")):
            said = baselines.svm_logits(svm, [a.text for a in part], len(TOPICS)).argmax(1).tolist()
            row |= {f"{prefix}{k}": v for k, v in evaluate.scores(own.corpus.numbers(part), said, len(TOPICS)).items()}
        found.append((("svm", "retrained" if labels else "no new labels", str(labels)), row))
    within = baselines.fit_svm([a.text for a in pool], own.corpus.numbers(pool), 1.0)
    said = baselines.svm_logits(within, [a.text for a in test], len(TOPICS)).argmax(1).tolist()
    found.append((("svm", "within 2017", "all"), evaluate.scores(own.corpus.numbers(test), said, len(TOPICS))))
    return found


def of_heads(own: Subject) -> list[tuple[tuple[str, str, str], dict[str, float]]]:
    """Heads over the encoder, by every way of updating them."""
    method, seed = own.config.arm, own.config.seed
    pool, test = halves(outlets(), seed)
    old, old_test, new_test = (own.labelled(part) for part in (own.corpus.train, own.corpus.test, test))
    start = own.head
    every = own.labelled(pool)

    def row(mode: str, labels: str, head: Head) -> tuple[tuple[str, str, str], dict[str, float]]:
        before = {f"old_{name}": value for name, value in scores_of(head, old_test).items()}
        return (method, mode, labels), scores_of(head, new_test) | before

    found = [row("no new labels", "0", start), row("unlabelled 2017 articles", "0", adapted(old, every.embeddings))]
    for labels in NEW_LABELS:
        new = own.labelled(up_to(pool, labels, seed))
        found += [row(NAMES[mode], str(labels), updated(start, new, old, mode)) for mode in MODES]
    zero = new_head(len(TOPICS), old.embeddings.shape[1])
    found.append(row("within 2017", "all", fit_head(zero, every, anchor=WITHIN)))
    return found


def adapted(old: Labelled, unlabelled: Float[Tensor, "n d"]) -> Head:
    """A head that learned from the old labels and, by itself, from new articles without any (self-training)."""
    own, rest, topics = old.embeddings.numpy(), unlabelled.numpy(), len(TOPICS)

    def fitted(rows: Int[np.ndarray, " m"], said: Int[np.ndarray, " m"]) -> LogisticRegression:
        known = np.concatenate([own, rest[rows]])
        return baselines.fit_linear(known, [*old.labels.tolist(), *said.tolist()], 0.003)

    taken = self_train(lambda rows, said: baselines.linear_logits(fitted(rows, said), rest, topics))
    return Head(*baselines.head_of(fitted(taken.rows, taken.topics), topics))


# ---------------------------------------------------------------- the gate, drift, reasons


def updates(run: Any) -> None:
    """How an update is tied to the past, chosen on validation."""
    own = Subject.of(run.served_cells()[0], run.prepared)
    pool, _ = halves(outlets(), own.config.seed)
    train, validation = own.labelled(own.corpus.train), own.labelled(own.corpus.validation)
    found = update_choice.candidates(
        own.head, train, validation, pool, own.labelled, labels=NEW_LABELS[-1], trials=run.trials
    )
    write_measured(run.config.out / "updates.csv", found, "news_cls", run.config)


def gate(run: Any) -> None:
    """Good and spoilt updates before the gate."""
    own = Subject.of(run.served_cells()[0], run.prepared)
    train, old = own.labelled(own.corpus.train), own.labelled(own.corpus.test)
    found = []
    for seed in range(FIRST_TRIAL, FIRST_TRIAL + run.trials):
        pool, rest = halves(outlets(), seed)
        new, judge = own.labelled(up_to(pool, NEW_LABELS[-1], seed)), own.labelled(rest)
        for kind in gate_trials.KINDS:
            found.append(gate_trials.trial(own.head, new, train, (old, judge), kind, seed))
    write_measured(run.config.out / "gate_trials.csv", found, "news_cls", run.config)
    rows = []
    for kind in gate_trials.KINDS:
        each = [row for row in found if row["kind"] == kind]
        means = {name: round(statistics.mean(row[name] for row in each), 4) for name in ("new_gain", "old_gain")}
        rows.append({"kind": kind, "trials": len(each), "accepted": sum(row["accepted"] for row in each), **means})
    write_measured(run.config.out / "gate.csv", rows, "news_cls", run.config, made_from=("gate_trials.csv",))


def drift(run: Any) -> None:
    """False alarms without drift, and alarms with some."""
    own = Subject.of(run.served_cells()[0], run.prepared)
    articles = [*own.corpus.validation, *own.corpus.test]
    base, strange = sample(own, articles), sample(own, outlets())
    alarms = drift_power.false_alarms(base, run.batches, run.draws)
    write_measured(run.config.out / "alarms.csv", alarms, "news_cls", run.config)
    fifth = TOPICS.index("tech")
    without, with_ = (base.take(np.flatnonzero((base.labels == fifth) == which)) for which in (False, True))
    rows = []
    for kind, pool, other in (("topic", without, with_), ("source", base, strange), ("label", base, base)):
        rows += drift_power.power(pool, other, kind, run.strengths, run.batches[-2], run.draws // 4)
    write_measured(run.config.out / "power.csv", rows, "news_cls", run.config)


def sample(own: Subject, articles: Sequence[Article]) -> drift_power.Sample:
    """Articles as the monitor sees them: embeddings of the encoder as it came, and what the served model says."""
    texts = [each.text for each in articles]
    logits = own.head.logits(own.embedded(texts)).numpy() / own.temperature
    plain = own.embedded(texts, frozen=True).numpy()
    return drift_power.Sample(plain, np.asarray(own.corpus.numbers(articles)), evaluate.softmax(logits))


def explained(run: Any) -> None:
    """Whether reasons add up and are true to the model."""
    own = Subject.of(run.served_cells()[0], run.prepared)
    found = reasons.items(own.model, [each.text for each in own.corpus.test[: run.explained]], run.steps)
    write_measured(run.config.out / "reasons_items.csv", found, "news_cls", run.config)
    rows = []
    for by, suffix in (("integrated gradients", ""), ("occlusion", "_occlusion"), ("random", "_random")):
        row: dict[str, Any] = {"by": by, "articles": len(found)}
        row["error"] = round(statistics.median(each["error"] for each in found), 5) if not suffix else ""
        for name in ("deletion", "insertion"):
            row |= bounded(name, [each[f"{name}{suffix}"] for each in found])
        gain = [each["deletion_random"] - each[f"deletion{suffix}"] for each in found]
        row |= bounded("gain", gain) if suffix != "_random" else dict.fromkeys(("gain", "gain_low", "gain_high"), "")
        rows.append(row)
    write_measured(run.config.out / "reasons.csv", rows, "news_cls", run.config, made_from=("reasons_items.csv",))


def bounded(name: str, values: Sequence[float]) -> dict[str, float]:
    """A mean with its bootstrap bounds over articles."""
    low, high = bootstrap(values)
    return {name: round(statistics.mean(values), 4), f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}


# ---------------------------------------------------------------- how sure, and on what


def sure(run: Any) -> None:
    """Accuracy, calibration and abstention on the test, without section words, in 2017, and on later news."""
    found: dict[str, list[dict[str, float]]] = {}
    for done in run.served_cells():
        own = Subject.of(done, run.prepared)
        masked = [Article(mask_leaks(each.text), each.label) for each in own.corpus.test]
        sets = {"BBC, 2004": own.corpus.test, "words of the sections masked": masked, "nine outlets, 2017": outlets()}
        sets["later news, by hand"] = later_news()
        for name, articles in sets.items():
            found.setdefault(name, []).append(judged(own, articles))
        if done.config.seed == run.seeds[0]:
            write_measured(run.config.out / "errors.csv", errors(own), "news_cls", run.config)
            write_measured(run.config.out / "reliability.csv", curves(own), "news_cls", run.config)
    rows = []
    for name, each in found.items():
        row: dict[str, Any] = {"tested": name, "seeds": len(each)}
        for key in each[0]:
            values = [one[key] for one in each]
            row |= {key: round(statistics.mean(values), 4), f"{key}_sd": round(statistics.stdev(values), 4)}
        rows.append(row)
    write_measured(run.config.out / "sure.csv", rows, "news_cls", run.config)


def later_news() -> list[Article]:
    """Thirty short news in the words of the 2020s, written by hand."""
    rows = tomllib.loads(LATER.read_text(encoding="utf-8"))["news"]
    return [Article(row["text"], row["topic"]) for row in rows]


def judged(own: Subject, articles: Sequence[Article]) -> dict[str, float]:
    """Accuracy, macro-F1, calibration, and the share of errors that is left when a tenth is not answered."""
    logits, labels = own.head.logits(own.embedded([a.text for a in articles])).numpy(), own.corpus.numbers(articles)
    right = [bool(each) for each in logits.argmax(1) == np.asarray(labels)]
    row = evaluate.scores(labels, logits.argmax(1).tolist(), len(TOPICS))
    for name, heat in (("ece_raw", 1.0), ("ece", own.temperature)):
        row[name] = evaluate.expected_calibration_error(evaluate.softmax(logits / heat).max(1), right)
    confidence = evaluate.softmax(logits / own.temperature).max(1)
    row["errors_left"] = next(left for cover, left in evaluate.abstention(confidence, right) if cover >= 0.9)
    return row


def errors(own: Subject) -> Rows:
    """The five errors of which it was surest, with the beginnings of their texts."""
    test = own.corpus.test
    probabilities = evaluate.softmax(own.head.logits(own.embedded([a.text for a in test])).numpy() / own.temperature)
    worst = evaluate.hardest(probabilities, own.corpus.numbers(test), 5)
    return [
        {"said": TOPICS[probabilities[row].argmax()], "label": test[row].label,
         "sure": round(float(probabilities[row].max()), 4), "text": test[row].text.partition("\n")[0][:90]}
        for row in worst
    ]  # fmt: skip


def curves(own: Subject) -> Rows:
    """Reliability and abstention of the first division, for the figure."""
    test, rows = own.corpus.test, []
    logits = own.head.logits(own.embedded([a.text for a in test])).numpy()
    right = [bool(each) for each in logits.argmax(1) == np.asarray(own.corpus.numbers(test))]
    for name, heat in (("raw", 1.0), ("scaled", own.temperature)):
        for each in evaluate.reliability(evaluate.softmax(logits / heat).max(1), right):
            rows.append({"curve": name, "x": round(each["confidence"], 4), "y": round(each["accuracy"], 4)})
    for cover, left in evaluate.abstention(evaluate.softmax(logits / own.temperature).max(1), right)[::10]:
        rows.append({"curve": "abstention", "x": round(cover, 4), "y": round(left, 4)})
    return rows


def data(run: Any) -> None:
    """What the corpora are like, which labels are suspect, and which words decide alone."""
    rows = []
    own = Subject.of(run.served_cells()[0], run.prepared)
    for name in run.corpora:
        row = summary(corpus(name))
        row["suspected"] = ""
        if name in ("bbc", "outlets"):
            articles = bbc() if name == "bbc" else outlets()
            row["suspected"] = suspects(own, articles)
        rows.append(row)
    write_measured(run.config.out / "corpora.csv", rows, "news_cls", run.config)
    top = [vars(leak) | {"named": int(leak.named)} for leak in leaks(bbc())[:40]]
    if top:
        write_measured(run.config.out / "leaks.csv", top, "news_cls", run.config)


def suspects(own: Subject, articles: Sequence[Article]) -> int:
    """Labels that confident learning doubts, from probabilities of five folds over the frozen encoder."""
    known = own.labelled(articles, frozen=True)
    model = LogisticRegression(C=0.003, max_iter=2000)
    probabilities = cross_val_predict(
        model, known.embeddings.numpy(), known.labels.numpy(), cv=5, method="predict_proba"
    )
    return int(suspected(known.labels.numpy(), probabilities).sum())


MEASURES: dict[str, Callable[[Any], None]] = {
    "updates": updates, "time": time, "sure": sure, "gate": gate, "drift": drift, "reasons": explained, "data": data
}  # fmt: skip
