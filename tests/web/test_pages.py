"""Texts in two languages, static files, error pages; then the same in a real browser."""

import pytest

from shared.errors import UserError
from shared.lab import browser
from shared.web.pages import Pages, read_texts
from tests.web.probe import make


@pytest.mark.parametrize(
    ("query", "cookie", "accepted", "language"),
    [
        ("", "", "", "es"),
        ("", "", "fr, de;q=0.5", "es"),
        ("", "", "en-GB,en;q=0.9,es;q=0.8", "en"),
        ("", "", "es;q=0.1, en;q=0.7", "en"),
        ("", "", "en;q=x, es", "es"),
        ("", "en", "es", "en"),
        ("?lang=es", "en", "en", "es"),
        ("?lang=xx", "en", "es", "en"),
        ("", "<script>", "en", "en"),
    ],
)
def test_the_language_is_the_one_asked_for_then_chosen_then_preferred(client, query, cookie, accepted, language):
    headers = {"Accept-Language": accepted} | ({"Cookie": f"lang={cookie}"} if cookie else {})
    answer = client.get(f"/{query}", headers=headers)
    assert f'<html lang="{language}">' in answer.text and answer.headers["Content-Language"] == language


def test_the_switch_keeps_the_rest_of_the_address_and_is_remembered(client):
    answer = client.get("/?name=A%26B&lang=en")
    assert 'href="?name=A%26B&amp;lang=es"' in answer.text
    assert "Hello, A&amp;B" in answer.text
    assert 'lang="en"' in client.get("/").text.splitlines()[1]
    assert "SameSite=lax" in answer.headers["Set-Cookie"] and "HttpOnly" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("payload", ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "{name.__class__}"])
def test_what_a_visitor_sends_is_text(client, payload):
    page = client.get("/", params={"name": payload}).text
    assert payload not in page or payload.startswith("{")
    assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert(1)&gt;", "")


def test_a_browser_gets_an_error_page_in_its_language_and_a_program_a_problem(client):
    page = client.get("/nowhere", headers={"Accept": "text/html", "Accept-Language": "en"})
    assert page.status_code == 404 and "There is no such page" in page.text
    assert page.headers["X-Request-ID"] in page.text
    assert client.get("/nowhere").json()["title"] == "Not Found"
    assert "Esta página no existe" in client.get("/nowhere", headers={"Accept": "text/html"}).text
    assert "Algo falló" in client.get("/fails", headers={"Accept": "text/html"}).text


def test_static_files_are_kept_by_their_content(client):
    pages = Pages(make().state.web.pages.static["own"].parent)
    answer = client.get(pages.file("base.css"))
    assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
    assert client.get("/static/shared/base.css").headers["Cache-Control"] == "no-cache"
    assert client.get("/static/shared/../../pages.py").status_code == 404
    with pytest.raises(UserError, match=r"no static file nothing\.js"):
        pages.file("nothing.js")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('a = { es = "sí" }', "a must be said in es and en"),
        ('[x]\na = { es = "sí", en = "" }', "x.a must be said in es and en"),
        ('a = { es = "{n} sí", en = "{m} yes" }', "a has other values"),
        ("a = ", "texts.toml"),
    ],
)
def test_a_text_that_lacks_a_language_is_refused(tmp_path, text, wrong):
    (tmp_path / "texts.toml").write_text(text)
    with pytest.raises(UserError, match=wrong):
        read_texts(tmp_path / "texts.toml")


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def address():
    with browser.served(make(rate=1000, burst=1000)) as found:
        yield found


@pytest.mark.browser
def test_pages_fit_every_width_and_shut_nobody_out(chromium, address):
    """360 to 1,440 px, light and dark, two languages; axe-core finds nothing serious."""
    assert browser.faults_everywhere(chromium, f"{address}/?name=" + "W" * 200) == []


@pytest.mark.browser
def test_the_error_page_shuts_nobody_out(chromium, address):
    with chromium.new_context(locale="en-US", viewport={"width": 360, "height": 640}) as context:
        page = context.new_page()
        page.goto(f"{address}/nowhere")
        assert page.locator("h1").inner_text() == "There is no such page"
        assert browser.faults(page) == []


@pytest.mark.browser
def test_a_script_of_our_own_runs_and_an_inline_one_does_not(chromium, address):
    with chromium.new_context() as context:
        page = context.new_page()
        refused = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"{address}/")
        page.get_by_role("button").click()
        assert page.locator("#counted").inner_text() == "1"
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'counted.id'}))"
        )
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')")
        assert sum("Content Security Policy" in text for text in refused) == 2


@pytest.mark.browser
def test_the_switch_is_reached_by_keyboard_and_remembered(chromium, address):
    with chromium.new_context(locale="es-PE") as context:
        page = context.new_page()
        page.goto(f"{address}/?name=Ana")
        assert page.locator("h1").inner_text() == "Hola, Ana"
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Ir al contenido"
        page.get_by_role("link", name="English").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**lang=en**")
        assert page.locator("h1").inner_text() == "Hello, Ana"
        page.goto(f"{address}/?name=Ana")
        assert page.locator("h1").inner_text() == "Hello, Ana"


@pytest.mark.browser
def test_the_check_sees_what_is_wrong(chromium, address):
    """A page with an image without words, grey on grey, and a block that is too wide."""
    with chromium.new_context(viewport={"width": 360, "height": 640}) as context:
        page = context.new_page()
        page.goto(f"{address}/")
        page.evaluate(
            "document.querySelector('main').append(document.createElement('img'), Object.assign("
            "document.createElement('p'), {textContent: 'grey'}))"
        )
        page.evaluate("document.querySelector('p:last-child').style.color = '#e5e5e5'")
        page.evaluate("document.querySelector('h1').style.width = '2000px'")
        kinds = [fault.split(": ")[1].split(" px")[0] for fault in browser.faults(page)]
        assert kinds == ["2016", "color-contrast", "image-alt"]
