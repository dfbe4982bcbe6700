"""Attacks on manifests: whose they are, of when, what they list, and the moment between verification and load."""

import shutil
from collections.abc import Callable
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

from shared.fingerprint.envelope import payload_type
from shared.fingerprint.keys import DEMO_KEY, TeamKey
from shared.fingerprint.manifest import open_verified
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict
from shared.fingerprint.verify import verify_all
from shared.lab.fingerprint.attacks import edits
from shared.lab.fingerprint.attacks.scene import COURSE, GRADER, KEY, LATER, OTHER, Attack, Scene

HERE = "runs/lora/main/checkpoints/step-000004"
MODEL, MANIFEST = f"{HERE}/model.safetensors", f"{HERE}/manifest.json"


def _model(scene: Scene) -> Path:
    return scene.checkpoint / "model.safetensors"


def _listed(name: str) -> Callable[[Scene], None]:
    """A key holder lists a path that must not be listed."""

    def change(body: dict[str, Any]) -> None:
        body["files"].append({**body["files"][0], "path": name})

    return lambda scene: edits.forge(scene.checkpoint, KEY, change)


def _another_teams(scene: Scene) -> None:
    edits.put(scene.aside / "ayni" / "checkpoints" / "step-000004", scene.checkpoint)


def _renamed_team(body: dict[str, Any]) -> None:
    body["team"] = "quipu"


def _another_teams_edited(scene: Scene) -> None:
    _another_teams(scene)
    edits.edit_payload(scene.checkpoint / "manifest.json", _renamed_team)
    edits.replace(scene.checkpoint / "manifest.json", OTHER.id.encode(), KEY.id.encode())


def _another_teams_resealed(scene: Scene) -> None:
    _another_teams(scene)
    edits.forge(scene.checkpoint, TeamKey("quipu", OTHER.secret), _renamed_team)


def _relabelled(scene: Scene) -> None:
    edits.put(scene.older, scene.root / "runs" / "lora" / "z-new")


def _newest_replaced_by_oldest(scene: Scene) -> None:
    edits.put(scene.checkpoint.with_name("step-000002"), scene.checkpoint)


def _of_another_history(scene: Scene) -> None:
    edits.forge(scene.checkpoint, KEY, lambda body: body["log"].update(mac="00" * 32))


def _of_another_parent(scene: Scene) -> None:
    edits.forge(scene.checkpoint, KEY, lambda body: body["parent"].update(manifest="00" * 32))


def _duplicate_key(scene: Scene) -> None:
    edits.replace(scene.checkpoint / "manifest.json", b'{"payload":', b'{"payload":"","payload":')


def _old_format(scene: Scene) -> None:
    new, old = payload_type("checkpoint"), payload_type("checkpoint", 1)
    edits.replace(scene.checkpoint / "manifest.json", new.encode(), old.encode())


def _events_seal_as_manifest(scene: Scene) -> None:
    shutil.copy(scene.run / "events.seal.json", scene.checkpoint / "manifest.json")


def _swap_before_load(change: Callable[[Path], object]) -> Callable[[Scene], list[Finding]]:
    """Verify, let the attacker act, then load."""

    def probe(scene: Scene) -> list[Finding]:
        opened = open_verified(scene.checkpoint, KEY)
        change(_model(scene))
        try:
            opened.read("model.safetensors")
        except BrokenError as broken:
            return [broken.at(scene.checkpoint)]
        return []

    return probe


