"""What takes long is made once, in a cache that several processes may want at the same time: first the float32
safetensors of a GGUF file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from shared.assets.quiet import quiet, without_bars
from shared.errors import UserError
from shared.files import atomic_directory

FORMAT = 1
"""Raise it when a conversion writes something else than before: old conversions are then not found any more."""


def cache_folder() -> Path:
    """$CC0C2_CACHE, else $XDG_CACHE_HOME/cc0c2, else ~/.cache/cc0c2; not made here."""
    if own := os.environ.get("CC0C2_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cc0c2"


def converted(
    source: Path,
    convert: Callable[[Path, Path], None] | None = None,
    notice: str = "converting SmolLM2 once, about 15 s",
) -> Path:
    """Folder with the model of a file in float32, made the first time.

    Its name holds the digest of the source (0.2 s for 98 MB, cheaper than being wrong) and FORMAT. It appears complete
    or not at all: a second process waits for the first, and what a killed one left is removed by the next.

    Args:
        source: A GGUF file, or what `convert` reads.
        convert: Writes the model of its first argument into its second, an empty folder; `convert_gguf` by default.
        notice: What a person reads who has to wait for it.

    Raises:
        UserError: If the cache cannot be written.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_folder() / "models" / f"{source.stem}-{digest[:16]}-v{FORMAT}"
    return made_once(target, partial(convert or convert_gguf, source), notice=notice)


def made_once(target: Path, make: Callable[[Path], None], *, notice: str) -> Path:
    """`target`, made the first time. It appears complete or not at all.

    Args:
        target: A folder below `cache_folder()`, whose name holds the digest of what it is made from.
        make: Writes into an empty folder.
        notice: What a person reads who has to wait for it.

    Raises:
        UserError: If the cache cannot be written.
    """
    if target.is_dir():
        return target
    with _writing(target), _alone(target):
        if not target.is_dir():
            sys.stderr.write(f"{notice}\n")
            with atomic_directory(target) as temporary:
                make(temporary)
    return target


def convert_gguf(source: Path, folder: Path) -> None:
    """Write model, configuration and tokenizer of a GGUF file as transformers would have saved the float32 original."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet(), without_bars():
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        # The weights are plain float32 by now, but the mark of where they came from stays and forbids saving.
        model.is_quantized = False
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot write the model cache {target.parent} ({reason}); set CC0C2_CACHE to a folder with 600 MB free"
        ) from None


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock of `target`; the system frees it if this process dies."""
    from filelock import FileLock

    with FileLock(target.with_name(f"{target.name}.lock")):
        for remains in target.parent.glob(f".{target.name}.*.tmp"):  # nobody else is writing: its writer was killed
            shutil.rmtree(remains, ignore_errors=True)
        yield
