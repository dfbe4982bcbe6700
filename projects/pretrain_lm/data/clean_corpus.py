"""From raw documents to shards of chunks: filter, drop copies, divide by document, learn a tokenizer, cut.

python -m projects.pretrain_lm.data.clean_corpus --dataset news --context 128
python -m projects.pretrain_lm.data.clean_corpus --dataset folder/of/texts --out runs/pretrain_lm/mine
python -m projects.pretrain_lm.data.clean_corpus --dataset one.txt --tokenizer char --context 64

Documents pass one at a time and are written in parts. A part is written atomically when it is whole; run again, the
command goes on behind the last one. Documents that tell one story form a group and stay together; the split of a group
is decided by a digest of its first document's words, so it stays the same when the corpus grows.
"""

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from projects.pretrain_lm.data.collator import Chunk
from projects.pretrain_lm.data.duplicates import Seen, stories
from projects.pretrain_lm.data.filters import Dropped, clean
from projects.pretrain_lm.data.shards import SHARD, chunks_of, write_shard
from projects.pretrain_lm.data.sources import Document, documents
from projects.pretrain_lm.data.tokenizer import (
    FILE,
    SMALLEST,
    CorpusTokenizer,
    Kind,
    describe_tokenizer,
    train_tokenizer,
)
from shared import checks
from shared.assets.news_articles import same_story
from shared.assets.splits import joined
from shared.assets.text import split_key
from shared.errors import UserError, command
from shared.files import is_temporary, read_json, refuse_unwritable, write_json, write_text
from shared.fingerprint.origin import data_digest
from shared.progress import table

SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}
PART = "part-{:05d}"
DIVIDED_BY = "group"  # stands in corpus.json, so that a folder that was divided otherwise is told apart
PIECE = 100_000  # characters into which a text that is divided by position is cut
FULLY_COMPARED = 1 << 26  # bytes of a corpus up to which stories are compared by every shingle


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Clean a corpus, learn a tokenizer and cut the texts into chunks."""

    dataset: str = "news"
    """news (embedded), a file (.txt, .md, .csv, .tsv, .jsonl) or a folder of such files."""
    text_column: str = "text"
    """Column of tables that holds the text."""
    limit: int | None = None
    """Read only so many documents; by default all."""
    tokenizer: Kind = "bpe"
    """bpe (byte-level, learned here) or char; char keeps the texts as they are and divides them by position."""
    vocabulary: int = 4096
    """Size of a BPE vocabulary, special tokens included."""
    context: int = 128
    """Tokens of a chunk."""
    part_size: int = 500
    """Raw documents of a part: what an interruption may cost, and the largest piece that is in memory."""
    out: Path = Path("runs/pretrain_lm/corpus")
    """Folder of the result."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 2, "context")
        checks.at_least(self, 1, "part_size", "limit")
        if self.tokenizer == "bpe":
            checks.at_least(self, SMALLEST, "vocabulary")


def main(config: CorpusConfig) -> dict[str, Any]:
    """Clean a corpus, learn a tokenizer and cut the texts into chunks. Returns the report."""
    require_same(config)
    with full_disk_reported(config.out):
        filter_documents(config)
        split_documents(config)
        tokenizer = trained_tokenizer(config)
        write_chunks(config, tokenizer)
        report = summarise(config, tokenizer)
        write_json(config.out / "report.json", report)
    show(report)
    return report


def require_same(config: CorpusConfig) -> None:
    """Write the settings of the corpus into its folder, or compare them with those that are there.

    Raises:
        UserError: If another corpus is in the folder.
    """
    path = config.out / "corpus.json"
    refuse_unwritable(config.out)
    settings = {k: v for k, v in asdict(config).items() if k != "out"} | {"division": DIVIDED_BY}
    settings = json.loads(json.dumps(settings))
    if not path.exists():
        if config.out.is_dir() and not all(map(is_temporary, config.out.iterdir())):
            raise UserError(f"{config.out} is in use and holds no corpus: choose another --out")
        if config.dataset != "news":
            next(documents(config.dataset, config.text_column), None)  # what is not there leaves no folder behind
        write_json(path, settings)
    saved = read_json(path)
    different = sorted(name for name in settings if saved.get(name) != settings[name])
    if different:
        raise UserError(f"{config.out} holds a corpus with another {', '.join(different)}: choose another --out")


