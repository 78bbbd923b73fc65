"""Files of named tensors, written tensor by tensor and read by mapping: nothing is held twice, whatever their size.

The bytes are those that safetensors itself writes, but for the header's keys, which are in order, so that equal tensors
make equal files. Held to safetensors by tests/unit/test_tensorfile.py. Loads no torch until tensors are at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable
from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WHOLE = "whole."
"""Before the name of a denoiser's parameter where a file holds that parameter itself, and not what is added to it."""

TYPES = {
    "uint64": "U64", "int64": "I64", "float64": "F64", "float32": "F32", "uint32": "U32", "int32": "I32",
    "bfloat16": "BF16", "float16": "F16", "uint16": "U16", "int16": "I16", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""torch's names of types to the format's, in the order in which the library lays tensors out."""


PIECE = 1 << 20
"""Bytes that are read at a time where a file is gone through."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor that is made only when its turn comes to be written."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]


def planned(tensor: Tensor | Planned) -> Planned:
    """A tensor at hand, as one to be written."""
    return tensor if isinstance(tensor, Planned) else Planned(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def chunks(tensors: Mapping[str, Tensor | Planned], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, header first, then each tensor's as it lies in memory."""
    plans = {name: planned(tensor) for name, tensor in tensors.items()}
    order = {f"torch.{name}": i for i, name in enumerate(TYPES)}
    names = sorted(plans, key=lambda name: (order[str(plans[name].dtype)], name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for name in names:
        plan = plans[name]
        end = begin + math.prod(plan.shape) * plan.dtype.itemsize
        kind = TYPES[str(plan.dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(plan.shape), "data_offsets": [begin, end]}
        begin = end
    yield durable.packed_header(header)
    for name in names:
        yield raw(plans[name].make())


def raw(tensor: Tensor) -> memoryview:
    """A tensor's bytes; of one that lies on the CPU in one piece nothing is copied."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def write(path: Path, tensors: Mapping[str, Tensor | Planned], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors durably, one after the other. Raises PortraitistError when the disk refuses."""
    durable.write_stream(path, chunks(tensors, metadata or {}))


def confirm(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Read a file that was just written, and refuse one that does not hold these to the bit."""
    place, size = memoryview(bytearray(PIECE)), path.stat().st_size
    begin, same = 0, True
    for whole in chunks(tensors, metadata):
        chunk = memoryview(whole)
        if begin + chunk.nbytes > size:
            same = False
            break
        for piece in durable.read_pieces(path, begin, chunk.nbytes, place):
            same &= bytes(piece) == bytes(chunk[: len(piece)])
            chunk, begin = chunk[len(piece) :], begin + len(piece)
    if not same or size != begin:
        raise PortraitistError(f"{path} does not hold what was written to it", "See to the disk, and write it again.")


def read(path: Path, remedy: str = "Delete its folder and train again.") -> dict[str, Tensor]:
    """The tensors of a file of ours, on the CPU, mapped: pages are read when they are looked at.

    remedy  what to do about one that is damaged
    The file may be let go or replaced meanwhile, never written into: durable writes do neither.
    Raises PortraitistError when it is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    except SafetensorError as error:
        raise PortraitistError(f"{path} is damaged: {error}", remedy) from error
