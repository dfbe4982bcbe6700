"""An application over tiny models, and requests to it without a socket."""

import asyncio

import httpx

from projects.onnx_serving.server.app import create_app
from projects.onnx_serving.server.settings import Settings
from tests.onnx_serving.test_spans import ODD

SETTINGS = {"before": "<s>user ", "after": " assistant", "padding": 2, "ends": [2]}
PROMPT = {"prompt": "hello", "max_new_tokens": 6}
QUESTION = {"question": "Who directed it?", "context": ODD}


def calling(models, work, **options):
    """Run `work(client, app)` against an application that is up."""

    async def main():
        app = create_app(models, Settings(**options))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            return await work(client, app)

    return asyncio.run(main())


def post(models, route, **request):
    async def work(client, _):
        return await client.post(route, **request)

    return calling(models, work)
