"""Data sets from files of one's own, from names that mean nothing, and from the hub."""

import hashlib
import json
import os

import pytest

import shared.assets as assets
from shared.assets.records import read_records
from shared.assets.tables import read_table
from shared.assets.text import text_key
from shared.errors import UserError

# ---------------------------------------------------------------- files of one's own


def write(path, rows, header="text,label"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


ROWS = [
    f"{word} number {number} stands here,{'ab'[number % 2]}"
    for number, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "elf", "elm", "ash", "oak"] * 2
    )
]


def test_a_csv_file_is_divided_like_a_corpus(tmp_path, capsys):
    name = write(tmp_path / "own.csv", [*ROWS, ROWS[0].upper().replace(",A", ",a"), "twice said,a", "Twice said!,b"])
    data = assets.load_dataset(name)
    left_out = len(ROWS) + 3 - len({text_key(row[:-2]) for row in ROWS})
    assert f"own.csv: {left_out} of {len(ROWS) + 3} rows are copies and are left out" in capsys.readouterr().err
    texts = [text for part in data.values() for text in part["text"]]
    assert sorted(map(text_key, texts)) == sorted({text_key(row[:-2]) for row in ROWS})
    assert data["train"].features["label"].names == ["a", "b"]
    assert all(set(part["label"]) == {0, 1} for part in data.values())
    assert {split: part[:] for split, part in data.items()} == {
        split: part[:] for split, part in assets.load_dataset(name).items()
    }


def test_every_format_gives_the_same_splits(tmp_path):
    records = [dict(zip(("body", "kind"), row.rsplit(",", 1), strict=True)) for row in ROWS]
    files = {
        "a.csv": "﻿body,kind\r\n" + "\r\n".join(ROWS),
        "a.tsv": "body\tkind\n" + "\n".join(row.replace(",", "\t") for row in ROWS),
        "a.jsonl": "\n\n".join(json.dumps(record) for record in records),
        "a.json": json.dumps(records),
    }
    seen = set()
    for file, content in files.items():
        (tmp_path / file).write_bytes(content.encode())
        data = assets.load_dataset(str(tmp_path / file), text_column="body", label_column="kind")
        seen.add(repr({split: part[:] for split, part in data.items()}))
    assert len(seen) == 1


def test_the_groups_of_a_file_are_honoured(tmp_path):
    rows = [f"{hashlib.md5(bytes([number])).hexdigest()},{'ab'[number % 2]},g{number // 4}" for number in range(120)]
    data = assets.load_dataset(write(tmp_path / "own.csv", rows, "text,label,group"))
    origin = {row.split(",")[0]: row.split(",")[2] for row in rows}
    found = [{origin[text] for text in part["text"]} for part in data.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nfine,a\n,b\n", "{path}, line 3: 'text' is empty or no text"),
        ("text,label\nfine,a\nfine too,\n", "{path}, line 3: 'label' is empty or no label"),
        ("text,label\nfine,a\nfine,too,b\n", "{path}, line 3: 3 fields, but the header has 2"),
        ('text,label\nfine,a\n"never closed,b\nmore,a\n', "{path}, line 3: unexpected end of data"),
        ("body,label\nfine,a\n", "--dataset {path}, line 2: no column 'text'; its columns are body, label"),
        ("text,label\n", "--dataset {path}: the file holds no rows"),
        ("", "--dataset {path}: the file holds no rows"),
        (
            "text,label\n" + "".join(f"t{number},a\n" for number in range(30)),
            "--dataset {path}: the label column holds only 'a'; classification takes two classes or more",
        ),
        ("text,label\none,a\ntwo,b\n", "--dataset {path}: 2 different texts or groups, but three splits take 10"),
        (b"text,label\nfine,a\nna\xefve,b\n", "{path}, line 3: not UTF-8; save the file in that encoding"),
        ("text,label\n" + "x" * 1_000_001 + ",a\n", "{path}, line 2: longer than 1 MB; is this a file of texts?"),
    ],
)
def test_mistakes_in_a_csv_file_are_named(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        assets.load_dataset(str(path))
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".jsonl", '{"text": "fine", "label": "a"}\n{"text": \n', "{path}, line 2: not JSON (Expecting value)"),
        (".jsonl", '["fine", "a"]\n', "{path}, line 1: not an object with named columns"),
        (".jsonl", '{"text": "fine", "label": null}\n', "{path}, line 1: 'label' is empty or no label"),
        (".jsonl", "[" * 100_000, "{path}, line 1: not JSON (nested too deeply)"),
        (
            ".json",
            '{"text": "fine"}',
            "{path}: not a list of objects; write [{{...}}, ...] or one object a line in a .jsonl file",
        ),
        (
            ".json",
            '[{"text": "fine", "label": 1}, {"text": 3, "label": 1}]',
            "{path}, record 2: 'text' is empty or no text",
        ),
    ],
)
def test_mistakes_in_a_json_file_are_named(tmp_path, suffix, content, message):
    path = tmp_path / f"own{suffix}"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        assets.load_dataset(str(path))
    assert str(caught.value) == message.format(path=path)


