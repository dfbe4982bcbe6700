"""The `adapters` library beside ours: same MiniLM, same TREC batches, same candidate rates, its own choice among them.

    python -m projects.adapters.experiments --task peers          builds build/adapters-peers once, and trains

The library pins transformers 4.57, which does not fit our environment, so it lives in a virtual environment of its own,
with the torch that is installed here: another one is refused before anything is downloaded.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from projects.adapters.assembly import read_corpus, read_encoder
from projects.adapters.config import Config
from projects.adapters.data import Batch, Corpus
from projects.adapters.evaluate import score_texts
from shared import devices
from shared.assets import resolve_model
from shared.errors import UserError
from shared.files import write_json, write_text
from shared.progress import table, track
from shared.runs import Run, read_json
from shared.study import complete

LIBRARY = "adapters==1.3.0"
HOME = Path("build/adapters-peers")
WORKER = Path(__file__).with_name("peer_worker.py")
LOG_EVERY = 5  # steps whose mean loss is one line of the log, as in our own runs


def compare(runs: Path, candidates: Sequence[Config], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Train the library's adapters where ours were: the candidate that is best on validation, with every seed.

    Args:
        runs: Where the runs are kept.
        candidates: Runs of ours with the first seed that differ in the rate.
        seeds: Of the chosen candidate's repetitions.

    Returns:
        A row a run; those of the chosen rate have final = 1.
    """
    tried = [(base, run_seed(runs, base, seeds[0])) for base in candidates]
    chosen, _ = max(tried, key=lambda each: each[1]["validation_score"])
    rows = [run_seed(runs, chosen, seed) for seed in track(seeds, description="library's adapters", total=len(seeds))]
    cells = [[row["seed"], row["lr"], row["accuracy"], row["macro_f1"], row["trained"]] for row in rows]
    table(f"{LIBRARY}, {chosen.dataset}", ["seed", "rate", "test accuracy", "macro-F1", "trained"], cells)
    return [
        *({**row, "final": 0} for base, row in tried if base is not chosen),
        *({**row, "final": 1} for row in rows),
    ]


def run_seed(runs: Path, base: Config, seed: int) -> dict[str, Any]:
    """One seed, unless it is done. Its losses and scores go into a run like those of our own. Returns its row."""
    ours = replace(base, seed=seed)
    corpus = read_corpus(ours, read_encoder(ours)[1])

    def train(place: Path, _: bool) -> None:
        record(place, ours, corpus, answer_of(environment(), job_of(ours, corpus)))

    directory = complete(runs / cell_name(base, seed), ours, train, project="adapters", data=corpus.digest())
    row = {
        "cell": directory.name,
        "arm": "peer",
        "size": ours.bottleneck,
        "dataset": ours.dataset,
        "lr": ours.lr,
        "seed": seed,
    }
    found = read_json(directory / "result.json")
    return {**row, "score": found["accuracy"], **found}


def cell_name(base: Config, seed: int) -> str:
    """Of a run's directory."""
    return f"{base.dataset}-peer-lr{base.lr:g}-seed{seed}"


def environment() -> Path:
    """The Python of the library's environment, which is made if it is not there.

    Raises:
        UserError: If pip would install another torch than ours, or cannot install the library.
    """
    python = HOME / "bin" / "python"
    if (HOME / ".ready").exists():
        return python
    said([sys.executable, "-m", "venv", "--clear", str(HOME)])
    wanted = [f"torch=={torch.__version__.split('+')[0]}", LIBRARY, "numpy"]
    proposed = torch_in(pip(python, "install", "--dry-run", "--quiet", "--report", "-", *wanted))
    if proposed != torch.__version__:
        raise UserError(f"pip proposes torch {proposed}, not {torch.__version__}: not installed; use our torch's index")
    pip(python, "install", "--quiet", *wanted)
    write_text(HOME / ".ready", f"{LIBRARY}\n")
    return python


def pip(python: Path, *words: str) -> str:
    """What pip prints. Raises as `said`."""
    return said([str(python), "-m", "pip", "--disable-pip-version-check", *words])


def said(command: list[str]) -> str:
    """What a command prints.

    Raises:
        UserError: With its last line, if it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UserError(f"{' '.join(command[1:3])} could not prepare {HOME}: {last}")
    return done.stdout


def torch_in(report: str) -> str:
    """The version of torch in the report of a dry run of pip.

    >>> torch_in('{"install": [{"metadata": {"name": "torch", "version": "2.13.0+cpu"}}]}')
    '2.13.0+cpu'
    """
    chosen = json.loads(report[report.index("{") :])["install"]
    return next((each["metadata"]["version"] for each in chosen if each["metadata"]["name"] == "torch"), "none")


def job_of(config: Config, corpus: Corpus) -> dict[str, Any]:
    """All that the worker needs, as JSON values: the very batches of our run of this configuration."""
    epochs = [
        [as_lists(batch) for batch in corpus.train.shuffled(config.batch_size, seed=config.seed, epoch=epoch)]
        for epoch in range(config.epochs)
    ]
    same = ("bottleneck", "dropout", "lr", "head_lr", "weight_decay", "warmup", "max_norm", "seed")
    return {
        **{name: getattr(config, name) for name in same},
        "model": str(resolve_model(config.model)),
        "classes": len(corpus.classes),
        "epochs": epochs,
        "validation": corpus.validation.tokens,
        "validation_labels": corpus.validation.labels,
        "test": corpus.test.tokens,
        "threads": devices.use_all_cores(),
    }


def as_lists(batch: Batch) -> list[Any]:
    """Ids, mask and labels of a batch."""
    return [batch.input_ids.tolist(), batch.attention_mask.tolist(), batch.labels.tolist()]


def answer_of(python: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Run the worker on a job, in the library's environment.

    Raises:
        UserError: With the last line that it said, if it fails.
    """
    asked, answered = HOME / "job.json", HOME / "result.json"
    write_json(asked, job)
    words = [str(python), "-P", str(WORKER), "train", str(asked), str(answered)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the library's run failed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
    return read_json(answered)


def record(directory: Path, config: Config, corpus: Corpus, found: dict[str, Any]) -> None:
    """Write what the worker answered as a run: losses, validation and test scores in its log."""
    gold, predicted = torch.tensor(corpus.test.labels), torch.tensor(found["answers"])
    tested = score_texts(predicted, gold, len(corpus.classes))
    losses = found["losses"]
    with Run(directory, project="adapters", config=config, data=corpus.digest()) as run:
        for end in range(LOG_EVERY, len(losses) + 1, LOG_EVERY):
            run.log(end, loss=sum(losses[end - LOG_EVERY : end]) / LOG_EVERY)
        run.log(len(losses), validation_score=found["validation"])
        run.log(len(losses), **tested.named("test"))
    result = {"accuracy": tested.accuracy, "macro_f1": tested.macro_f1, "validation_score": found["validation"]}
    sizes = {name: found[name] for name in ("trained", "parameters", "seconds")}
    write_json(directory / "result.json", {**result, **sizes, "steps": len(losses)})
