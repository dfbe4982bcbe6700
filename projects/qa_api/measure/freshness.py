"""How soon a document that was put is found and answered from, and how soon after DELETE it is in no answer."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from projects.qa_api.measure.clients import SERVER, Client, served, until
from shared.lab.load import quantile

TEXT = "{name} is a village in the north. It was founded in 1{number:03d} by the painter Ana Ruiz."
QUESTION = "When was {name} founded?"
SECOND = 1.0


def rows(
    run: Path | None, documents: int = 50, *, module: str = SERVER, dataset: str = "introductions"
) -> list[dict[str, Any]]:
    """One row a step: seconds from the request until the change shows, over so many documents."""
    with served(run, module=module, dataset=dataset) as (server, key), closing(Client(server.url, key)) as line:
        steps = [_one(line, number) for number in range(documents)]
    return [
        {
            "step": name,
            "documents": documents,
            "within_1_s": sum(each[name] < SECOND for each in steps) / documents,
            "median_ms": quantile([each[name] for each in steps], 0.5),
            "slowest_ms": quantile([each[name] for each in steps], 1.0),
        }
        for name in (
            "put, then found",
            "put, then answered from",
            "deleted, then in no answer",
            "deleted, then not found",
        )
    ]


def _one(line: Client, number: int) -> dict[str, float]:
    name, told = f"Zarvo{number:03d}", {}
    path, asked = f"/v1/documents/fresh-{number}", {"question": QUESTION.format(name=name), "language": "en"}

    def found() -> bool:
        _, hits = line.call("GET", f"/v1/search?q={name}&k=3")
        return any(each["document"] == f"fresh-{number}" for each in hits["hits"])

    def answers() -> bool:
        _, answer = line.call("POST", "/v1/ask", asked)
        return bool(answer["source"]) and answer["source"]["document"] == f"fresh-{number}"

    begun = time.perf_counter()
    line.call("PUT", path, {"title": name, "text": TEXT.format(name=name, number=number), "language": "en"})
    wrote = time.perf_counter() - begun
    told["put, then found"] = wrote + until(found)
    told["put, then answered from"] = time.perf_counter() - begun if answers() else wrote + until(answers)
    answers()  # from the cache
    begun = time.perf_counter()
    line.call("DELETE", path)
    wrote = time.perf_counter() - begun
    told["deleted, then in no answer"] = wrote + until(lambda: not answers())
    told["deleted, then not found"] = wrote + until(lambda: not found())
    return told
