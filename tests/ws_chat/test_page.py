"""The page in a real browser: two people, Stop, a cut line, what is found again, a gap in the numbers."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ws_chat.gated import Gated
from tests.ws_chat.serving import served


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
