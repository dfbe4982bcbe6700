"""2,000 requests that schemathesis makes of the OpenAPI document: none is a 5xx."""

import asyncio
from collections import Counter
from dataclasses import replace

import httpx
import numpy as np
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from projects.onnx_serving.server.app import create_app
from projects.onnx_serving.server.service import TextGenerator
from projects.onnx_serving.server.settings import Settings
from tests.onnx_serving.serving import SETTINGS

CASES = 2000  # over the three routes with a body


class EndsAtOnce:
    """A decoder whose every row ends: the requests are what is tested here."""

    def __call__(self, input_ids, mask, positions, cache):
        logits = np.full((len(input_ids), 97), -50.0, dtype=np.float32)
        logits[:, 2] = 50.0
        return logits, cache

    def select_rows(self, cache, rows):
        return cache


def test_schemathesis_finds_no_5xx(models, lm_tokenizer):
    models = replace(models, generator=TextGenerator(EndsAtOnce(), lm_tokenizer, SETTINGS, max_prompt_tokens=300))
    app = create_app(models, Settings())
    document = schemathesis.openapi.from_dict(app.openapi())
    statuses = Counter()
    with asyncio.Runner() as runner:
        context = app.router.lifespan_context(app)
        runner.run(context.__aenter__())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        for operation in (result.ok() for result in document.get_all_operations()):
            if operation.method == "post":
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    attempted(
                        operation.as_strategy(generation_mode=mode),
                        lambda case: runner.run(sent(client, case)),
                        statuses,
                    )
        runner.run(client.aclose())
        runner.run(context.__aexit__(None, None, None))
    assert statuses.total() >= CASES
    assert not {status for status in statuses if status >= 500}
    assert {200, 422} <= set(statuses)


async def sent(client, case):
    asked = case.as_transport_kwargs(base_url="http://test")
    known = {name: asked[name] for name in ("json", "content", "data", "params") if asked.get(name) is not None}
    if isinstance(known.get("data"), bytes | str):
        known["content"] = known.pop("data")
    headers = {name: value for name, value in dict(asked.get("headers") or {}).items() if value.isascii()}
    return (await client.request(asked["method"], asked["url"], headers=headers, **known)).status_code


def attempted(strategy, send, statuses):
    """A sixth of the cases: three routes, each with requests that fit the document and requests that do not."""

    @settings(
        max_examples=CASES // 6 + 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(strategy)
    def attempt(case):
        statuses[send(case)] += 1

    attempt()
