"""Where a base's encoders work: on the device, words and pictures one after the other, each let go when it is done."""

import gc
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import nn

from portraitist.events import Emit, Warned
from portraitist.family import Base, Encoder, Family, Needs
from portraitist.learn import memory

DECODED = {"AutoencoderKL": 3.1e3, "AutoencoderKLQwenImage": 7e3}
"""Bytes for each pixel that a decoder in float32 holds at its peak beside its weights, by its class: as counted on fake
tensors at 512 and 1024 pixels. The encoders hold less; of another class as much as the greater is reckoned with."""


def read(family: Family, base: Base, needs: Needs, device: torch.device, emit: Emit, pixels: int = 0) -> Encoder:
    """The encoder of words alone or of pictures alone, on a device.

    pixels  of what it will encode or decode at once
    Where the device has no room for it, it works on the CPU, and that is told.
    """
    found = family.load_encoder(replace(base, needs=needs))
    held = max(DECODED.get(type(module).__name__, max(DECODED.values())) for module in modules(found))
    needed = (sum(map(size, modules(found))) + pixels * held) / 1e9
    if not memory.roomy(device, needed):
        says = f"The encoder of {needs} needs {needed:.1f} GB, more than {device} has free: it works on the CPU"
        emit(Warned(says=says, remedy="That is slower, and right all the same."))
        return found
    for module in modules(found):
        module.to(device)
    return found


def let_go(encoder: Encoder) -> None:
    """Give an encoder's memory back, whoever still holds it; it cannot be used again."""
    for module in modules(encoder):
        module.to("meta")
    gc.collect()
    memory.empty()


def modules(encoder: Any) -> Iterator[nn.Module]:
    """The networks among an encoder's fields, single or several in one."""
    for field in fields(encoder):
        value = getattr(encoder, field.name)
        yield from (one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, nn.Module))


def size(module: nn.Module) -> int:
    """Bytes of a network's numbers."""
    return sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])
