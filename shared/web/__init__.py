"""What a service's pages and routes need, without a CDN: layout, two languages, security headers, limits, keys, errors.

    web = Web(title="qa_api", folder=HERE / "pages", settings=WebSettings())
    app = FastAPI(lifespan=..., docs_url=None, redoc_url=None)
    web.install(app)                             # headers, ids, logs, limits, problem+json, error pages, /static
    return web.page(request, "index.html", questions=found)

A project's `pages/` holds its templates (they extend layout.html), its texts.toml (every text in Spanish and English)
and its static files. README.md says the rest.
"""

from shared.web.application import Web, WebSettings

__all__ = ["Web", "WebSettings"]