# ---------------------------------------------------------------- names that mean nothing, and the hub

ALTERNATIVES = (
    "use one of film_articles, film_reviews, movie_reviews, news, product_reviews, trec, a file, "
    "or a hub id with HF_HUB_OFFLINE=0"
)


@pytest.mark.parametrize(
    ("name", "middle"),
    [("trecc", "(did you mean trec?) "), ("nobody/nothing", ""), ("zzz", "")],
)
def test_an_unknown_data_set_names_what_there_is(name, middle):
    with pytest.raises(UserError) as caught:
        assets.load_dataset(name)
    assert str(caught.value) == (
        f"--dataset {name}: neither embedded {middle}nor a .csv/.tsv/.jsonl/.json file, nor given by the hub; "
        f"{ALTERNATIVES}"
    )


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"^--dataset nowhere/own\.csv: no such file$"):
        assets.load_dataset("nowhere/own.csv")


def test_columns_of_an_embedded_set_can_be_chosen():
    data = assets.load_dataset("product_reviews", label_column="sentence")
    assert data["train"].features["label"].names[:3] == ["1", "10", "11"]
    assert "sentence" not in data["train"].column_names
    with pytest.raises(UserError, match=r"^--dataset trec: no column 'tag'; its columns are text, label, fine, group$"):
        assets.load_dataset("trec", label_column="tag")
    with pytest.raises(UserError, match=r"^--dataset movie_reviews: the column 'score' holds no classes but "):
        assets.load_dataset("movie_reviews", label_column="score")


def test_a_hub_set_keeps_its_test_and_gets_what_it_lacks(monkeypatch):
    import datasets

    features = datasets.Features(sentence=datasets.Value("string"), y=datasets.ClassLabel(names=["no", "yes"]))
    train = [f"{hashlib.md5(bytes([number])).hexdigest()} words" for number in range(200)]
    test = [train[0].upper(), "held out", "unlabelled"]
    hub = datasets.DatasetDict(
        train=datasets.Dataset.from_dict({"sentence": train, "y": [n % 2 for n in range(200)]}, features=features),
        test=datasets.Dataset.from_dict({"sentence": test, "y": [0, 1, -1]}, features=features),
    )
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: asked.append(names) or hub)
    data = assets.load_dataset("owner/set:part", text_column="sentence", label_column="y")
    assert asked == [("owner/set", "part")]
    assert list(data) == ["train", "validation", "test"]
    assert [part.num_rows for part in data.values()] == [179, 20, 2]
    assert data["test"]["text"] == test[:2]  # the set's own, unlabelled row aside
    assert train[0] not in data["train"]["text"][:] + data["validation"]["text"][:]
    assert data["test"].features["label"].names == ["no", "yes"]
    del hub["test"]
    assert list(assets.load_dataset("owner/set", text_column="sentence", label_column="y")) == list(data)
    del hub["train"]
    hub["other"] = []
    with pytest.raises(UserError, match=r"^--dataset owner/set: no split called train; its splits are other$"):
        assets.load_dataset("owner/set", text_column="sentence", label_column="y")


# ---------------------------------------------------------------- what people really have

ODD = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven"  # characters that str.splitlines takes for line ends


