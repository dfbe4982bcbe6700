"""Seeds, and the state of every random generator as data that a checkpoint can hold."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators with one number in [0, 2³²)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries under us still draw from the global generator
    torch.manual_seed(seed)


def generator(*numbers: int) -> torch.Generator:
    """A torch generator of its own for these numbers, for example (seed, epoch): the same draws for the same numbers.

    Zeros at the end do not count: (seed,) and (seed, 0) are one stream.
    """
    state = np.random.SeedSequence(numbers).generate_state(1, dtype=np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of every generator: tensors for safetensors, and the rest as JSON values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64))}
    numpy_rest = [str(name), int(position), int(has_gauss), float(cached)]
    return tensors, {"python": [version, list(words), gauss], "numpy": numpy_rest}


def restore_random_state(tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Undo of `random_state`: the next draw of every generator is the one that would have followed."""
    version, words, gauss = rest["python"]
    random.setstate((version, tuple(words), gauss))
    name, position, has_gauss, cached = rest["numpy"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state((name, keys, position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(tensors["torch"].to(torch.uint8))
