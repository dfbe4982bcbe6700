"""What the page shows: hostile texts as text, widths, schemes, languages, forms, and modules that are npm's."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from projects.ws_chat.server.app import PAGES
from shared.lab.browser import faults
from tests.ws_chat.people import said
from tests.ws_chat.serving import conversation

PAYLOADS = (Path(__file__).parent / "payloads.txt").read_text(encoding="utf-8").splitlines()
VENDOR = PAGES / "static" / "vendor"


@pytest.mark.browser
def test_hostile_texts_of_users_and_of_the_model_are_text(server, visit):
    """Every payload as a message of the user and as an answer; nothing of it runs, loads, covers or leads away."""
    ana = visit(server)
    client = server.person()
    one = conversation(client)
    store = server.chat.conversations
    for number, payload in enumerate(PAYLOADS):
        server.ask(store.add(one, said(f"user-{number:04}", payload)))
        server.ask(
            store.add(one, said(f"model-{number:04}", payload.replace(" [ref]:", "\n\n[ref]:"), "assistant", "end"))
        )
    ana.context.clear_cookies()
    ana.context.add_cookies([{"name": "ws_chat", "value": client.cookies["ws_chat"], "url": server.url}])
    asked = []
    ana.page.on("request", lambda request: asked.append(request.url))
    page = ana.open(f"/#{one}")
    page.locator(".said").nth(2 * len(PAYLOADS) - 1).wait_for()
    assert len(PAYLOADS) >= 50
    assert page.locator(".said.user .text").all_text_contents() == PAYLOADS
    elements = page.locator(".said .text *").evaluate_all("all => all.map(each => each.tagName.toLowerCase())")
    assert set(elements) <= {"p", "br", "a", "code", "pre", "em", "strong", "div", "button", "ol", "ul", "li"}, set(
        elements
    )
    attributes = page.locator(".said .text *").evaluate_all("all => all.flatMap(each => each.getAttributeNames())")
    assert set(attributes) <= {"href", "title", "target", "rel", "class", "type", "tabindex"}, set(attributes)
    links = page.locator(".said a").evaluate_all("all => all.map(each => [each.protocol, each.target, each.rel])")
    assert links and all(protocol in ("https:", "http:", "mailto:") for protocol, _, _ in links if protocol != ":")
    assert all(target == "_blank" and "noopener" in rel for _, target, rel in links)
    for link in page.locator(".said a").all():
        link.dispatch_event("mouseover")
    assert "broken" not in page.title() and page.url == f"{server.url}/#{one}"
    assert all(each.startswith(server.url) for each in asked if not each.startswith("data:"))
    assert not ana.errors


@pytest.mark.browser
def test_nothing_is_wrong_with_the_page_in_any_width_scheme_and_language(server, visit):
    client = server.person(admin=True)
    one = conversation(client)
    text = (
        "# A heading\n\nA [link](https://example.org), `code` and\n\n```\n"
        + "x" * 200
        + "\n```\n\n| a | b |\n|-|-|\n| 1 | 2 |"
    )
    for number, role in enumerate(("user", "assistant") * 2):
        server.ask(server.chat.conversations.add(one, said(f"message-{number}", text, role, "stopped")))
    found = []
    for scheme, language, delete in (("light", "en-GB", "Delete"), ("dark", "es-ES", "Borrar")):
        ana = visit(server, client, color_scheme=scheme, locale=language)
        for width in (360, 768, 1440):
            ana.page.set_viewport_size({"width": width, "height": 800})
            page = ana.open(f"/#{one}")
            page.reload()
            page.locator(".said .text pre").first.wait_for()
            found += faults(page)
            page.locator(".top [aria-haspopup]").click()
            page.get_by_role("menuitem", name=delete).wait_for()
            found += faults(page)
            page.keyboard.press("Escape")
            if width == 360:
                page.locator(".top .only-phone").click()
                page.locator(".drawn .side").wait_for()
            page.locator(".who").click()
            page.locator(".menu.up").wait_for()
            found += faults(page)
            page.get_by_role("menuitem").last.click()
            page.locator("dialog input").wait_for()
            found += faults(page)
            page.keyboard.press("Escape")
            page.locator("dialog").wait_for(state="detached")
        assert not ana.errors
    assert found == []


@pytest.mark.browser
def test_the_door_opens_with_an_invitation_and_tells_what_is_wrong(server, chromium):
    code = server.ask(server.chat.accounts.invite())
    with chromium.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(f"{server.url}/login#{code}")
        page.get_by_label("Name").fill("from-a-link")
        page.get_by_label("Password").fill("short")
        page.get_by_role("button", name="Create the account").click()
        page.get_by_role("alert").filter(has_text="10 characters").wait_for()
        assert faults(page) == [] and code not in page.url
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Create the account").click()
        page.locator("#write").wait_for()
        page.get_by_role("button", name="from-a-link").click()
        page.get_by_role("menuitem", name="Log out").click()
        page.get_by_role("heading", name="A chat that loses nothing").wait_for()
        page.get_by_label("Name").fill("from-a-link")
        page.get_by_label("Password").fill("a wrong password")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").filter(has_text="wrong").wait_for()


@pytest.mark.browser
def test_what_the_server_refuses_is_said_in_the_language_of_the_page(server, chromium):
    code = server.ask(server.chat.accounts.invite())
    with chromium.new_context(locale="es-ES") as context:
        page = context.new_page()
        page.goto(f"{server.url}/login#{code}")
        for name, password, told in (
            ("inés", "corta", "10 caracteres o más"),
            ("inés", "soy inés y no otra", "El nombre no puede estar dentro"),
            ("-", "correct horse battery", "Un nombre tiene de 2 a 32 letras"),
            ("inés", "correct horse battery", None),
        ):
            page.get_by_label("Nombre").fill(name)
            page.get_by_label("Contraseña").fill(password)
            page.get_by_role("button", name="Crear la cuenta").click()
            if told:
                page.get_by_role("alert").filter(has_text=told).wait_for()
        page.locator("#write").wait_for()
        page.locator(".who").click()
        page.get_by_role("menuitem", name="Borrar la cuenta").click()
        page.get_by_label("Contraseña").fill("another password")
        page.get_by_role("button", name="Borrar la cuenta", exact=True).last.click()
        page.get_by_role("alert").filter(has_text="Esa no es la contraseña.").wait_for()
        assert page.locator("html").get_attribute("lang") == "es"


def test_every_sentence_of_a_form_has_its_words_in_both_languages():
    from shared.web.pages import read_texts

    known = {name.removeprefix("said.") for name in read_texts(PAGES / "texts.toml") if name.startswith("said.")}
    code = "\n".join((PAGES.parent / name).read_text() for name in ("store/accounts.py", "server/routes.py"))
    told = re.findall(r'UserError\(f?"(.+)"\)|HTTPException\(403, "(this is .+)"\)', code)
    for sentence in (first or second for first, second in told):
        filled = sentence.replace("{SHORTEST}", "10").replace("{LONGEST}", "200")
        assert "_".join(re.findall(r"[a-z0-9]+", filled.lower())) in known
    assert len(told) == 1 + len(known)  # one is said twice


@pytest.mark.browser
def test_a_look_is_chosen_and_remembered_and_a_password_changed(server, visit):
    ana = visit(server, color_scheme="dark")
    page = ana.open()
    ground = "getComputedStyle(document.body.parentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.locator(".who").click()
    page.get_by_role("menuitemradio", name="Light").click()
    light = page.evaluate(ground)
    page.reload()
    page.locator("#write").wait_for()
    assert page.evaluate(ground) == light != dark
    page.locator(".who").click()
    assert page.get_by_role("menuitemradio", name="Light").get_attribute("aria-checked") == "true"
    assert faults(page) == []
    page.get_by_role("menuitemradio", name="System").click()
    assert page.evaluate(ground) == dark
    page.get_by_role("menuitem", name="Change the password").click()
    page.get_by_label("Current password").fill("a wrong password")
    page.get_by_label("New password").fill("staple correct horse")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").filter(has_text="not the password").wait_for()
    assert faults(page) == []
    ana.errors.clear()  # the browser's own remark on the answer 403
    page.get_by_label("Current password").fill("correct horse battery")
    page.get_by_label("New password").fill("staple correct horse")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The password has changed").wait_for()
    assert not ana.errors


def test_modules_of_others_are_what_npm_has():
    declared = tomllib.loads((VENDOR / "vendored.toml").read_text(encoding="utf-8"))
    assert {path.name for path in VENDOR.glob("*.mjs")} == declared.keys()
    for name, each in declared.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == each["sha256"]
        assert (VENDOR / f"{each['package']}.LICENSE").stat().st_size > 500


def test_every_text_that_the_page_says_is_there():
    from shared.web.pages import read_texts

    texts = read_texts(PAGES / "texts.toml")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PAGES / "static").glob("*.mjs"))
    said_in_code = set(re.findall(r'say\("(\w+)"', code)) - {
        "register",
        "enter",
        "known",
        "invited",
        "wrong",
        "often",
        "unreachable",
    }
    assert said_in_code and all(f"chat.{name}" in texts or f"login.{name}" in texts for name in said_in_code)
    from typing import get_args

    from projects.ws_chat.protocol import Code, Reason

    assert all(f"chat.error_{code}" in texts for code in get_args(Code))
    assert all(f"chat.reason_{reason}" in texts for reason in get_args(Reason) if reason != "end")
