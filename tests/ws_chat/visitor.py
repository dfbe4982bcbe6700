"""Somebody with a browser, at the page."""


class Visitor:
    """Somebody with a browser: what its console said is in `errors`."""

    def __init__(self, chromium, server, client, **options):
        self.server, self.errors = server, []
        self.context = chromium.new_context(**{"locale": "en-GB", "viewport": {"width": 1000, "height": 800}} | options)
        cookie = {"name": "ws_chat", "value": client.cookies["ws_chat"], "url": server.url}
        self.context.add_cookies([cookie | {"httpOnly": True, "sameSite": "Lax"}])
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def open(self, path="/"):
        self.page.goto(self.server.url + path)
        self.page.locator("#write").wait_for()
        return self.page

    def send(self, text):
        self.page.locator("#write").fill(text)
        self.page.keyboard.press("Enter")

    def answered(self, count=1):
        """Wait until so many whole answers are shown; their texts."""
        self.page.locator(".said.assistant:not(.writing) .text").nth(count - 1).wait_for()
        self.page.locator(".stop").wait_for(state="detached")
        return self.page.locator(".said.assistant .text").all_inner_texts()
