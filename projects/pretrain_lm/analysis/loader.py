"""What reading batches costs: peak memory at 1, 4 and 16 times the corpus, and chunks a second.

The corpus is repeated with changed words: every copy's tokens are other ones, so nothing can be shared between copies.
Each size is read by a process of its own, which does nothing else.

python -m projects.pretrain_lm.analysis.loader --corpus runs/pretrain_lm/corpora/news-bpe4096-c128
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.collator import CustomDataCollator
from projects.pretrain_lm.data.shards import ALONE, SHARD, EpochChunks, batches
from projects.pretrain_lm.data.tokenizer import SPECIAL, CorpusTokenizer
from projects.pretrain_lm.train_pretrain import new_state, prepare_corpus, read_corpus, train_step
from shared import devices
from shared.devices import peak_memory_mb
from shared.errors import UserError, command
from shared.progress import table, track

COPIES = (1, 4, 16)
WARM_UP = 3  # batches beside the model that are not counted: the first reads a shard and makes the optimizer's state
STRIDE = 389  # how far a copy moves every token: prime, so that copies differ in each


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """Read a corpus once in batches, at several sizes, and measure memory and speed."""

    corpus: Path = Path("runs/pretrain_lm/corpora/news-bpe4096-c128")
    """Folder of a cleaned corpus."""
    batch_size: int = 16
    """Chunks a batch."""
    read: bool = False
    """Only read this corpus once, and print the cost as JSON; each measuring process is started with it."""


def main(config: LoaderConfig) -> list[dict[str, Any]]:
    """Measure the loader at 1, 4 and 16 times the corpus."""
    if config.read:
        sys.stdout.write(json.dumps(read(config)) + "\n")
        return []
    if not (config.corpus / "report.json").exists():
        raise UserError(f"{config.corpus} holds no cleaned corpus: make one first (clean_corpus)")
    rows = []
    with tempfile.TemporaryDirectory(dir=config.corpus.parent) as scratch:
        for copies in track(COPIES, description="corpus sizes", total=len(COPIES)):
            folder = Path(scratch) / str(copies)
            repeat(config.corpus, folder, copies)
            rows.append({"copies": copies, **measured(folder, config.batch_size)})
            shutil.rmtree(folder)
    for row in rows:
        row["over_one"] = round(row["peak_mb"] / rows[0]["peak_mb"], 4)
    show(rows)
    return rows


def repeat(corpus: Path, folder: Path, copies: int) -> None:
    """Write a corpus of so many copies of the training chunks, each with other tokens."""
    tokenizer = CorpusTokenizer.load(corpus)
    tokenizer.save(folder)
    ordinary = len(tokenizer) - len(SPECIAL)
    target, number = folder / "chunks" / "train", 0
    target.mkdir(parents=True)
    for copy in range(copies):
        other = [moved(token, copy, ordinary) for token in range(len(tokenizer))]
        for path in sorted((corpus / "chunks" / "train").glob("shard-*.jsonl")):
            with path.open(encoding="utf-8") as file, (target / SHARD.format(number)).open("w") as out:
                for line in file:
                    row = json.loads(line)
                    row["ids"] = [other[token] for token in row["ids"]]
                    out.write(json.dumps(row) + "\n")
            number += 1


def moved(token: int, copy: int, ordinary: int) -> int:
    """The token that replaces it in a copy; special ones stay."""
    first = len(SPECIAL)
    return token if token < first else first + (token - first + copy * STRIDE) % ordinary


def measured(folder: Path, batch_size: int) -> dict[str, Any]:
    """Tokens, peak memory and speed of a fresh process that reads the corpus."""
    words = ["--corpus", str(folder), "--batch_size", str(batch_size), "--read"]
    done = subprocess.run(
        [sys.executable, "-m", "projects.pretrain_lm.analysis.loader", *words], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"the reading process ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return json.loads(done.stdout)


def read(config: LoaderConfig) -> dict[str, Any]:
    """Read one shuffled epoch of causal batches."""
    tokenizer = CorpusTokenizer.load(config.corpus)
    collator = CustomDataCollator("causal", vocab_size=len(tokenizer), pad_id=tokenizer.pad_id)
    chunks = EpochChunks(config.corpus / "chunks" / "train", batch_size=config.batch_size, seed=0)
    tokens, started = 0, time.process_time()
    for batch in batches(chunks, collator):
        tokens += batch.input_ids.numel() if batch.attention_mask is None else int(batch.attention_mask.sum())
    seconds = time.process_time() - started
    return {"tokens": tokens, "peak_mb": round(peak_memory_mb(), 1), "tokens_per_second": round(tokens / seconds)}


def consume(config: Config, count: int) -> list[dict[str, Any]]:
    """Tokens a second that the loader gives and that training takes, over so many batches in turn."""
    devices.use_all_cores()
    prepare_corpus(config)
    corpus = read_corpus(config)
    state = new_state(config, corpus, ALONE)
    stream = corpus.training_batches(config, ALONE, epoch=0)
    loading, training, tokens = 0.0, 0.0, 0
    for number in track(range(count + WARM_UP), description="loader and model", total=count + WARM_UP):
        start = time.perf_counter()
        batch = next(stream)
        loaded = time.perf_counter()
        train_step(config, state, batch, ALONE)
        if number >= WARM_UP:
            loading += loaded - start
            training += time.perf_counter() - loaded
            tokens += batch.input_ids.numel()
    speeds = {"loader": tokens / loading, "model": tokens / training}
    return [
        {"what": what, "tokens_per_second": round(speed), "over_model": round(speed / speeds["model"], 3)}
        for what, speed in speeds.items()
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """Print a row a size."""
    columns = ["copies", "tokens", "peak memory", "over one copy", "tokens a second (CPU time)"]
    cells = [
        (
            r["copies"],
            f"{r['tokens']:,}",
            f"{r['peak_mb']:.0f} MB",
            f"{r['over_one']:.3f}",
            f"{r['tokens_per_second']:,}",
        )
        for r in rows
    ]
    table("Reading a corpus once", columns, cells)


if __name__ == "__main__":
    command(main, LoaderConfig)
