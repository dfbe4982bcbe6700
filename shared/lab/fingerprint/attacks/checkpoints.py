"""Attacks on a checkpoint's files, their names and their tensors."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.fingerprint.verdicts import Verdict
from shared.lab.fingerprint.attacks import edits
from shared.lab.fingerprint.attacks.scene import Attack, Scene

HERE = "runs/lora/main/checkpoints/step-000004"
MODEL, MANIFEST = f"{HERE}/model.safetensors", f"{HERE}/manifest.json"


def _model(scene: Scene) -> Path:
    return scene.checkpoint / "model.safetensors"


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        header, data = edits.header_of(_model(scene))
        change(header)
        edits.write_header(_model(scene), header, data)

    return apply


def _rename_tensor(header: dict[str, Any]) -> None:
    header["wait"] = header.pop("weight")


def _duplicate_tensor(scene: Scene) -> None:
    raw = _model(scene).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].rstrip()[:-1] + b',"bias":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    edits.write_header(_model(scene), header, raw[8 + length :])


def _number(old: bytes, new: bytes) -> Callable[[Scene], None]:
    def apply(scene: Scene) -> None:
        header, data = edits.header_of(_model(scene))
        start, end = header["bias"]["data_offsets"]
        assert old in data[start:end]
        length = len(_model(scene).read_bytes()) - len(data)
        changed = data[:start] + data[start:end].replace(old, new, 1) + data[end:]
        _model(scene).write_bytes(_model(scene).read_bytes()[:length] + changed)

    return apply


def _link(make: Callable[[Path, Path], object]) -> Callable[[Scene], None]:
    """Put a link to a file of the same content in the place of a file."""

    def apply(scene: Scene) -> None:
        target, copy = scene.checkpoint / "state.json", scene.aside / "state.json"
        shutil.move(target, copy)
        make(target, copy)

    return apply


def _linked_folder(scene: Scene) -> None:
    shutil.move(scene.checkpoint / "shards", scene.aside / "shards")
    (scene.checkpoint / "shards").symlink_to(scene.aside / "shards")


def _pipe(scene: Scene) -> None:
    (scene.checkpoint / "state.json").unlink()
    os.mkfifo(scene.checkpoint / "state.json")


def _new_file(name: str | bytes) -> Callable[[Scene], object]:
    return lambda scene: (scene.checkpoint / os.fsdecode(name)).write_text("")


TAMPERED, EXTRA, MISSING = Verdict.TAMPERED, Verdict.EXTRA, Verdict.MISSING

ATTACKS = (
    Attack(
        "weights: one bit flipped", lambda s: edits.flip(_model(s), 0.99), TAMPERED, MODEL, "'weight' has another c"
    ),
    Attack(
        "shard: one bit flipped", lambda s: edits.flip(s.checkpoint / "shards/1.bin"), TAMPERED, f"{HERE}/shards/1.bin"
    ),
    Attack("state: one bit flipped", lambda s: edits.flip(s.checkpoint / "state.json"), TAMPERED, f"{HERE}/state.json"),
    Attack(
        "configuration edited",
        lambda s: edits.replace(s.run / "config.json", b"8", b"9"),
        TAMPERED,
        "runs/lora/main/config.json",
    ),
    Attack("environment edited", lambda s: edits.flip(s.run / "env.json"), TAMPERED, "runs/lora/main/env.json"),
    Attack(
        "shards swapped",
        lambda s: edits.exchange(s.checkpoint / "shards/0.bin", s.checkpoint / "shards/1.bin"),
        TAMPERED,
        f"{HERE}/shards/0.bin",
    ),
    Attack("file added", _new_file("notes.txt"), EXTRA, f"{HERE}/notes.txt"),
    Attack("empty folder added", lambda s: (s.checkpoint / "more").mkdir(), EXTRA, f"{HERE}/more"),
    Attack("file removed", lambda s: (s.checkpoint / "state.json").unlink(), MISSING, f"{HERE}/state.json"),
    Attack(
        "symbolic link to the same bytes",
        _link(lambda a, b: a.symlink_to(b)),
        TAMPERED,
        f"{HERE}/state.json",
        "symbolic",
    ),
    Attack(
        "hard link to the same bytes", _link(lambda a, b: a.hardlink_to(b)), TAMPERED, f"{HERE}/state.json", "hard link"
    ),
    Attack("folder behind a symbolic link", _linked_folder, EXTRA, f"{HERE}/shards", "symbolic"),
    Attack("named pipe in the place of a file", _pipe, TAMPERED, f"{HERE}/state.json", "no regular file"),
    Attack("name that differs by case, added", _new_file("State.json"), EXTRA, f"{HERE}/State.json", "by case"),
    Attack("name that differs by Unicode form, added", _new_file("ſtate.json"), EXTRA, f"{HERE}/ſtate.json", "Unicode"),
    Attack("name that is not UTF-8, added", _new_file(b"st\xff.bin"), EXTRA, f"{HERE}/st\udcff.bin"),
    Attack(
        "safetensors header edited, tensors intact",
        _header(lambda h: h.update(__metadata__={"a": "b"})),
        TAMPERED,
        MODEL,
        "every tensor is intact",
    ),
    Attack("tensor renamed", _header(_rename_tensor), TAMPERED, MODEL, "'weight' is gone and 'wait' is new"),
    Attack(
        "tensor's type changed", _header(lambda h: h["weight"].update(dtype="I32")), TAMPERED, MODEL, "another dtype"
    ),
    Attack(
        "tensor's shape changed", _header(lambda h: h["weight"].update(shape=[3, 2])), TAMPERED, MODEL, "another shape"
    ),
    Attack("tensors overlap", _header(lambda h: h["weight"].update(h["bias"])), TAMPERED, MODEL, "overlaps"),
    Attack(
        "tensor outside the file",
        _header(lambda h: h["weight"].update(data_offsets=[16, 40 + 24], shape=[12])),
        TAMPERED,
        MODEL,
        "of ",
    ),
    Attack(
        "header larger than the file",
        lambda s: edits.flip(_model(s), 7 / _model(s).stat().st_size),
        TAMPERED,
        MODEL,
        "header claims",
    ),
    Attack("duplicate key in a safetensors header", _duplicate_tensor, TAMPERED, MODEL, "stands twice"),
    Attack("0 becomes −0 in a tensor", _number(bytes(4), b"\0\0\0\x80"), TAMPERED, MODEL, "'bias'"),
    Attack("one NaN becomes another NaN", _number(b"\0\0\xc0\x7f", b"\1\0\xc0\x7f"), TAMPERED, MODEL, "'bias'"),
)
