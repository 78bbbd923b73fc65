"""Precision, placement and what a run will need: nothing else knows a device by name."""

import contextlib
import os
import resource
import sys
from contextlib import AbstractContextManager

import torch

from portraitist.errors import PortraitistError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LOSS_SCALE = 2.0**12  # lifts float16 gradients off the subnormals; a power of two, so that dividing it out is exact


def place(name: str) -> torch.device:
    """The device of a recipe's word: auto is the first accelerator, else the CPU.

    Raises PortraitistError for a device that this machine or this build of torch does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise PortraitistError(
            f"model.device = {name!r}: there is no such device here",
            "Use auto or cpu, or install torch for that device.",
        )
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which the denoiser runs: float32 as it is, else autocast.

    Raises PortraitistError for float16 on a CPU, which has no arithmetic for it.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    if precision == "float16" and device.type == "cpu":
        raise PortraitistError(
            "model.precision = 'float16' does not train on a CPU",
            "Use bfloat16 or float32: --set model.precision=bfloat16",
        )
    return torch.autocast(device.type, DTYPES[precision])


def loss_scale(precision: str) -> float:
    """What the loss is multiplied by before going back; gradients are divided by it before anyone sees them.

    Constant, so that there is no scaler's state to save: float16 alone needs it.
    """
    return LOSS_SCALE if precision == "float16" else 1.0


def set_threads(count: int) -> int:
    """Use so many CPU threads (0: every core this process may run on); returns how many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(count or cores)
    return torch.get_num_threads()


def facts(device: torch.device, threads: int) -> dict[str, str | int]:
    """What of this machine bit-exact resuming depends on: torch, threads, and the kind of processor."""
    if device.type == "cuda":
        kind = f"cuda {torch.cuda.get_device_name(device)}"
    else:
        kind = f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
    return {"torch": torch.__version__, "threads": threads, "device": kind}


def peak_gb(device: torch.device | None = None) -> float:
    """Most memory held so far, in GB (1e9 bytes): of the accelerator, or of this process on a CPU."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
