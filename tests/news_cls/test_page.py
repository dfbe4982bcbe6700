"""The page in a real browser: asked, explained, corrected, a file sent; widths, schemes, languages; hostile texts."""

import pytest

from shared.lab.browser import faults_everywhere, served
from tests.news_cls.conftest import news_rows, write_news

HOSTILE = "<img src=x onerror=alert(1)> bank <script>alert(2)</script> shares &lt;b&gt; profit market"


@pytest.fixture
def address(make_app):
    with served(make_app()) as url:
        yield url


def opened(chromium, address, **told):
    context = chromium.new_context(**told)
    page = context.new_page()
    page.errors = []
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    return page


@pytest.mark.browser
def test_asked_explained_and_corrected(chromium, address):
    page = opened(chromium, address, locale="en-GB")
    page.get_by_label("Article").fill(HOSTILE)
    page.get_by_role("button", name="Classify").click()
    page.get_by_role("heading", name="money", exact=True).wait_for()
    assert page.locator("#topics li").count() == 3 and page.locator("#topics meter").first.is_visible()
    page.get_by_role("button", name="Why?").click()
    page.locator("#words span").first.wait_for()
    words = page.locator("#words span").all_text_contents()
    assert words[:2] == ["bank", "shares"] and "alert" not in words
    assert page.locator("#words .plus2").count() >= 1
    page.get_by_label("The right topic is").select_option("tech")
    page.get_by_role("button", name="Send correction").click()
    page.get_by_text("1 labels wait for the next update.").first.wait_for()
    assert page.locator("img").count() == 0 and page.errors == []
    page.context.close()


@pytest.mark.browser
def test_a_file_with_its_progress_and_its_answers(chromium, address, tmp_path):
    write_news(tmp_path / "news.csv", news_rows(40))
    page = opened(chromium, address, locale="es-ES")
    page.get_by_label("Archivo CSV").set_input_files(tmp_path / "news.csv")
    page.get_by_role("button", name="Enviar el archivo").click()
    page.get_by_text("40 de 40 noticias").wait_for()
    assert page.locator("#decisions td").all_text_contents()[1:] == ["publicada", "1", "tal como se entrenó"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Descargar las respuestas").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 41 and lines[0] == "text,label,topic,probability,unsure"
    page.get_by_label("Columna del texto").fill("nowhere")
    page.get_by_role("button", name="Enviar el archivo").click()
    page.get_by_role("alert").filter(has_text="no column 'nowhere'").wait_for()
    page.context.close()


@pytest.mark.browser
def test_by_keyboard_alone(chromium, address):
    page = opened(chromium, address, locale="en-GB")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.get_by_label("Article").focus()
    page.keyboard.type("goal match coach league")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="sport", exact=True).wait_for()
    assert page.errors == []
    page.context.close()


@pytest.mark.browser
def test_nothing_is_wrong_in_any_width_scheme_and_language(chromium, address):
    assert faults_everywhere(chromium, f"{address}/") == []
