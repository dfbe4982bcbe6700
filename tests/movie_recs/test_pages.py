"""The pages in a real browser: likes change lists, searches find, both languages, every width, keyboard."""

import pytest

from projects.movie_recs.server.app import create_app
from projects.movie_recs.server.service import Movies
from projects.movie_recs.server.settings import Settings
from shared.lab.browser import faults_everywhere, served
from tests.movie_recs.world import WordEncoder, world

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    settings = Settings(data=tmp_path, dataset="none", rate=1e5)
    app = create_app(Movies(settings, WordEncoder(), world()), settings)
    with served(app) as url:
        yield app, url


def titles(page, list_):
    page.locator(f"#{list_} .film").first.wait_for()
    return page.locator(f"#{list_} .name").all_text_contents()


def test_a_visit_from_the_first_like_to_deleting_the_profile(server, chromium):
    app, url = server
    with chromium.new_context(locale="es-ES") as context:
        page = context.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        assert len(titles(page, "list")) == 12 and "Las más populares" in page.locator("#kind").text_content()
        assert len(titles(page, "questions")) == 6
        first = page.locator("#list .film").first
        name = first.locator(".name").text_content()
        first.get_by_role("button", name="Me gusta:", exact=False).first.focus()
        page.keyboard.press("Enter")
        page.locator("#list .why").first.wait_for()
        assert f"Porque le gustó {name}" in page.locator("#list .why").first.text_content()
        assert name not in titles(page, "list") and "Anotado" in page.locator("#said").text_content()
        page.get_by_role("button", name="Deshacer lo último").click()
        page.get_by_text("Deshecho.").wait_for()
        page.locator("#kind", has_text="Las más populares").wait_for()
        assert name in titles(page, "list")
        page.get_by_label("¿De qué trata", exact=False).fill("cowboy horse desert")
        page.keyboard.press("Enter")
        assert all(found.startswith("Western") for found in titles(page, "found")[:3])
        page.locator("#found .film button").nth(2).click()  # seen
        page.locator("#said", has_text="Anotado").wait_for()
        page.goto(f"{url}/profile?lang=en")
        assert "What you said" in page.content()
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Delete the profile").click()
        assert app.state.movies.store.people() == 1, "it asks first"
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete the profile").click()
        page.get_by_text("You have said nothing yet.").wait_for()
        assert app.state.movies.store.people() == 0 and not errors


def test_an_administrator_adds_a_film_that_the_next_list_shows(server, chromium):
    app, url = server
    key = app.state.keys.issue("tests")
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{url}/admin?lang=en")
        page.get_by_label("Key").fill(key)
        page.get_by_label("Title").fill("<b>Bold</b>")
        page.get_by_label("Genres, with commas").fill("Western")
        page.get_by_label("Plot").fill("A cowboy rides into the desert with his horse.")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved as number 130.").wait_for()
        page.goto(f"{url}/film/130")
        assert page.locator("h1").text_content().startswith("<b>Bold</b>")
        page.goto(f"{url}/admin?lang=en")
        page.get_by_label("Key").fill("wrong")
        page.get_by_label("Title").fill("x")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("That did not work").wait_for()


@pytest.mark.slow
def test_nothing_is_wrong_in_any_width_scheme_and_language(server, chromium):
    _, url = server
    found = []
    for path in ("/", "/film/100", "/profile", "/admin"):
        found += faults_everywhere(chromium, url + path)
    assert found == []
