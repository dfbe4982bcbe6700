"""Requests that schemathesis makes of the service's own OpenAPI document, fitting and not: none may be a 5xx."""

import asyncio
import io
import itertools
import tempfile
from collections import Counter
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any

import httpx

from projects.qa_api.data.documents import Document
from projects.qa_api.measure.clients import FREE
from projects.qa_api.measure.small import small_service
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import Settings


def rows(cases: int = 2000) -> list[dict[str, Any]]:
    """One row: at least so many cases, spread over all routes, and what they were answered with."""
    import schemathesis
    from hypothesis.errors import Unsatisfiable
    from schemathesis.generation import GenerationMode

    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as place, asyncio.Runner() as runner:
        settings = Settings(data=Path(place), dataset="none", rate=FREE)
        service = small_service(settings)
        sun = Document("sun", "Sun", "The Sun is a star.", "en")
        service.store.put("a", sun, service.encoder.encode([sun.text], "passage")[0])
        with redirect_stderr(io.StringIO()):  # a line for each of some thousand requests is nothing to read
            app = create_app(service, settings)
        key = issue(keys_of(settings), "a", "admin", "cases")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        operations = [each.ok() for each in schemathesis.openapi.from_dict(app.openapi()).get_all_operations()]
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        each = -(-cases // (2 * len(operations)))
        for seed in itertools.count():  # a route without parameters has few cases that differ
            for operation, mode in itertools.product(operations, modes):
                if statuses.total() < cases:
                    with suppress(Unsatisfiable):
                        _attempted(operation.as_strategy(generation_mode=mode), client, runner, statuses, each, seed)
            if statuses.total() >= cases:
                break
        runner.run(client.aclose())
        service.close()
    kinds = {"ok": 2, "refused": 4, "failed": 5}
    counts = {name: sum(n for status, n in statuses.items() if status // 100 == kind) for name, kind in kinds.items()}
    return [{"cases": statuses.total(), "routes": len(operations), **counts}]


def _attempted(
    strategy: Any, client: httpx.AsyncClient, runner: Any, statuses: Counter[int], most: int, number: int
) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    @seed(number)
    @settings(max_examples=most, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=strategy)
    def attempt(case: Any) -> None:
        statuses[runner.run(_sent(client, case))] += 1

    attempt()


async def _sent(client: httpx.AsyncClient, case: Any) -> int:
    asked = case.as_transport_kwargs(base_url="http://test")
    known = {name: asked[name] for name in ("json", "content", "data", "params") if asked.get(name) is not None}
    if isinstance(known.get("data"), bytes | str):
        known["content"] = known.pop("data")
    headers = {name: value for name, value in dict(asked.get("headers") or {}).items()
               if value.isascii() and name.lower() != "authorization"}  # fmt: skip
    return (await client.request(asked["method"], asked["url"], headers=headers, **known)).status_code
