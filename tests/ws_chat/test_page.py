"""The page in a real browser: two people, a cut line, Stop, hostile texts, a phone, both languages, the keyboard."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from projects.ws_chat.server.app import PAGES
from shared.web.browser import faults
from tests.ws_chat.gated import Gated
from tests.ws_chat.serving import conversation, served
from tests.ws_chat.test_store import said

PAYLOADS = (Path(__file__).parent / "payloads.txt").read_text(encoding="utf-8").splitlines()
VENDOR = PAGES / "static" / "vendor"


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


@pytest.fixture
def visit(chromium):
    contexts = []

    def visiting(server, client=None, **options):
        visitor = Visitor(chromium, server, client or server.person(), **options)
        contexts.append(visitor.context)
        return visitor

    yield visiting
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_two_people_talk_and_neither_sees_the_other(server, visit):
    ana, bob = visit(server), visit(server)
    ana.open(), bob.open()
    ana.send("hello from ana")
    bob.send("hello from bob")
    assert ana.answered() == ["hello from ana"] and bob.answered() == ["hello from bob"]
    assert ana.page.locator(".list li").all_inner_texts() == ["hello from ana"]
    assert "bob" not in ana.page.content() and not ana.errors + bob.errors


@pytest.mark.browser
def test_what_was_said_is_there_again_and_is_found_renamed_and_deleted(server, visit):
    ana = visit(server)
    page = ana.open()
    ana.send("the first café")
    ana.answered()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New conversation").click()
    ana.send("the second thing")
    ana.answered()
    page.reload()
    assert ana.answered() == ["the second thing"]
    page.keyboard.press("Control+k")
    page.keyboard.type("CAFE")
    page.locator(".found").wait_for()
    assert page.locator(".list li").count() == 1
    page.locator(".list li a").click()
    page.get_by_role("log").get_by_text("the first café").first.wait_for()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Breakfast")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Breakfast").wait_for()
    page.get_by_role("button", name="More actions").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download as Markdown").click()
    assert "the first café" in Path(download.value.path()).read_text(encoding="utf-8")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("What shall we talk about?").wait_for()
    page.get_by_role("searchbox").fill("")
    page.get_by_role("link", name="the second thing").wait_for()
    assert page.locator(".list li").count() == 1 and not ana.errors


@pytest.mark.browser
def test_stop_stops_the_backend_and_another_answer_takes_its_place(tmp_path, visit):
    backend = Gated(allowed=5)
    with served(tmp_path, backend) as server:
        ana = visit(server)
        page = ana.open()
        ana.send(" ".join(f"word{n}" for n in range(500)))
        page.locator(".writing .text").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("Stopped.").wait_for()
        backend.allowed += 5
        assert 0 < backend.computed <= 5 and not backend.running
        page.get_by_role("button", name="Another answer").click()
        page.locator(".writing .text").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        assert page.locator(".said.assistant").count() == 1 and not backend.running
        backend.allowed = 1000
        page.locator(".said.user").hover()
        page.get_by_role("button", name="Edit").click()
        page.get_by_role("textbox", name="Edit").fill("shorter")
        page.locator(".editing").get_by_role("button", name="Send").click()
        page.get_by_role("log").get_by_text("shorter").nth(1).wait_for()
        assert ana.answered() == ["shorter"] and page.locator(".said").count() == 2 and not ana.errors


@pytest.mark.browser
def test_a_line_that_is_cut_in_mid_answer_is_taken_up_again_without_a_word_missing(tmp_path, visit):
    words = " ".join(f"word{n}" for n in range(120))
    backend = Gated()
    with served(tmp_path, backend) as server:
        ana = visit(server)
        page = ana.open()
        ana.send(words)
        for cut in range(4):
            backend.allowed += 10
            page.locator(".writing .text", has_text=re.compile(rf"word{10 * cut + 9}\b")).wait_for()
            for connection in server.chat.connections:
                server.loop.call_soon_threadsafe(connection.close, 1012)
        backend.allowed = 1000
        assert ana.answered() == [words]
        assert page.locator(".said").count() == 2


@pytest.mark.browser
def test_what_is_written_while_the_line_is_cut_is_sent_once_it_is_back(server, visit):
    ana = visit(server)
    page = ana.open()
    ana.send("one")
    ana.answered()
    ana.context.set_offline(True)
    for connection in server.chat.connections:
        server.loop.call_soon_threadsafe(connection.close, 1012)
    page.get_by_text("Offline. Trying again").wait_for()
    ana.send("two")
    page.locator(".pending").wait_for()
    ana.context.set_offline(False)
    assert ana.answered(2) == ["one", "two"]
    page.get_by_text("Connected again").wait_for()
    assert page.locator(".said").count() == 4


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


@pytest.mark.browser
def test_without_a_server_there_is_a_page_that_says_so(tmp_path, chromium):
    with served(tmp_path) as server, chromium.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(f"{server.url}/login")
        page.evaluate("() => navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready)")
        page.goto(f"{server.url}/login")
        context.set_offline(True)
        page.goto(f"{server.url}/")
        expect(page.get_by_role("heading", name="Offline")).to_be_visible()


@pytest.mark.browser
def test_a_hidden_page_says_in_its_title_that_an_answer_has_ended(server, visit):
    ana = visit(server)
    page = ana.open()
    page.evaluate("() => Object.defineProperty(document, 'hidden', { get: () => true })")
    ana.send("hello")
    ana.answered()
    expect(page).to_have_title(re.compile("^● "))


@pytest.mark.browser
@pytest.mark.parametrize("frame", ["token", "message", "done"])
def test_a_page_that_misses_a_number_asks_again(server, chromium, frame):
    """The reducer itself: a number twice changes nothing, a gap is noticed."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/health")
        code = """async (kind) => {
            const { EMPTY, after } = await import('/static/own/talk.mjs');
            const talk = { ...EMPTY, seq: 5, writing: { answer: 'a', text: 'x' } };
            const message = { id: 'b', role: 'user', text: 'y' };
            const frame = { type: kind, answer: 'a', text: 'z', message, reason: 'end' };
            const next = after(talk, { ...frame, seq: 6 });
            const changed = JSON.stringify(next) !== JSON.stringify({ ...talk, seq: 6 });
            return [after(talk, { ...frame, seq: 5 }) === talk, after(talk, { ...frame, seq: 7 }), next.seq, changed];
        }"""
        assert page.evaluate(code, frame) == [True, None, 6, True]


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
