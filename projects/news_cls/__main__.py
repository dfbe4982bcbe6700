"""`make run-news_cls`: fine-tune beside an SVM; then news of 2017 and later, and a model to serve."""

from dataclasses import replace
from pathlib import Path

from projects.news_cls.classifier import Classifier
from projects.news_cls.config import Config
from projects.news_cls.data.sources import EMBEDDED, outlets
from projects.news_cls.measure.finished import Subject, judged, later_news
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.monitor.memory import Memory
from projects.news_cls.train import train
from shared import progress
from shared.errors import command
from shared.run_directories import claim, new_directory

SERVED = Path("runs/news_cls/served")


def main(config: Config) -> None:
    """Fine-tune a classifier of news, and say how good it is on its own news and on later ones."""
    out = config.out or (new_directory(Path("runs"), "news_cls", "served") if SERVED.exists() else SERVED)
    claim(out, resume=config.resume)
    prepared, rows = Prepared(), []
    svm = train(replace(config, arm="svm", out=None, resume=False), prepared)
    trained = train(replace(config, out=out), prepared)
    for name, found in (("TF-IDF, linear SVM", svm), (config.arm, trained)):
        rows.append([name, *(found.metrics[f"test_{each}"] for each in ("accuracy", "macro_f1", "ece"))])
    progress.table(f"test of {config.dataset}", ["method", "accuracy", "macro-F1", "ECE"], rows)
    if trained.model is not None:
        classifier = Classifier.load(out, precision=config.precision)
        Memory.of(classifier, trained.corpus).write(out)
        if config.dataset == next(iter(EMBEDDED)):
            own = Subject(config, classifier.model, classifier.temperature, trained.corpus, prepared)
            then, later = judged(own, outlets()), judged(own, later_news())
            print(
                f"On nine outlets' news of 2017 its macro-F1 is {then['macro_f1']:.3f}, on thirty later ones", end=" "
            )
            print(f"{later['macro_f1']:.3f}: topics stay, and what a section is called does not.")
    print(f"NEWS_CLS_MODEL={out} python -m projects.news_cls.server answers with it.")


if __name__ == "__main__":
    command(main, Config)
