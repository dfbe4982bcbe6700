"""What goes in, what each filter takes, and copies that are found however they are disguised."""

import json
import random

import pytest

from projects.pretrain_lm.data.duplicates import Seen, signature
from projects.pretrain_lm.data.filters import Dropped, boilerplate, characters, clean
from projects.pretrain_lm.data.sources import Document, documents
from shared.errors import UserError

ARTICLE = (
    "The mayor of the city said on Monday that the new bridge over the river will be open before the end of the year. "
    "Work on it began three years ago, and has cost more than was planned. Many people who live near it have asked why "
    "the first winter was not used, and the council has promised to answer them in a letter that all of them can read. "
    "A report about the costs is to be made public in May, when a committee will have read it."
)


def varied(seed, words=200):
    draw = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(3000)]
    return " ".join(draw.choices(vocabulary, k=words))


# ---------------------------------------------------------------- sources


def test_a_folder_gives_all_its_kinds_of_files_in_one_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.txt").write_text("plain ñ")
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n\n{"text": "y", "more": 1}\n')
    (tmp_path / "c.CSV").write_text('title,text\nt,"two\nlines"\n')
    (tmp_path / "ignored.bin").write_bytes(b"\0")
    found = list(documents(str(tmp_path)))
    assert [d.text for d in found] == ["x", "y", "plain ñ", "two\nlines"]
    assert found == list(documents(str(tmp_path)))
    assert found[1] == Document(f"{tmp_path}/a.jsonl:3", "y")


BAD = {
    "cut.jsonl": ('{"text": "x"}\n{"text": "y', r"cut.jsonl, line 2: not JSON"),
    "list.jsonl": ("[1]\n", r"list.jsonl, line 1: not an object"),
    "number.jsonl": ('{"text": 5}\n', "line 1: no text under 'text'"),
    "column.csv": ("title,body\na,b\n", "line 2: no text under 'text'; its columns are title, body"),
    "cut.csv": ("a,b,text\n1,2\n", "cut.csv, line 2: 2 fields, but the header has 3"),
    "open.csv": ('text\n"abc', "open.csv, line 2: unexpected end"),
    "binary.txt": (b"PK\0\0\x01", "zero bytes"),
    "latin.txt": (b"caf\xe9", "not UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_with_its_place(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        list(documents(str(path)))


def test_nothing_to_read_is_one_line(tmp_path):
    with pytest.raises(UserError, match="neither news nor"):
        list(documents(str(tmp_path / "absent")))
    with pytest.raises(UserError, match="holds no file"):
        list(documents(str(tmp_path)))
    (tmp_path / "x.pdf").write_text("x")
    with pytest.raises(UserError, match="files end in"):
        list(documents(str(tmp_path / "x.pdf")))


def test_a_line_without_an_end_is_one_line(tmp_path, monkeypatch):
    from projects.pretrain_lm.data import sources

    monkeypatch.setattr(sources, "LARGEST_LINE", 100)
    (tmp_path / "long.jsonl").write_text('{"text": "' + "x" * 500 + '"}')
    with pytest.raises(UserError, match=r"long\.jsonl, line 1: longer than"):
        list(documents(str(tmp_path / "long.jsonl")))


# ---------------------------------------------------------------- filters


def test_characters_are_composed_and_spaces_are_spaces():
    raw = "e\u0301\u00a0a\tb\u200b\ufeff\r\nx  y\x07\r\r\r\rz\ufffd "
    assert characters(raw) == "é a b\nx y\n\nz"
    assert characters(characters(raw)) == characters(raw)


@pytest.mark.parametrize(
    "line", ["Share this with Facebook", "Read more: the bridge", "ADVERTISEMENT", "Image copyright AP", "© BBC 2017"]
)
def test_lines_of_the_page_go_and_lines_of_the_article_stay(line):
    text = f"The mayor shared his view.\n{line}\nHe read more than he said."
    assert boilerplate(text) == "The mayor shared his view.\nHe read more than he said."


def test_an_article_stays_as_it_is():
    assert clean(ARTICLE) == ARTICLE


DROPPED = {
    "too short": "The mayor said that it is of no use to have it.",
    "too long": ARTICLE + " and to the city" * 30_000,
    "not English": "El alcalde de la ciudad dijo ayer que el puente nuevo sobre el río se abrirá este año. " * 4,
    "unusual word length": "the of and to a in it is " * 20,
    "many symbols": ARTICLE + " #bridge" * 20,
    "few letters": ARTICLE + " 12 34" * 30,
    "repeated lines": "\n".join([ARTICLE, *["They will be in the city to see it."] * 4]),
    "repeated runs of words": ARTICLE + " " + " ".join(ARTICLE.split()[:30]),
}


@pytest.mark.parametrize("reason", DROPPED)
def test_each_filter_takes_what_it_is_for(reason):
    with pytest.raises(Dropped, match=f"^{reason}$"):
        clean(DROPPED[reason])


# ---------------------------------------------------------------- copies


def test_a_copy_is_one_whatever_its_case_and_punctuation():
    seen = Seen()
    assert not seen.copy(seen.digest(ARTICLE))
    assert seen.copy(seen.digest(ARTICLE.upper().replace(",", " ;")))
    assert not seen.copy(seen.digest(ARTICLE + " More."))


def test_signatures_estimate_the_similarity_of_the_runs():
    """Two texts that share their first 150 of 200 words: 146 of 246 runs of five are common."""
    estimates = []
    for seed in range(30):
        one, other = varied(seed).split(), varied(seed + 1000).split()
        mixed = one[:150] + other[150:]
        mine, theirs = signature(" ".join(one)), signature(" ".join(mixed))
        estimates.append(sum(a == b for a, b in zip(mine, theirs, strict=True)) / len(mine))
    assert sum(estimates) / len(estimates) == pytest.approx(146 / 246, abs=0.05)


def test_near_copies_are_found_and_others_are_not():
    seen = Seen()
    texts = [varied(seed) for seed in range(50)]
    assert not any(seen.near_copy(text) for text in texts)
    edited = [" ".join([*text.split()[:190], *varied(9000 + n, 10).split()]) for n, text in enumerate(texts)]
    assert sum(seen.near_copy(text) for text in edited) >= 49
    assert not any(seen.near_copy(varied(seed)) for seed in range(5000, 5050))


def test_the_same_text_has_the_same_signature_in_every_process():
    assert signature("one two three four five six")[:2] == signature("One two, three four five SIX")[:2]
    assert json.dumps(signature("a b c d e f"))  # plain integers
