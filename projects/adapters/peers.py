"""The `adapters` library beside ours: same MiniLM, same TREC batches, same candidate rates, its own choice among them.

The library pins transformers 4.57, which does not fit our environment, so it lives in a virtual environment of its own
(build/adapters-peers, made once by the first run), with the torch that is installed here: another one is refused before
anything is downloaded.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from projects.adapters.arms import read_corpus, read_encoder
from projects.adapters.config import Config
from projects.adapters.data import Batch, Corpus
from projects.adapters.evaluate import score_texts
from shared import devices
from shared.assets import resolve_model
from shared.errors import UserError
from shared.files import write_json, write_text
from shared.runs import Run, read_json

LIBRARY = "adapters==1.3.0"
HOME = Path("build/adapters-peers")
WORKER = Path(__file__).with_name("peer_worker.py")
LOG_EVERY = 5  # steps whose mean loss is one line of the log, as in our own runs


@dataclass(frozen=True, kw_only=True)
class PeerConfig(Config):
    """A run of ours, given to the library: the same settings and the same data."""

    @property
    def arm(self) -> str:
        """Told apart from our own adapters of these settings."""
        return "peer"


def train(config: PeerConfig) -> None:
    """Train the library's adapters on the batches of our run; losses and scores go into a run like our own."""
    corpus = read_corpus(config, read_encoder(config)[1])
    record(config, corpus, answer_of(environment(), job_of(config, corpus)))


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


def record(config: Config, corpus: Corpus, found: dict[str, Any]) -> None:
    """Write what the worker answered as a run: losses, validation and test scores in its log."""
    assert config.out is not None
    gold, predicted = torch.tensor(corpus.test.labels), torch.tensor(found["answers"])
    tested = score_texts(predicted, gold, len(corpus.classes))
    losses, sizes = found["losses"], {name: found[name] for name in ("trained", "parameters", "seconds")}
    with Run(config.out, project="adapters", config=config, data=corpus.digest()) as run:
        for end in range(LOG_EVERY, len(losses) + 1, LOG_EVERY):
            run.log(end, loss=sum(losses[end - LOG_EVERY : end]) / LOG_EVERY)
        run.log(len(losses), validation_score=found["validation"])
        run.log(len(losses), **tested.named("test"), **sizes)
    result = {"accuracy": tested.accuracy, "macro_f1": tested.macro_f1, "validation_score": found["validation"]}
    write_json(config.out / "result.json", {**result, **sizes, "steps": len(losses)})
