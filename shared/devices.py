"""Where tensors live, how many threads work on them, and what the processor is: said with every figure."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch

from shared.errors import UserError
from shared.fingerprint.origin import describe_code

# What decides the speed of matrix products on a CPU; AMX and VNNI make int8 and bfloat16 worth their while.
TELLING_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # either multiplies in bfloat16

VERSIONS_OF = ("torch", "transformers", "peft", "datasets", "safetensors", "numpy")

Precision = Literal["auto", "float32", "bfloat16"]


def pick(name: str) -> torch.device:
    """The device that a `--device` value names.

    Args:
        name: "auto" (CUDA if there is any, else CPU), or anything that torch.device takes.

    Raises:
        UserError: If the name means nothing to torch, or the device is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}; use auto or cpu") from None
    return device


def use_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether matrix products are to be done in bfloat16; "auto" is yes where the hardware has instructions for it.

    A processor without them would be several times slower in bfloat16 than in float32.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(BFLOAT16_FLAGS & set(cpu_flags()))


def cores() -> int:
    """Processors that this process may use (a container or taskset may allow fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_all_cores() -> int:
    """Give torch one thread a core, once; more threads than cores make everything slower. Returns the number."""
    threads = cores()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads


def cpu_flags() -> list[str]:
    """Those of TELLING_FLAGS that this processor has; empty where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return []
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    return [flag for flag in TELLING_FLAGS if flag in flags]


def machine() -> dict[str, object]:
    """One line's worth of facts to print beside a speed: system, cores, threads, flags."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "cpu_flags": cpu_flags(),
    }


def describe_environment() -> dict[str, Any]:
    """Versions, commit and machine: what a reader needs to repeat the run. No host name and no path."""
    versions = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, **describe_code(), **machine()}


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in MB (10⁶ bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss of a process that another started begins at the other's
        peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)
        if peak:
            return int(peak[1]) * 1024 / 1e6
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest * (1 if platform.system() == "Darwin" else 1024) / 1e6
