"""What the attacks are tried on: a small tree of runs and results, made by two teams with keys of one course.

runs/lora/main/         the run under attack: log, configuration, events, two checkpoints
runs/lora/older/        an older run of the same team
projects/lora/results/  runs.csv and summary.csv, sealed and citing the two runs
aside/                  what an attacker may take from: another project's run, another team's, tables of old
"""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from shared.files import write_text
from shared.fingerprint import citations, results
from shared.fingerprint.course import CourseKey, Grader
from shared.fingerprint.events import seal_events
from shared.fingerprint.keys import TeamKey
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.manifest import seal_directory
from shared.fingerprint.origin import file_digest
from shared.fingerprint.results import Row, seal_table
from shared.fingerprint.verdicts import Finding, Verdict
from shared.fingerprint.verify import verify_all

COURSE = CourseKey("attacks", 2026, b"a course key for the attacks only")
KEY, OTHER, LATER = COURSE.team_key("quipu", 1), COURSE.team_key("ayni", 1), COURSE.team_key("quipu", 2)
GRADER = Grader(COURSE, {"quipu": {1: None}, "ayni": {1: None}})


@dataclass(frozen=True)
class Scene:
    """The tree, and short names for what is in it."""

    root: Path

    @property
    def run(self) -> Path:
        """The run under attack."""
        return self.root / "runs" / "lora" / "main"

    @property
    def older(self) -> Path:
        """An older run of the same team and project."""
        return self.root / "runs" / "lora" / "older"

    @property
    def aside(self) -> Path:
        """Folder of what is not verified: material for attacks."""
        return self.root / "aside"

    @property
    def log(self) -> Path:
        """Directory of the run under attack."""
        return self.run / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The newest of the run under attack."""
        return self.run / "checkpoints" / "step-000004"

    @property
    def events(self) -> Path:
        """The run's event file."""
        return next(self.run.glob("events.out.*"))

    @property
    def results(self) -> Path:
        """Folder of the tables."""
        return self.root / "projects" / "lora" / "results"

    def lines(self) -> list[bytes]:
        """Path of the log under attack."""
        return self.log.read_bytes().splitlines(keepends=True)

    def write_lines(self, lines: list[bytes]) -> None:
        """Put these in the place of the log."""
        self.log.write_bytes(b"".join(lines))

    def findings(self) -> list[Finding]:
        """What the team's own verifier says of the tree, numbers recomputed."""
        return verify_all([self.root / "runs", self.root / "projects"], KEY, recompute=True)


Probe = Callable[[Scene], list[Finding]]


@dataclass(frozen=True)
class Attack:
    """One way to deceive, and how it must be found.

    Attributes:
        name: Unique; what is done, in a few words.
        apply: Does it to a scene.
        verdict: That one finding must have.
        path: That this finding must name, relative to the scene's root.
        detail: Must stand in that finding's detail: the line, the record, the tensor, the row.
        probe: What verifies; by default the team verifies the tree and recomputes the tables.
    """

    name: str
    apply: Callable[[Scene], object]
    verdict: Verdict
    path: str
    detail: str = ""
    probe: Probe = Scene.findings

    def caught(self, scene: Scene) -> Finding | None:
        """Try it. Returns the finding that catches it, or None if it passes."""
        self.apply(scene)
        for finding in self.probe(scene):
            named = finding.path.relative_to(scene.root).as_posix() == self.path
            if named and finding.verdict is self.verdict and self.detail in finding.detail:
                return finding
        return None


def build(root: Path) -> Scene:
    """Make the scene in an empty folder. Everything in it verifies."""
    scene = Scene(root)
    make_run(scene.run, "0f" * 8, KEY)
    make_run(scene.older, "1e" * 8, KEY, worse=0.5)
    make_run(scene.aside / "adapters", "2d" * 8, KEY, project="adapters")
    make_run(scene.aside / "ayni", "3c" * 8, OTHER)
    make_tables(scene)
    return scene


def make_run(path: Path, run: str, key: TeamKey, *, project: str = "lora", worse: float = 0.0) -> None:
    """A closed run of four steps with checkpoints after steps 2 and 4."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"rank": 8, "seed": 0, "worse": worse}))
    (path / "env.json").write_text(json.dumps({"versions": {}}))
    digests = {name: file_digest(path / f"{name}.json") for name in ("config", "env")}
    parent = None
    with ChainedLog(path / "metrics.jsonl", key, {"run": run, "project": project, **digests}) as log:
        for step in range(1, 5):
            log.append({"step": step, "loss": worse + 1.0 / step, "zero": 0.0})
            if step % 2 == 0:
                folder = path / "checkpoints" / f"step-{step:06d}"
                body = {"run": run, "project": project, "step": step, "parent": parent, "log": log.head, **digests}
                parent = {"step": step, "manifest": save_checkpoint(folder, step, body, key)}
        log.append({"step": 4, "test_accuracy": 0.9 - worse / 10})
        (path / "events.out.tfevents.1").write_bytes(b"".join(frame(b"record %d" % i) for i in range(6)))
        seal_events(path, {"run": run, "project": project}, key)
        log.close(events=file_digest(path / "events.seal.json"))


def save_checkpoint(folder: Path, step: int, body: dict[str, Any], key: TeamKey) -> str:
    """Weights with a zero and a NaN, two shards and a state, sealed."""
    (folder / "shards").mkdir(parents=True)
    bias = np.array([0.0, np.nan, -0.0, 1.0], dtype=np.float32)
    save_file({"weight": np.full((2, 3), step, np.float32), "bias": bias}, folder / "model.safetensors")
    (folder / "shards" / "0.bin").write_bytes(b"zero")
    (folder / "shards" / "1.bin").write_bytes(b"ones")
    (folder / "state.json").write_text(json.dumps({"step": step}))
    return seal_directory(folder, body, key)


def frame(data: bytes) -> bytes:
    """A record as an event file holds it; the chain does not read the checksums, so any will do."""
    return len(data).to_bytes(8, "little") + b"CRC1" + data + b"CRC2"


def make_tables(scene: Scene) -> None:
    """runs.csv with a row a run, summary.csv with their mean, both sealed, the logs kept beside them."""
    sources = [citations.read_source(directory, KEY) for directory in (scene.run, scene.older)]
    cells = [source.last("test_accuracy") for source in sources]
    rows = [
        {"accuracy": source.number(cell), "loss": source.number(source.last("loss")), "zero": 0.0, **source.columns()}
        for source, cell in zip(sources, cells, strict=True)
    ]
    write_csv(scene.results / "runs.csv", rows)
    cited = [
        Row([s], {"accuracy": c, "loss": s.last("loss"), "zero": s.last("zero")})
        for s, c in zip(sources, cells, strict=True)
    ]
    seal_table(scene.results / "runs.csv", project="lora", key=KEY, rows=cited, keep_logs=True)
    mean = citations.pooled(cells, "mean", digits=4)
    logs = {source.run: source.log for source in sources}
    write_csv(scene.results / "summary.csv", [{"method": "lora", "accuracy": mean.text(logs)}])
    summary = [Row(sources, {"accuracy": mean})]
    seal_table(scene.results / "summary.csv", project="lora", key=KEY, rows=summary, made_from=("runs.csv",))
    for name in ("runs.csv", f"runs.csv{results.SUFFIX}"):
        shutil.copy(scene.results / name, scene.aside / name)


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    """Rows of equal keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
