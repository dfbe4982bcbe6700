"""`make bench-qa_api`: beside Haystack's BM25 in memory, the same reader on what each finds, the same questions."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.qa_api.config import RESULTS
from projects.qa_api.data.documents import Document
from projects.qa_api.evaluate import Question, questions, scored
from projects.qa_api.measure.answering import shelf
from projects.qa_api.measure.searching import every_document
from projects.qa_api.measure.serving import BENCH
from projects.qa_api.peers.beside import HAYSTACK, haystack, installed
from projects.qa_api.reader.decode import read, trimmed
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.runtime import load_parts
from shared.errors import command
from shared.lab.load import quantile
from shared.measured import publish_bench

K = 5  # documents that are read
Search = Callable[[Question], tuple[list[Document], float]]


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Ask the questions by hand of the documents that each search finds; "not in them" where no span beats none."""

    run: Path | None = None
    """The reader's run, exported; by default the newest."""
    environment: Path = Path("runs/qa_api/haystack")
    """Where Haystack is installed, once."""
    out: Path = RESULTS


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Search by ours, by our BM25 alone, and by Haystack; read; score."""
    python, parts = installed(config.environment), load_parts(config.run, encoder="e5", runtime="onnx")
    asked = [each for each in questions() if each.kind != "ambiguous"]
    library, documents = shelf("e5", 600, "introductions"), every_document()
    library.encoder = parts.encoder
    theirs = haystack(python, list(documents.values()), [each.text for each in asked], K)

    def merged(question: Question) -> tuple[list[Document], float]:
        begun = time.perf_counter()
        found = library.search(question.text, question.language, K)
        return [each.document for each in found], time.perf_counter() - begun

    def words(question: Question) -> tuple[list[Document], float]:
        begun = time.perf_counter()
        return [documents[each] for each, _ in library.snapshot.by_words(question.text, K)], time.perf_counter() - begun

    arms: dict[str, Search] = {
        "words and vectors": merged,
        "BM25": words,
        "Haystack, BM25": lambda one: theirs[one.text],
    }
    rows = [measured(name, search, parts.reader, asked) for name, search in arms.items()]
    return publish_bench(BENCH, rows, config.out, "qa_api", {"questions": len(asked), "read": K, "haystack": HAYSTACK})


def measured(name: str, search: Search, reader: SpanReader, asked: list[Question]) -> dict[str, Any]:
    """One arm: found, exact, F1 over all, and times of search and of both."""
    found, exact, f1, searching, whole = (list[float]() for _ in range(5))
    for question in asked:
        hits, seconds = search(question)
        begun = time.perf_counter()
        spans = read(reader, [(question.text, each.text) for each in hits])
        best = max(zip(spans, hits, strict=True), key=lambda pair: pair[0].margin, default=None)
        start, stop = trimmed(best[1].text, best[0]) if best and best[0].margin > 0 else (0, 0)
        whole.append(seconds + time.perf_counter() - begun)
        searching.append(seconds)
        right = scored(best[1].text[start:stop] if best else "", question.answers, question.language)
        exact.append(right.exact)
        f1.append(right.f1)
        if question.kind == "clear":
            found.append(any((each.title, each.language) == (question.document, question.language) for each in hits))
    scores = {"found": found, "exact": exact, "f1": f1}
    told = {"search_ms": quantile(searching, 0.5), "median_ms": quantile(whole, 0.5), "p99_ms": quantile(whole, 0.99)}
    return {"search": name, **{each: round(statistics.fmean(values), 4) for each, values in scores.items()}, **told}


if __name__ == "__main__":
    command(main, BenchConfig)
