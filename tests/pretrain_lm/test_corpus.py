"""The corpus: nothing lost, nothing twice, nothing shared between splits, and the same after any interruption."""

import json
import resource
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import torch

from projects.pretrain_lm.data import clean_corpus
from projects.pretrain_lm.data.clean_corpus import CorpusConfig, main, split_of
from projects.pretrain_lm.data.collator import CustomDataCollator
from projects.pretrain_lm.data.shards import PIECES, EpochChunks, batches, chunks_of, count_batches
from projects.pretrain_lm.data.tokenizer import CorpusTokenizer, describe_tokenizer, train_tokenizer
from projects.pretrain_lm.distributed import Process
from projects.pretrain_lm.models.transformer_lm import NO_LABEL
from shared.assets import news
from shared.assets.text import shingles
from shared.errors import UserError
from tests.pretrain_lm import conftest


def article(seed, words=80):
    return conftest.article(seed, words, end=", é.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """120 articles, 10 copies, 5 near copies and 7 fragments, in a JSONL file."""
    texts = [article(seed) for seed in range(120)]
    texts += [text.upper() for text in texts[:10]] + [text + " And more of it." for text in texts[20:25]]
    return conftest.write_jsonl(tmp_path_factory.mktemp("raw") / "raw.jsonl", texts + ["too short"] * 7)


@pytest.fixture(scope="module")
def cleaned(folder, tmp_path_factory):
    """The configuration of the corpus that is made from it, which no test may change."""
    config = config_of(folder, tmp_path_factory.mktemp("cleaned"))
    main(config)
    return config


def config_of(folder, tmp_path, **more):
    settings = {"vocabulary": 300, "context": 16, "part_size": 30, "out": tmp_path / "corpus", **more}
    return CorpusConfig(dataset=str(folder), **settings)


def contents(out):
    return {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_the_report_counts_every_document_once(folder, tmp_path, capsys):
    report = main(config_of(folder, tmp_path))
    assert report["read"] == 142
    assert report["dropped"] == {"copy": 10, "too short": 7, "near copy": 5}
    assert report["kept"] == 120 == sum(part["documents"] for part in report["splits"].values())
    assert "Dropped, and why" in capsys.readouterr().out


def test_every_token_is_predicted_exactly_once_and_the_text_comes_back(cleaned):
    tokenizer = CorpusTokenizer.load(cleaned.out)
    for split in clean_corpus.SPLITS:
        texts = list(clean_corpus.texts_of(cleaned, split))
        documents = {}
        for batch in EpochChunks(cleaned.out / "chunks" / split, batch_size=7):
            for chunk in batch:
                documents.setdefault(chunk.id // PIECES, []).append(chunk)
        written = []
        for _, pieces in sorted(documents.items()):
            ids = [pieces[0].ids[0], *(token for piece in pieces for token in piece.ids[1:])]
            assert ids[0] == ids[-1] == tokenizer.end_id
            assert all(len(piece.ids) == 16 for piece in pieces[:-1])
            written.append(tokenizer.decode(ids))
        assert written == texts


def test_splits_share_no_document_and_do_not_depend_on_what_else_is_there(cleaned):
    splits = {split: set(clean_corpus.texts_of(cleaned, split)) for split in clean_corpus.SPLITS}
    assert min(map(len, splits.values())) > 0
    assert sum(map(len, splits.values())) == len(set().union(*splits.values()))
    assert all(split_of(text.upper()) == split for split, texts in splits.items() for text in texts)


def test_shares_of_the_splits_are_those_asked_for():
    found = [split_of(article(seed)) for seed in range(4000)]
    assert abs(found.count("validation") - 200) < 60
    assert abs(found.count("test") - 200) < 60


@pytest.mark.parametrize("stage", ["write_part", "write_shard", "train_tokenizer"])
def test_an_interrupted_command_goes_on_and_ends_with_the_same_bytes(cleaned, folder, tmp_path, monkeypatch, stage):
    broken = config_of(folder, tmp_path, out=tmp_path / "broken")
    original, calls = getattr(clean_corpus, stage), []

    def killed(*arguments, **named):
        calls.append(1)
        if len(calls) == (1 if stage == "train_tokenizer" else 3):
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(clean_corpus, stage, killed)
    with pytest.raises(KeyboardInterrupt):
        main(broken)
    monkeypatch.setattr(clean_corpus, stage, original)
    main(broken)
    assert contents(broken.out) == contents(cleaned.out)


def test_a_full_disk_is_one_line_and_what_was_finished_stays(folder, tmp_path):
    """A real limit on a process: no file may become larger than 9,000 bytes; then it goes on without the limit."""
    words = ["--dataset", str(folder), "--vocabulary", "300", "--context", "16", "--part_size", "10"]
    words = [sys.executable, "-m", "projects.pretrain_lm.data.clean_corpus", *words, "--out", str(tmp_path / "corpus")]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2
    assert "make room and run the command again" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "corpus").rglob("*.tmp"))
    report = main(config_of(folder, tmp_path, part_size=10))
    assert report["kept"] == 120 and json.loads((tmp_path / "corpus" / "report.json").read_text()) == report


def test_another_corpus_in_the_folder_is_one_line(cleaned):
    with pytest.raises(UserError, match="another context"):
        main(replace(cleaned, context=32))


def test_a_corpus_smaller_than_a_chunk_or_without_a_kept_text_is_one_line(tmp_path):
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": article(3)}))
    with pytest.raises(UserError, match="fewer than one chunk of 4000"):
        main(config_of(tmp_path / "one.jsonl", tmp_path, context=4000))
    (tmp_path / "short.jsonl").write_text(json.dumps({"text": "short"}))
    with pytest.raises(UserError, match="left no text"):
        main(config_of(tmp_path / "short.jsonl", tmp_path, out=tmp_path / "b"))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no document"):
        main(config_of(tmp_path / "empty.jsonl", tmp_path, out=tmp_path / "c"))


def test_one_text_by_characters_is_divided_by_position(tmp_path):
    text = "".join(article(seed) + "\n" for seed in range(30))
    (tmp_path / "one.txt").write_text(text)
    config = config_of(tmp_path / "one.txt", tmp_path, tokenizer="char")
    report = main(config)
    joined = {split: "".join(clean_corpus.texts_of(config, split)) for split in clean_corpus.SPLITS}
    assert joined["train"] + joined["validation"] + joined["test"] == text
    assert report["splits"]["train"]["bytes"] == pytest.approx(0.9 * len(text.encode()), rel=0.01)
    assert report["tokenizer"]["vocabulary"] == len(set(joined["train"])) + 3


# ---------------------------------------------------------------- tokenizers


def test_byte_level_bpe_gives_back_any_text():
    tokenizer = train_tokenizer(iter([article(n) for n in range(20)]), "bpe", 300)
    for text in ("the mayor", "ñandú 漢字 \U0001f600\r\n\t  x", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer) == 300
    assert (tokenizer.pad_id, tokenizer.end_id, tokenizer.mask_id) == (0, 1, 2)
    assert min(tokenizer.encode("<pad><end>")) > 2  # what stands in a text is text


def test_words_begin_at_spaces():
    tokenizer = train_tokenizer(iter([article(n) for n in range(50)]), "bpe", 400)
    ids = tokenizer.encode("the mayor of the city.")
    starts = tokenizer.word_starts([tokenizer.end_id, *ids])
    assert sum(starts) == 1 + 5 + 1  # the end mark, five words, the full stop


def test_the_report_of_a_tokenizer_by_hand():
    tokenizer = train_tokenizer(iter(["ab c"]), "char", 0)
    found = describe_tokenizer(tokenizer, ["ab", "c a"])
    assert found == {
        "kind": "char",
        "vocabulary": 7,
        "bytes_per_token": 1,
        "tokens_per_word": 5 / 3,
        "used_on_held_out": 4,
    } | {"tokens_per_word": round(5 / 3, 4)}


def test_an_unknown_character_a_small_vocabulary_and_a_damaged_file_are_one_line(tmp_path):
    with pytest.raises(UserError, match="'z' is not in the vocabulary"):
        train_tokenizer(iter(["abc"]), "char", 0).encode("az")
    with pytest.raises(UserError, match="--vocabulary 10: at least 260"):
        train_tokenizer(iter(["abc"]), "bpe", 10)
    with pytest.raises(UserError, match="clean a corpus first"):
        CorpusTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"kind": "bpe", "tokenizer": {}}')
    with pytest.raises(UserError, match="no tokenizer"):
        CorpusTokenizer.load(tmp_path)


# ---------------------------------------------------------------- shards


@pytest.mark.parametrize(("length", "pieces"), [(0, 1), (14, 1), (15, 2), (29, 2), (100, 7)])
def test_chunks_overlap_by_one_and_cover_all(length, pieces):
    ids = list(range(10, 10 + length))
    found = list(chunks_of(ids, document=3, context_length=16, end_id=1))
    assert len(found) == pieces
    assert [chunk.id for chunk in found] == [3 * PIECES + n for n in range(pieces)]
    assert found[0].ids[:1] + [token for chunk in found for token in chunk.ids[1:]] == [1, *ids, 1]
    assert all(len(chunk.ids) >= 2 for chunk in found)


@pytest.fixture(scope="module")
def shards(cleaned):
    return cleaned.out / "chunks" / "train"


def ids_of(chunks):
    return [[chunk.id for chunk in batch] for batch in chunks]


def test_an_epoch_holds_every_chunk_once_in_an_order_of_its_own(shards):
    chunks = EpochChunks(shards, batch_size=1, seed=0)
    first, second = ids_of(chunks), ids_of(EpochChunks(shards, batch_size=1, seed=0, epoch=1))
    assert ids_of(chunks) == first
    assert second != first
    assert sorted(second) == sorted(first) == sorted(ids_of(EpochChunks(shards, batch_size=1)))
    assert count_batches(shards, 1) == len(first)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_read_the_batches_of_one(shards, world):
    alone = ids_of(EpochChunks(shards, batch_size=2 * world, seed=5))
    every = [Process(rank, world) for rank in range(world)]
    parts = [ids_of(EpochChunks(shards, batch_size=2, seed=5, process=process)) for process in every]
    assert [count_batches(shards, 2, process) for process in every] == list(map(len, parts))
    together = [sorted(sum(batch, [])) for batch in zip(*parts, strict=False)]  # noqa: RUF017
    assert together == [sorted(batch) for batch in alone]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_neither_order_nor_masks(shards, workers):
    def read(count):
        collator = CustomDataCollator("dynamic", vocab_size=300, pad_id=0, mask_id=2, special_ids=(1,))
        return list(batches(EpochChunks(shards, batch_size=4, seed=0), collator, workers=count))

    for one, other in zip(read(0), read(workers), strict=True):
        assert torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(one.labels, other.labels)
        assert (one.labels != NO_LABEL).any()


def test_a_resumed_epoch_goes_on_with_the_next_batch(shards):
    whole, resumed = (EpochChunks(shards, batch_size=4, seed=0, skip=skip) for skip in (0, 5))
    assert ids_of(resumed) == ids_of(whole)[5:]


def test_a_cut_shard_is_one_line_with_its_place(shards, tmp_path):
    cut = shutil.copytree(shards, tmp_path / "train")
    path = sorted(cut.glob("*.jsonl"))[0]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3][:20]]))
    with pytest.raises(UserError, match=r"shard-00000.jsonl:4: no chunk"):
        list(EpochChunks(cut, batch_size=4))
    with pytest.raises(UserError, match="holds no shards"):
        EpochChunks(shards / "absent", batch_size=4)


def told_again(seed):
    """A later report of the same story: two fifths of the words are kept, and most of the rest is new."""
    return " ".join(article(seed).split()[:50]) + " " + article(10_000 + seed, words=40)


def test_documents_that_tell_one_story_stay_together(tmp_path):
    stories = [(article(seed), told_again(seed)) for seed in range(60)]
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for pair in stories for text in pair))
    config = config_of(path, tmp_path)
    report = main(config)
    assert report["kept"] == 120, "they are no near copies"
    split = {text: name for name in clean_corpus.SPLITS for text in clean_corpus.texts_of(config, name)}
    assert all(split[first] == split[second] == split_of(first) for first, second in stories)
    assert len({split[first] for first, _ in stories}) == 3


def test_a_note_that_a_long_article_takes_up_stays_with_it(tmp_path):
    notes = [article(seed, words=60) for seed in range(60)]
    long = [article(1000 + seed, words=500) + " " + " ".join(note.split()[:30]) for seed, note in enumerate(notes)]
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in notes + long))
    config = config_of(path, tmp_path)
    assert main(config)["kept"] == 120
    split = {text: name for name in clean_corpus.SPLITS for text in clean_corpus.texts_of(config, name)}
    assert all(split[note] == split[whole] == split_of(note) for note, whole in zip(notes, long, strict=True))


def test_no_story_of_the_news_is_on_both_sides(tmp_path):
    """By the groups that the corpus itself carries, not by our own search for them."""
    config = CorpusConfig(dataset="news", out=tmp_path / "news")
    clean_corpus.filter_documents(config)
    clean_corpus.split_documents(config)
    group = {row["link"]: row["group"] for rows in news().values() for row in rows}
    sides = defaultdict(list)
    for row, split in zip(clean_corpus.rows_of(config), clean_corpus.splits_of(config), strict=True):
        sides[group[row["name"]]].append(split)
    several = [splits for splits in sides.values() if len(splits) > 1]
    assert len(several) == 50
    assert all(len(set(splits)) == 1 for splits in several)
    assert leaked(config) == []


def leaked(config):
    """Held-out articles of which one training article holds over a fifth of the runs of five words."""
    both = list(zip(clean_corpus.rows_of(config), clean_corpus.splits_of(config), strict=True))
    held_out = [shingles(row["text"], 5) for row, split in both if split != "train"]
    holders = defaultdict(list)
    for place, runs in enumerate(held_out):
        for run in runs:
            holders[run].append(place)
    found = set()
    for row in (row for row, split in both if split == "train"):
        common = Counter(place for run in shingles(row["text"], 5) for place in holders.get(run, ()))
        found |= {place for place, count in common.items() if count > 0.2 * len(held_out[place])}
    return sorted(found)


def test_a_folder_that_was_divided_otherwise_is_refused(folder, tmp_path):
    config = config_of(folder, tmp_path)
    clean_corpus.require_same(config)
    made = json.loads((config.out / "corpus.json").read_text())
    del made["division"]
    (config.out / "corpus.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match="another division"):
        main(config)


def test_memory_of_the_grouping_is_bounded_by_sampling(tmp_path, monkeypatch):
    config = config_of(tmp_path, tmp_path)
    for read, one_in in ((1_000, 1), (1 << 26, 2), (1 << 30, 17)):
        monkeypatch.setattr(clean_corpus, "counts_of", lambda _, read=read: [{"bytes": read}])
        assert clean_corpus.shingle_sampling(config) == one_in
