"""A real browser for tests of pages: the system's Chromium through Playwright, offline, and what any page must hold.

Where there is no Chromium, tests with the marker `browser` are deselected and the run says so (tests/conftest.py).
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from shared.web.launch import listening

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (360, 390, 768, 1440)  # pixels
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def executable() -> str | None:
    """Where the browser is; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An application on a free port of this machine, in a thread; yields its address."""
    opened = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the application did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        opened.close()


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser; a test makes contexts (`new_context(color_scheme="dark")`) and pages of it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox needs rights that containers lack; pages here are our own, from this machine.
        opened = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox", OFFLINE])
        try:
            yield opened
        finally:
            opened.close()


def faults(page: Any) -> list[str]:
    """What is wrong with a page that is shown: wider than the window, or a serious finding of axe-core (WCAG 2.1)."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    if wide > window:
        found.append(f"{page.url}: {wide} px wide in a window of {window}")
    for each in Axe().run(page).response["violations"]:
        if each["impact"] in ("serious", "critical"):
            nodes = "; ".join(node["html"][:120] for node in each["nodes"][:3])
            found.append(f"{page.url}: {each['id']}: {each['help']}: {nodes}")
    return found


def faults_everywhere(opened: Any, address: str, languages: tuple[str, ...] = ("es", "en")) -> list[str]:
    """`faults` of one address in every width, both schemes and both languages, and what its console said."""
    found: list[str] = []

    def listen(page: Any) -> Any:
        page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))
        return page

    for scheme in ("light", "dark"):
        with opened.new_context(color_scheme=scheme) as context:
            page = listen(context.new_page())
            for language in languages:
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    page.goto(f"{address}{'&' if '?' in address else '?'}lang={language}")
                    found += faults(page)
    return found
