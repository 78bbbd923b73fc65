"""Precision, placement and what a run will need: nothing else knows a device by name."""

import contextlib
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from portraitist.arithmetic import AUTO, first, settled
from portraitist.errors import PortraitistError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SCALE = 2.0**16  # where a float16 loss scale begins: torch's own, as is all below but the floor
GROWTH = 2000
LEAST = 1.0  # below it scaling no longer helps: what overflows is too large itself


def place(name: str) -> torch.device:
    """The device of a recipe's word: auto is the first accelerator, else the CPU.

    From then on attention is computed by torch's own kernels and not by cuDNN's, whose backward pass is known to read
    where it must not, or to give NaN (pytorch/pytorch#134001): FLUX's first step of training died of it on an H100.
    Raises PortraitistError for a device that this machine or this build of torch does not have.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    if name == AUTO:
        return torch.device(first())
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
    """The context in which the denoiser runs: float32 as it is, else autocast; `auto` as it is settled for the device.

    Raises PortraitistError for float16 on a CPU, which has no arithmetic for it, and for bfloat16 on a card without.
    """
    asked, precision = precision, settled(precision, device.type)
    if precision == "float32":
        return contextlib.nullcontext()
    if precision == "bfloat16" and device.type == "cuda" and not has_bfloat16(device):
        raise PortraitistError(
            f"model.precision = {asked!r}: {torch.cuda.get_device_name(device)} has no arithmetic for it in bfloat16",
            "Use float16, whose loss is then scaled: --set model.precision=float16",
        )
    if precision == "float16" and device.type == "cpu":
        raise PortraitistError(
            "model.precision = 'float16' does not train on a CPU",
            "Use bfloat16 or float32, whichever this CPU has: --set model.precision=auto",
        )
    return torch.autocast(device.type, DTYPES[precision])


def attention(device: torch.device) -> AbstractContextManager[object]:
    """The context in which attention goes forward and back in training: on a CPU by plain matrix products, since the
    way back of torch's flash kernel takes four times as long in bfloat16 there (benchmarks/LOG.md)."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Whether a CUDA device computes in bfloat16 itself; older ones only imitate it, slowly."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


@dataclass(slots=True)
class Scaler:
    """What a float16 loss is multiplied by before going back, so that small gradients do not vanish.

    As torch.amp.GradScaler does it: halved when a gradient overflows, and that step is not taken; doubled after so
    many good steps in a row. A power of two, so that dividing it out is exact. The scale is at 1 and stays there where
    nothing is scaled.

    scale  now
    good   steps in a row that did not overflow
    """

    scale: float = 1.0
    good: int = 0
    growth: int = 0

    @classmethod
    def of(cls, precision: str) -> "Scaler":
        """For a precision: float16 alone needs one."""
        return cls(SCALE, 0, GROWTH) if precision == "float16" else cls()

    def overflowed(self) -> bool:
        """Halve the scale; whether a step may be tried again with it."""
        self.scale, self.good = self.scale / 2, 0
        return self.growth > 0 and self.scale >= LEAST

    def went_well(self) -> None:
        """Count a step that was taken; double the scale when it is time."""
        self.good += 1
        if self.growth and self.good == self.growth:
            self.scale, self.good = self.scale * 2, 0

    def state(self) -> dict[str, torch.Tensor]:
        """Scale and count, by name; nothing where nothing is scaled."""
        found = {"scale": torch.tensor(self.scale, dtype=torch.float64), "good": torch.tensor(self.good)}
        return {f"scaler/{name}": value for name, value in found.items()} if self.growth else {}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what `state()` gave, among other tensors."""
        if self.growth and "scaler/scale" in state:
            self.scale, self.good = float(state["scaler/scale"]), int(state["scaler/good"])


def roomy(device: torch.device, gb: float) -> bool:
    """Whether a device has so many GB free, and a tenth more; asked of CUDA alone, where memory is the card's own."""
    return device.type != "cuda" or torch.cuda.mem_get_info(device)[0] >= gb * 1.1e9


def free_gb(device: torch.device) -> dict[str, float]:
    """What a card has free, as a fact of a start; nothing where there is no card."""
    return {"free_gb": round(torch.cuda.mem_get_info(device)[0] / 1e9, 3)} if device.type == "cuda" else {}


def empty() -> None:
    """Give back to the card what torch keeps of it for later; elsewhere nothing."""
    torch.cuda.empty_cache()


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
