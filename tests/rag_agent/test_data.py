"""Documents: what is read, what is refused, and how text is cut."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PageObject, PdfWriter

from projects.rag_agent.data import Document, load_documents, passage_id, passages_of, sentences
from shared.errors import UserError


def count(texts):
    return [len(text.split()) for text in texts]


def pdf(path, text="A page about owls.", password=None):
    """A one-page PDF written by hand, since the library reads text and does not draw it."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(body)
    body += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    path.write_bytes(body + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)
    if password is not None:
        writer = PdfWriter(clone_from=path)
        writer.encrypt(password, algorithm="RC4-128")
        writer.write(path)


def test_a_folder_of_every_kind_is_read_in_order(tmp_path):
    (tmp_path / "b.txt").write_text("Text about bees.")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_bytes(b"\xef\xbb\xbf# Ants\nMarkdown about ants.")
    (tmp_path / "ignored.csv").write_text("x")
    pdf(tmp_path / "c.PDF")
    found = load_documents(str(tmp_path))
    assert [d.id for d in found] == ["b.txt", "c.PDF", "deep/a.md"]
    assert [d.title for d in found] == ["b", "c", "a"]
    assert "owls" in found[1].text and found[2].text.startswith("# Ants")


def test_a_repeated_document_is_read_once(tmp_path):
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("The same words.")
    assert [d.id for d in load_documents(str(tmp_path))] == ["one.txt"]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_that_only_its_owner_locked_is_read(tmp_path, algorithm):
    pdf(tmp_path / "a.pdf")
    writer = PdfWriter(clone_from=tmp_path / "a.pdf")
    writer.encrypt("", owner_password="owner", algorithm=algorithm)
    writer.write(tmp_path / "a.pdf")
    assert "owls" in load_documents(str(tmp_path))[0].text


def test_a_pdf_that_cannot_be_read_is_one_line_and_the_folder_is_read_on(tmp_path, capsys):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    pdf(tmp_path / "b.pdf")
    pdf(tmp_path / "c.pdf", password="secret")
    (tmp_path / "d.txt").write_text("Text about bees.")
    pdf(tmp_path / "e.pdf", text="")
    assert [document.id for document in load_documents(str(tmp_path))] == ["b.pdf", "d.txt"]
    lines = capsys.readouterr().err.splitlines()
    assert [Path(line.split()[2]).name for line in lines] == ["a.pdf", "c.pdf", "e.pdf"]
    assert all(line.startswith("left out: ") for line in lines)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, AssertionError, MemoryError, RecursionError])
def test_whatever_the_pdf_library_raises_is_one_line(tmp_path, monkeypatch, error):
    def stumble(*_):
        raise error("several\nlines")

    pdf(tmp_path / "a.pdf")
    monkeypatch.setattr(PageObject, "extract_text", stumble)
    with pytest.raises(UserError, match=rf"a.pdf cannot be read as PDF \({error.__name__}\)"):
        load_documents(str(tmp_path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: None, "holds no .txt, .md, .pdf file"),
        (lambda f: (f / "a.csv").write_text("x"), "holds no .txt, .md, .pdf file"),
        (lambda f: (f / "a.txt").write_text(" \n"), "holds no text"),
        (lambda f: (f / "a.txt").write_bytes(b"caf\xe9"), r"line 1: not UTF-8"),
        (lambda f: (f / "a.pdf").write_bytes(b"%PDF-1.4 broken"), "cannot be read as PDF"),
        (lambda f: (f / "a.pdf").write_bytes(b""), "cannot be read as PDF"),
        (lambda f: pdf(f / "a.pdf", password="secret"), "is encrypted"),
        (lambda f: pdf(f / "a.pdf", text=""), "holds no text"),
    ],
)
def test_what_cannot_be_read_is_one_line(make, said, tmp_path, capsys):
    make(tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        load_documents(str(tmp_path))
    assert "\n" not in str(caught.value) and capsys.readouterr().err == ""


def test_a_name_that_is_nothing_is_one_line(tmp_path):
    with pytest.raises(UserError, match="neither film_articles nor a folder"):
        load_documents(str(tmp_path / "nowhere"))


def test_sentences_keep_initials_and_titles_together():
    text = "Made by J. F. Doe Jr. and Dr. Roe in 1950. It was shot in France.Later it won!\nA new line"
    assert sentences(text) == [
        "Made by J. F. Doe Jr. and Dr. Roe in 1950.",
        "It was shot in France.",
        "Later it won!",
        "A new line",
    ]


words = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=9).map(
    lambda w: " ".join(w).capitalize() + "."
)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=25, unique=True), st.integers(16, 40), st.integers(0, 3))
def test_passages_hold_every_sentence_in_order_and_never_too_much(made, limit, overlap):
    document = Document("d", "T", " ".join(made))
    found = passages_of(document, limit=limit, overlap=overlap, count=count)
    assert all(count([p.searched])[0] + 2 <= limit for p in found)
    joined = " ".join(p.text for p in found)
    assert all(sentence in joined for sentence in sentences(document.text))
    if overlap == 0:
        assert joined == " ".join(sentences(document.text))


def test_the_next_passage_repeats_the_last_sentence():
    text = " ".join(f"Sentence {name} has exactly six words." for name in ("one", "two", "three", "four"))
    found = passages_of(Document("d", "T", text), limit=16, overlap=1, count=count)
    assert [p.text.count("Sentence") for p in found] == [2, 2, 2]
    assert found[0].text.endswith("two has exactly six words.") and found[1].text.startswith("Sentence two")


def test_a_sentence_that_is_too_long_is_cut_between_words():
    found = passages_of(Document("d", "T", "word " * 50), limit=16, overlap=1, count=count)
    assert len(found) >= 1 and all(len(p.text.split()) <= 13 for p in found)


def test_ids_depend_on_document_and_text_alone():
    assert passage_id("a", "b") == passage_id("a", "b") < 2**63
    assert len({passage_id("a", "b"), passage_id("ab", ""), passage_id("b", "a"), passage_id("a", "c")}) == 4
    assert passage_id("Vertigo", "A film.") == 6172713438227508549  # on every machine, in every version


def test_a_title_that_leaves_no_room_is_one_line():
    with pytest.raises(UserError, match="raise --passage_tokens"):
        passages_of(Document("d", "very " * 20, "Text."), limit=24, overlap=0, count=count)


def test_a_passage_that_repeats_counts_once():
    found = passages_of(Document("d", "T", "Same six words stand in here. " * 8), limit=16, overlap=0, count=count)
    assert [p.position for p in found] == [0] and found[0].text.count("Same") == 2


def test_a_separator_that_ends_no_line_cuts_no_sentence():
    assert sentences("one\u2028two\x0bthree\x85four\nfive\r\nsix\rseven") == [
        "one two three four",
        "five",
        "six",
        "seven",
    ]