def _other_file(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    edits.flip(copy, 0.99)
    copy.replace(path)


def _leave(_: Scene) -> None:
    """The attack happens later, in the probe."""


def _link_to_other(path: Path) -> None:
    path.replace(path.with_name("copy"))
    path.symlink_to("copy")


def _grade(**fields: Any) -> Callable[[Scene], list[Finding]]:
    return lambda scene: verify_all([scene.root / "runs"], with_fields(GRADER, **fields))


TAMPERED, EXTRA, MISSING = Verdict.TAMPERED, Verdict.EXTRA, Verdict.MISSING

ATTACKS = (
    Attack("another team's checkpoint", _another_teams, Verdict.WRONG_TEAM, MANIFEST, "ayni/1/"),
    Attack("another team's, team and key id edited", _another_teams_edited, TAMPERED, MANIFEST, "MAC"),
    Attack("another team's, resealed under our name", _another_teams_resealed, Verdict.WRONG_TEAM, MANIFEST),
    Attack(
        "the same, before a grader",
        _another_teams_resealed,
        Verdict.WRONG_TEAM,
        MANIFEST,
        "not the one issued",
        _grade(),
    ),
    Attack(
        "another team's, before a grader who expects ours",
        _another_teams,
        Verdict.WRONG_TEAM,
        MANIFEST,
        "",
        _grade(team="quipu"),
    ),
    Attack("older run under a new name", _relabelled, Verdict.REPLAYED, "runs/lora/z-new/metrics.jsonl"),
    Attack("older step under a newer name", _newest_replaced_by_oldest, Verdict.REPLAYED, HERE, "saved as step 2"),
    Attack("checkpoint of a part that was run again", _of_another_history, Verdict.REPLAYED, HERE, "line 5"),
    Attack("checkpoint with another parent", _of_another_parent, Verdict.REPLAYED, HERE, "step 2"),
    Attack(
        "older run's checkpoint in this run",
        lambda s: edits.put(s.older / "checkpoints/step-000004", s.checkpoint),
        Verdict.WRONG_RUN,
        HERE,
        "run ",
    ),
    Attack(
        "another project's checkpoint",
        lambda s: edits.put(s.aside / "adapters/checkpoints/step-000004", s.checkpoint),
        Verdict.WRONG_RUN,
        HERE,
        "project adapters",
    ),
    Attack(
        "log passed as a manifest",
        lambda s: shutil.copy(s.log, s.checkpoint / "manifest.json"),
        TAMPERED,
        MANIFEST,
        "not an envelope",
    ),
    Attack("seal of another kind as a manifest", _events_seal_as_manifest, TAMPERED, MANIFEST, "is of type"),
    Attack("manifest passed off as version 1", _old_format, Verdict.WRONG_TEAM, MANIFEST),
    Attack("duplicate key in a manifest", _duplicate_key, TAMPERED, MANIFEST, "not an envelope"),
    Attack("empty manifest", lambda s: (s.checkpoint / "manifest.json").write_bytes(b""), TAMPERED, MANIFEST),
    Attack(
        "manifest that lists nothing",
        lambda s: edits.forge(s.checkpoint, KEY, lambda b: b.update(files=[])),
        TAMPERED,
        MANIFEST,
        "lists no file",
    ),
    Attack("manifest removed", lambda s: (s.checkpoint / "manifest.json").unlink(), MISSING, MANIFEST),
    Attack(
        "file exchanged after verification",
        _leave,
        TAMPERED,
        MODEL,
        "between verification and load",
        _swap_before_load(_other_file),
    ),
    Attack(
        "file overwritten in place after verification",
        _leave,
        TAMPERED,
        MODEL,
        "between",
        _swap_before_load(lambda p: edits.flip(p, 0.99)),
    ),
    Attack("link put there after verification", _leave, TAMPERED, MODEL, "symbolic", _swap_before_load(_link_to_other)),
    Attack(
        "sealed with the demo key",
        lambda s: edits.forge(s.checkpoint, TeamKey("quipu", DEMO_KEY)),
        Verdict.UNTRUSTED_DEMO,
        HERE,
    ),
    Attack(
        "sealed with a key of another epoch",
        lambda s: edits.forge(s.checkpoint, LATER),
        Verdict.UNKNOWN_EPOCH,
        MANIFEST,
        "epoch 2",
    ),
    Attack(
        "epoch never issued, before a grader",
        lambda s: edits.forge(s.checkpoint, COURSE.team_key("quipu", 9)),
        Verdict.UNKNOWN_EPOCH,
        MANIFEST,
        "never issued",
        _grade(),
    ),
    Attack(
        "revoked key, before a grader",
        _leave,
        Verdict.UNKNOWN_EPOCH,
        MANIFEST,
        "revoked: leaked",
        _grade(issued={"quipu": {1: "leaked"}, "ayni": {1: None}}),
    ),
    Attack("manifest: one bit flipped", lambda s: edits.flip(s.checkpoint / "manifest.json"), TAMPERED, MANIFEST),
    Attack(
        "manifest: written in other bytes",
        lambda s: edits.replace(s.checkpoint / "manifest.json", b",", b", "),
        TAMPERED,
        MANIFEST,
        "other bytes",
    ),
    Attack("path traversal listed by a key holder", _listed("../../config.json"), TAMPERED, MANIFEST, "'..'"),
    Attack("absolute path listed by a key holder", _listed("/etc/passwd"), TAMPERED, MANIFEST, "absolute"),
    Attack("names that differ by case, listed", _listed("State.json"), TAMPERED, MANIFEST, "by case"),
)
