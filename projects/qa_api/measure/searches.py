"""Searches: BM25 alone in a process, and the service's while it makes its index again."""

import itertools
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from projects.qa_api.data.documents import introductions
from projects.qa_api.index.words import WordIndex
from projects.qa_api.measure.clients import SERVER, Client, served
from shared.lab.load import quantile

PACE = 10.0  # searches a second beside a rebuild


def words(seconds: float = 3.0, k: int = 10) -> list[dict[str, Any]]:
    """Descriptions as queries, on one thread, over all introductions of both languages."""
    documents = [each for language in ("en", "es") for each in introductions(language)]
    index = WordIndex()
    begun = time.perf_counter()
    index.put(documents)
    index.commit()
    built = time.perf_counter() - begun
    asked = itertools.cycle([each.description for each in documents if each.description])
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        index.search(next(asked), k)
        times.append(time.perf_counter() - now)
    return [
        {
            "documents": len(documents),
            "indexed_s": round(built, 2),
            "queries_a_second": round(len(times) / sum(times)),
            "median_ms": quantile(times, 0.5),
            "p99_ms": quantile(times, 0.99),
        }
    ]


def rebuilding(
    run: Path | None, *, seconds: float = 20.0, module: str = SERVER, dataset: str = "introductions"
) -> list[dict[str, Any]]:
    """Searches over HTTP at a steady pace: nothing beside them, then one rebuild after another."""
    queries = [each.description for each in introductions("en") if each.description]
    with served(run, module=module, dataset=dataset) as (server, key):
        _paced(server.url, key, queries[::7], 3.0)
        told = [{"beside": "nothing", "rebuilds": 0, **_paced(server.url, key, queries, seconds)}]
        done, stop = [0], threading.Event()

        def rebuild() -> None:
            with closing(Client(server.url, key, 120.0)) as line:
                while not stop.is_set():
                    done[0] += line.call("POST", "/v1/index")[0] == 200

        thread = threading.Thread(target=rebuild)
        thread.start()
        told.append({"beside": "rebuilds", **_paced(server.url, key, queries[1::2], seconds)})
        stop.set()
        thread.join()
        told[1]["rebuilds"] = done[0]
        with closing(Client(server.url, key)) as line:
            documents = line.call("GET", "/v1/usage")[1]["documents"]
    quiet = float(told[0]["p99_ms"]) or 1.0
    return [{"documents": documents, **each, "times_quiet": round(float(each["p99_ms"]) / quiet, 2)} for each in told]


def _paced(url: str, key: str, queries: list[str], seconds: float) -> dict[str, Any]:
    times, begun = [], time.perf_counter()
    with closing(Client(url, key)) as line:
        for number, query in enumerate(itertools.cycle(queries)):
            due = begun + number / PACE
            if due >= begun + seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            status, _ = line.call("GET", f"/v1/search?q={quote(query)}")
            assert status == 200, f"a search was answered with {status}"
            times.append(time.perf_counter() - due)
    return {"searches": len(times), "median_ms": quantile(times, 0.5), "p99_ms": quantile(times, 0.99)}
