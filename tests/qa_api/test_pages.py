"""The page in a real browser: ask, choose, judge, put and delete with a typed key; all widths, schemes, keyboard."""

import pytest
import torch

from projects.qa_api.measure.small import small_service
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import Settings
from shared.lab.browser import faults, faults_everywhere, served
from tests.qa_api.conftest import DOCUMENTS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> %PDF-1.7 &amp; 🌞 ends here.'


@pytest.fixture
def server(tmp_path):
    settings = Settings(data=tmp_path / "data", dataset="none", rate=1e5)
    service = small_service(settings)
    for document in DOCUMENTS:
        vector = service.encoder.encode([document.text], "passage")[0]
        service.store.put("a", document, vector)
    with served(create_app(service, settings)) as url:
        yield service, url, issue(keys_of(settings), "a", "write", "ana")


@pytest.fixture
def page(server, chromium):
    with chromium.new_context(locale="es-ES") as context:
        opened = context.new_page()
        errors = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(server[1])
        yield opened
        assert not errors


def ask(page, question):
    page.get_by_label("Pregunta, en español").fill(question)
    page.keyboard.press("Enter")


def test_an_answer_is_marked_in_its_document_and_judged(server, page):
    service, _, key = server
    ask(page, "How old is the Sun?")
    page.get_by_text("Escriba primero su clave.").wait_for()
    page.get_by_label("Clave").fill("nonsense ñ")
    ask(page, "How old is the Sun?")
    page.get_by_text("La clave no se conoce.").wait_for()
    page.get_by_label("Clave").fill(key)
    ask(page, "How old is the Sun star Solar System?")
    page.locator("#source-text mark").wait_for()
    assert page.locator("#source-text").text_content() == DOCUMENTS[0].text
    assert page.locator("#source-text mark").text_content() == page.locator("#text").text_content() != ""
    page.get_by_role("button", name="No es correcta").click()
    page.get_by_text("Gracias, queda anotado.").wait_for()
    assert service.store.feedback_of("a") == (0, 1)


def test_a_question_back_is_answered_by_the_keyboard(server, page):
    page.get_by_label("Clave").fill(server[2])
    ask(page, "What is a mole?")
    page.get_by_text("¿A cuál se refiere?").wait_for()
    options = page.locator("#options button")
    assert sorted(options.locator("strong").all_text_contents()) == ["Mole (animal)", "Mole (unit)"]
    page.keyboard.press("Tab")  # the answer has the focus, its options come next
    name = page.evaluate("document.activeElement.querySelector('strong').textContent")
    page.keyboard.press("Enter")
    page.locator("#source-title", has_text=name).wait_for()


def test_a_document_is_put_asked_shown_as_text_and_deleted(server, page):
    service, _, key = server
    page.get_by_label("Clave").fill(key)
    page.get_by_label("Archivo de texto").set_input_files(
        files=[{"name": "quorra notes.txt", "mimeType": "text/plain", "buffer": f"Quorra {HOSTILE}".encode()}]
    )
    page.locator("#identity").evaluate(
        "e => new Promise(done => { const f = () => e.value ? done() : setTimeout(f, 20); f() })"
    )
    assert page.get_by_label("Identificador", exact=True).input_value() == "quorra-notes"
    page.get_by_label("Título").fill("Quorra")
    page.get_by_role("button", name="Guardar").click()
    page.get_by_text("Guardado: quorra-notes.").wait_for()
    assert service.store.get("a", "quorra-notes").document.text == f"Quorra {HOSTILE}"
    ask(page, "Quorra ends here pdf?")
    page.locator("#source-title", has_text="Quorra").wait_for()
    assert page.locator("#source-text").text_content() == f"Quorra {HOSTILE}"
    assert page.locator("#source-text *:not(mark)").count() == 0 and "Preguntas" in page.title()
    page.get_by_role("button", name="Borrar quorra-notes").click()
    page.get_by_text("Borrado: quorra-notes.").wait_for()
    page.get_by_label("Identificador del documento que se borra").fill("quorra-notes")
    page.keyboard.press("Enter")
    page.get_by_text("No hay ningún documento quorra-notes.").wait_for()
    assert service.store.get("a", "quorra-notes") is None


def test_a_file_that_is_no_text_is_refused_and_a_wrong_name_gets_suggestions(server, page):
    page.get_by_label("Clave").fill(server[2])
    page.get_by_label("Archivo de texto").set_input_files(
        files=[{"name": "x.txt", "mimeType": "text/plain", "buffer": "ñandú".encode("utf-16")}]
    )
    page.get_by_text("El archivo no es texto en UTF-8.").wait_for()
    service = server[0]

    def nothing(ids, mask):
        scores = torch.zeros(*ids.shape, 2)
        scores[:, 0] = 9.0
        return scores

    service.reader.forward = nothing
    ask(page, "capital de Maltta")
    page.get_by_text("No está en los documentos.").wait_for()
    page.locator("#options button", has_text="Malta").click()
    assert page.get_by_label("Pregunta, en español").input_value() == "Malta"


@pytest.mark.slow
def test_nothing_is_wrong_in_any_width_scheme_and_language(server, chromium):
    _, url, key = server
    found = faults_everywhere(chromium, url + "/")
    for scheme, words in (("light", "What is a mole?"), ("dark", "How old is the Sun star Solar System?")):
        with chromium.new_context(color_scheme=scheme, locale="en-GB") as context:
            page = context.new_page()
            for width in (360, 1440):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(url)
                page.get_by_label("Key").fill(key)
                page.get_by_label("Question, in").fill(words)
                page.keyboard.press("Enter")
                page.locator("#answer").wait_for()
                found += faults(page)
    assert found == []