@contextmanager
def full_disk_reported(folder: Path) -> Iterator[None]:
    """Turn a full disk inside the block into one line.

    Raises:
        UserError: If there is no space; what was finished before stays.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"{folder}: {error.strerror}; finished parts stay: make room and run the command again"
        ) from None


# ---------------------------------------------------------------- documents


def filter_documents(config: CorpusConfig) -> None:
    """Write documents/part-*.jsonl (what is kept) and part-*.json (what was dropped and why)."""
    folder = config.out / "documents"
    if (folder / "done.json").exists():
        return
    raw, seen, number = raw_documents(config), Seen(), 0
    while (folder / f"{PART.format(number)}.json").exists():
        restore_seen(folder / PART.format(number), seen)
        next(islice(raw, config.part_size, config.part_size), None)  # what this part was made of
        number += 1
    while part := list(islice(raw, config.part_size)):
        write_part(folder / PART.format(number), part, seen, keep_all=config.tokenizer == "char")
        number += 1
    if not number:
        raise UserError(f"--dataset {config.dataset}: holds no document")
    write_json(folder / "done.json", {"parts": number})


def raw_documents(config: CorpusConfig) -> Iterator[Document]:
    """The documents, or for characters their pieces by position, named by split."""
    for document in islice(documents(config.dataset, config.text_column), config.limit):
        if config.tokenizer == "bpe":
            yield document
            continue
        start = 0.0
        for split, share in SPLITS.items():
            begin, end = (round(place * len(document.text)) for place in (start, start + share))
            for at in range(begin, end, PIECE):
                yield Document(split, document.text[at : min(at + PIECE, end)])
            start += share


def write_part(stem: Path, part: list[Document], seen: Seen, *, keep_all: bool) -> None:
    """Filter one part; its .json is written last and says that the part is whole."""
    kept, dropped, digests, size = [], Counter[str](), [], 0
    for document in part:
        size += len(document.text.encode())
        if keep_all:
            kept.append({"name": document.name, "text": document.text})
            continue
        try:
            text = clean(document.text)
        except Dropped as reason:
            dropped[str(reason)] += 1
            continue
        digests.append(digest := seen.digest(text))
        if seen.copy(digest):
            dropped["copy"] += 1
        elif seen.near_copy(text):
            dropped["near copy"] += 1
        else:
            kept.append({"name": document.name, "text": text})
    lines = (json.dumps(row, ensure_ascii=False) for row in kept)
    write_text(stem.with_suffix(".jsonl"), "".join(f"{line}\n" for line in lines))
    counts = {"read": len(part), "bytes": size, "kept": len(kept), "dropped": dict(dropped), "digests": digests}
    write_json(stem.with_suffix(".json"), counts)


def restore_seen(stem: Path, seen: Seen) -> None:
    """Bring `seen` to where it was after a finished part."""
    for digest in read_json(stem.with_suffix(".json"))["digests"]:
        seen.copy(digest)
    for row in kept_documents(stem.with_suffix(".jsonl")):
        seen.near_copy(row["text"])


def kept_documents(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a part.

    Raises:
        UserError: If a line is cut.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except ValueError:
                raise UserError(f"{path}:{number}: no JSON; the file may be cut: remove the folder") from None


def split_documents(config: CorpusConfig) -> None:
    """Write documents/splits.json: the split of every kept document, in their order."""
    path = config.out / "documents" / "splits.json"
    if path.exists():
        return
    if config.tokenizer == "char":
        write_json(path, [row["name"] for row in rows_of(config)])
        return
    keep = shingle_sampling(config)
    own = [split_of(row["text"]) for row in rows_of(config)]
    contained = stories((row["text"] for row in rows_of(config)), keep)
    similar = same_story((row["text"] for row in rows_of(config)), keep=8 * keep)  # as the news' own groups were found
    links = [(str(number), str(a), str(b)) for number, (a, b) in enumerate(zip(contained, similar, strict=True))]
    write_json(path, [own[int(first)] for first in joined(links)])


def shingle_sampling(config: CorpusConfig) -> int:
    """One shingle in so many is compared: all in a small corpus, fewer in a large one, so that memory is bounded."""
    return 1 + sum(each["bytes"] for each in counts_of(config)) // FULLY_COMPARED


def split_of(text: str) -> str:
    """train, validation or test, by a digest of the words."""
    place = int.from_bytes(hashlib.sha256(b"split\n" + split_key(text).encode()).digest()[:8]) / 2**64
    for split, share in SPLITS.items():
        if place < share:
            return split
        place -= share
    return "train"


def parts(config: CorpusConfig) -> Iterator[Path]:
    """The finished parts, in order."""
    return iter(sorted((config.out / "documents").glob("part-*.jsonl")))


def counts_of(config: CorpusConfig) -> list[dict[str, Any]]:
    """What each finished part read, kept and dropped."""
    return [read_json(path.with_suffix(".json")) for path in parts(config)]


def rows_of(config: CorpusConfig) -> Iterator[dict[str, str]]:
    """Every kept document, in order."""
    for path in parts(config):
        yield from kept_documents(path)


def splits_of(config: CorpusConfig) -> list[str]:
    """The split of every kept document, in order."""
    return read_json(config.out / "documents" / "splits.json")


def texts_of(config: CorpusConfig, split: str) -> Iterator[str]:
    """Kept texts of a split."""
    for row, its in zip(rows_of(config), splits_of(config), strict=True):
        if its == split:
            yield row["text"]


# ---------------------------------------------------------------- tokens


def trained_tokenizer(config: CorpusConfig) -> CorpusTokenizer:
    """The tokenizer, trained if it is not there yet: merges on the training split, an alphabet on the whole text."""
    if not (config.out / FILE).exists():
        if next(texts_of(config, "train"), None) is None:
            raise UserError(f"--dataset {config.dataset}: the filters left no text to train on")
        splits = SPLITS if config.tokenizer == "char" else ("train",)  # any text has letters that come once
        texts = (text for split in splits for text in texts_of(config, split))
        train_tokenizer(texts, config.tokenizer, config.vocabulary).save(config.out)
    return CorpusTokenizer.load(config.out)


def write_chunks(config: CorpusConfig, tokenizer: CorpusTokenizer) -> None:
    """Write chunks/<split>/shard-*.jsonl, one a part, and chunks/part-*.json when a part is through.

    Raises:
        UserError: If all of the training texts are shorter than one chunk.
    """
    folder, first, splits = config.out / "chunks", 0, splits_of(config)
    for number, path in enumerate(parts(config)):
        rows = list(kept_documents(path))
        done = folder / f"{PART.format(number)}.json"
        if not done.exists():
            counts: dict[str, tuple[int, int]] = {}
            for split in SPLITS:
                texts = {at: row["text"] for at, row in enumerate(rows, start=first) if splits[at] == split}
                if chunks := list(chunked(config, tokenizer, texts)):
                    counts[split] = write_shard(folder / split / SHARD.format(number), chunks, tokenizer)
            write_json(done, counts)
        first += len(rows)
    if tokens(config, "train") < config.context:
        raise UserError(
            f"--dataset {config.dataset}: {tokens(config, 'train')} tokens to train on are fewer than one chunk of "
            f"{config.context}; lower --context or bring more text"
        )


def chunked(config: CorpusConfig, tokenizer: CorpusTokenizer, texts: dict[int, str]) -> Iterator[Chunk]:
    """The chunks of documents, given by their number."""
    for document, text in texts.items():
        ids = tokenizer.encode(text)
        yield from chunks_of(ids, document=document, context_length=config.context, end_id=tokenizer.end_id)


def tokens(config: CorpusConfig, split: str) -> int:
    """Tokens of a split's chunks."""
    found = (read_json(path) for path in (config.out / "chunks").glob("part-*.json"))
    return sum(counts[split][1] for counts in found if split in counts)