def records(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return list(read_records(path))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_end_at_line_ends_only(tmp_path, end, mark):
    row = {"text": ODD, "label": "a"}
    files = {
        "a.csv": end.join(["text,label", f"{ODD},a", ""]),
        "a.tsv": end.join(["text\tlabel", f"{ODD}\ta", ""]),
        "a.jsonl": end.join([json.dumps(row, ensure_ascii=False), ""]),
        "a.json": json.dumps([row], ensure_ascii=False),
    }
    for name, content in files.items():
        assert [found for _, found in records(tmp_path / name, mark + content)] == [row], name


@pytest.mark.parametrize(
    ("field", "read"),
    [
        ('"So it goes', '"So it goes'),
        ('"Good," he said', '"Good," he said'),
        ('"Good," he said, "bye"', '"Good," he said, "bye"'),
        ('"He said ""good"""', 'He said "good"'),
        ('"', '"'),
        ('""', ""),
    ],
)
def test_a_tsv_text_may_begin_with_a_quote(tmp_path, field, read):
    rows = [found for _, found in records(tmp_path / "a.tsv", f"text\tlabel\n{field}\ta\nnext\tb\n")]
    assert rows == [{"text": read, "label": "a"}, {"text": "next", "label": "b"}]


def test_a_field_may_be_as_long_as_a_line(tmp_path):
    long = "x" * 900_000
    assert records(tmp_path / "a.csv", f"text,label\n{long},a\n") == [("line 2", {"text": long, "label": "a"})]
    over = '"' + f"{'x' * 500_000}\n" * 3 + '"'
    with pytest.raises(UserError, match="line 2: field larger than field limit"):
        records(tmp_path / "b.csv", f"text,label\n{over},a\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "\\ud800", "label": "a"}\n', "line 1: holds half a surrogate pair"),
        ("nul.jsonl", '{"text": "a\\u0000b", "label": "a"}\n', "line 1: holds half a surrogate pair or a zero byte"),
        ("nul.csv", "text,label\na\0b,a\n", "line 2: not UTF-8 text: it holds zero bytes"),
        ("inf.jsonl", '{"text": "x", "label": Infinity}\n', "line 1: not JSON .Infinity is no value of JSON"),
        ("inf.json", '[{"text": "x", "label": -Infinity}]', "line 1: not JSON .-Infinity is no value of JSON"),
        ("b.jsonl", '{"text": "x"}\n{"text": "\ud800"}\n', "line 2: not UTF-8"),
        ("c.json", '[{"text": "\\udfff"}]', "record 1: holds half a surrogate pair"),
        ("d.csv", "text,label\n\udc80,a\n", "line 2: not UTF-8"),
        ("e.tsv", b"text\tlabel\ngood\ta\ncaf\xe9\ta\n", "line 3: not UTF-8"),
    ],
)
def test_what_is_no_text_is_one_line_with_its_place(tmp_path, name, content, message):
    with pytest.raises(UserError, match=rf"{name}, {message}"):
        records(tmp_path / name, content)


@pytest.mark.parametrize("label", ["NaN", "null", '"nan"', '" "'])
def test_a_label_that_stands_for_none_is_refused(tmp_path, label):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "fine", "label": "a"}\n{"text": "good", "label": ' + label + "}\n")
    with pytest.raises(UserError, match="line 2: 'label' is empty or no label"):
        assets.load_dataset(str(path))


@pytest.mark.parametrize("group", ["NaN", "null", '""', '" "', '"nan"'])
def test_rows_without_a_group_are_not_one_group(tmp_path, group):
    path = tmp_path / "own.jsonl"
    texts = (hashlib.md5(bytes([number])).hexdigest() for number in range(40))
    path.write_text("".join(f'{{"text": "{text}", "label": "a", "group": {group}}}\n' for text in texts))
    assert all("group" not in row for row in read_table(path, "text", "label"))


def test_two_columns_of_one_name_and_what_is_no_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="line 1: two columns are called 'text'"):
        records(tmp_path / "a.csv", "text,text,label\nx,y,a\n")
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(UserError, match="is no file"):  # instead of waiting for somebody to write
        list(read_records(tmp_path / "b.csv"))
