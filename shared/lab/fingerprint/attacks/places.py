"""Attacks by what is put elsewhere, left out or put within: things that no walk over the usual places meets."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from shared.fingerprint import envelope
from shared.fingerprint.events import seal_events
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.results import KIND
from shared.fingerprint.verdicts import Finding, Verdict
from shared.fingerprint.verify import verify_all
from shared.lab.fingerprint.attacks import edits
from shared.lab.fingerprint.attacks.scene import KEY, Attack, Scene, make_run

RUN, RESULTS = "runs/lora/main", "projects/lora/results"


def _linked(place: str) -> Callable[[Scene], None]:
    """Move a folder aside and put a link to it in its place."""

    def apply(scene: Scene) -> None:
        shutil.move(scene.root / place, scene.aside / "moved")
        (scene.root / place).symlink_to(scene.aside / "moved")

    return apply


def _without_events(scene: Scene) -> None:
    scene.events.unlink()
    (scene.run / "events.seal.json").unlink()


def _older_events(scene: Scene) -> None:
    """A key holder seals other events for a run that is closed."""
    edits.replace(scene.events, b"record 3", b"record 9")
    seal_events(scene.run, {"run": "0f" * 8, "project": "lora"}, KEY)


def _unsealed_table(name: str) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        (scene.results / name).parent.mkdir(exist_ok=True)
        (scene.results / name).write_text("accuracy\n0.99\n")

    return apply


def _under_another_project(scene: Scene) -> None:
    (scene.root / "projects" / "adapters").mkdir()
    shutil.move(scene.root / "runs" / "lora", scene.root / "runs" / "adapters")


def _from_inside(folder: str) -> Callable[[Scene], list[Finding]]:
    """Verify with a relative path, as one who has changed into the folder."""

    def probe(scene: Scene) -> list[Finding]:
        before = Path.cwd()
        os.chdir(scene.root / folder)
        try:
            return [Finding(f.path.absolute(), f.verdict, f.detail) for f in verify_all([Path()], KEY, recompute=True)]
        finally:
            os.chdir(before)

    return probe


def _moved_table(scene: Scene) -> None:
    shutil.copytree(scene.results, scene.root / "projects" / "adapters" / "results")


def _signed_again(scene: Scene) -> None:
    """A key holder writes the end of the log again, better, and leaves the kept log and its table alone."""
    with ChainedLog(scene.log, KEY, {}, position=5) as log:
        log.append({"step": 4, "test_accuracy": 0.99})


def _cites_another(scene: Scene) -> None:
    """A key holder's row names one run, and its numbers come from the other."""
    seal = scene.results / "runs.csv.seal.json"
    body = envelope.read(seal, KIND, KEY).body
    body["rows"][0]["runs"] = [1]
    envelope.write(seal, KIND, body, KEY)


def _run_within(scene: Scene) -> None:
    (scene.run / "better" / "checkpoints" / "step-000004").mkdir(parents=True)
    (scene.run / "better" / "metrics.jsonl").write_text('{"step":4,"test_accuracy":0.99}\n')


def _other_run_within(scene: Scene) -> None:
    make_run(scene.run / "within", "4b" * 8, KEY)
    edits.flip(scene.run / "within" / "metrics.jsonl")


TAMPERED, MISSING, WRONG_RUN, REPLAYED = Verdict.TAMPERED, Verdict.MISSING, Verdict.WRONG_RUN, Verdict.REPLAYED

ATTACKS = (
    Attack("events and their seal deleted", _without_events, MISSING, f"{RUN}/events.seal.json"),
    Attack("events of a closed run sealed again by a key holder", _older_events, REPLAYED, f"{RUN}/events.seal.json"),
    Attack("results/ behind a symbolic link", _linked(RESULTS), TAMPERED, RESULTS, "symbolic link"),
    Attack("checkpoints/ behind a symbolic link", _linked(f"{RUN}/checkpoints"), TAMPERED, f"{RUN}/checkpoints"),
    Attack("run behind a symbolic link", _linked(RUN), TAMPERED, RUN, "symbolic link"),
    Attack(
        "table: unsealed, in a subfolder",
        _unsealed_table("more/best.csv"),
        MISSING,
        f"{RESULTS}/more/best.csv.seal.json",
    ),
    Attack("table: unsealed, in capitals", _unsealed_table("best.CSV"), MISSING, f"{RESULTS}/best.CSV.seal.json"),
    Attack(
        "run under another project's folder",
        _under_another_project,
        WRONG_RUN,
        "runs/adapters/main/metrics.jsonl",
        "of project lora",
    ),
    Attack(
        "run under another project's folder, verified from inside",
        _under_another_project,
        WRONG_RUN,
        "runs/adapters/main/metrics.jsonl",
        "of project lora",
        _from_inside("runs/adapters/main"),
    ),
    Attack(
        "tables under another project's folder, verified from inside",
        _moved_table,
        WRONG_RUN,
        "projects/adapters/results/runs.csv.seal.json",
        "lora's runs.csv",
        _from_inside("projects/adapters/results"),
    ),
    Attack("log: signed again after it was published", _signed_again, REPLAYED, f"{RUN}/metrics.jsonl", "published"),
    Attack(
        "row that names one run and cites another, sealed", _cites_another, WRONG_RUN, f"{RESULTS}/runs.csv", "row 1"
    ),
    Attack("unsealed run within a run", _run_within, TAMPERED, f"{RUN}/better/metrics.jsonl"),
    Attack("run within a run: one bit flipped", _other_run_within, TAMPERED, f"{RUN}/within/metrics.jsonl"),
)