# ---------------------------------------------------------------- the report


def summarise(config: CorpusConfig, tokenizer: CorpusTokenizer) -> dict[str, Any]:
    """What was read, what each filter took, and what is left."""
    counts = counts_of(config)
    dropped = sum((Counter(each["dropped"]) for each in counts), Counter[str]())
    return {
        "dataset": Path(config.dataset).name,
        "read": sum(each["read"] for each in counts),
        "read_bytes": sum(each["bytes"] for each in counts),
        "kept": sum(each["kept"] for each in counts),
        "dropped": dict(sorted(dropped.items(), key=lambda item: -item[1])),
        "splits": {split: describe_split(config, split) for split in SPLITS},
        "digest": data_digest(*(texts_of(config, split) for split in SPLITS), [chunking_inputs(config)]),
        "tokenizer": describe_tokenizer(tokenizer, texts_of(config, "validation")),
    }


def describe_split(config: CorpusConfig, split: str) -> dict[str, int]:
    """How many documents, bytes, chunks and tokens a split has."""
    texts = list(texts_of(config, split))
    written = [read_json(path) for path in (config.out / "chunks").glob("part-*.json")]
    return {
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "chunks": sum(counts[split][0] for counts in written if split in counts),
        "tokens": tokens(config, split),
    }


def chunking_inputs(config: CorpusConfig) -> dict[str, Any]:
    """What decides the chunks beside the texts."""
    return {"tokenizer": (config.out / FILE).read_text(encoding="utf-8"), "context": config.context}


def show(report: dict[str, Any]) -> None:
    """Print the report."""
    columns = ["documents", "bytes", "chunks", "tokens"]
    rows = [(name, *(f"{part[column]:,}" for column in columns)) for name, part in report["splits"].items()]
    title = f"{report['dataset']}: {report['read']:,} documents read, {report['kept']:,} kept"
    table(title, ["split", *columns], rows)
    if report["dropped"]:
        table("Dropped, and why", ["reason", "documents"], list(report["dropped"].items()))
    about = report["tokenizer"]
    print(
        f"Tokenizer: {about['kind']}, {about['vocabulary']} tokens; held-out text takes {about['bytes_per_token']:.2f} "
        f"bytes a token, {about['tokens_per_word']:.2f} tokens a word\n"
    )


if __name__ == "__main__":
    command(main, CorpusConfig)
