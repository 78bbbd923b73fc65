"""A denoiser read tensor by tensor into fewer bits: at no time does all of it stand in memory as it is stored.

Files are mapped, not loaded: a tensor's bytes are read when it is held anew, and let go after.
Held to the allocations by tests/integration/test_quantise.py and tests/proof/test_streaming.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from portraitist import durable
from portraitist.bases import headers, reading
from portraitist.bases.layouts import LAYOUTS, Written
from portraitist.configs import config
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.learn import memory, quantise, recovery

STEM = "diffusion_pytorch_model"  # how diffusers names a part's weights


def read(base: Base, kind: Any, part: str) -> Any:
    """A base's denoiser on its device, its blocks' layers held as the base says: frozen and in evaluation mode.

    kind  the class to read it as. Raises PortraitistError for a way of holding that is not to be had here, and when
    the files are damaged, store weights in 8 bits, or lack weights of the class or have others; and for a recovery
    adapter that is not this base's.
    """
    device = memory.place(base.device)
    quantise.available(base.quantised, device)
    recovery.check(base)
    model, tensors = opening(base, kind, part)
    found = fill(model, tensors, getattr(torch, base.dtype), base.quantised, device)
    recovery.put(found, base)
    return found


def opening(base: Base, kind: Any, part: str) -> tuple[Any, Iterator[tuple[str, Tensor]]]:
    """A base's denoiser without memory for its weights, and these by its own names, one after the other."""
    place = base.place(part)
    if place.is_file():
        model = reading.empty(kind, config(LAYOUTS[base.family].configs, part))
        return model, published(model, place, base.family, part)
    model = reading.empty(kind, durable.read_json(place / "config.json"))
    return model, shards(model, place)


def fill(
    model: Any, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype, quantised: str, device: torch.device
) -> Any:
    """An empty model with its tensors on a device, in evaluation mode and frozen; returns it.

    tensors    by name, each asked for when the one before is held
    quantised  how its blocks' layers are held; "" holds them in `dtype`
    """
    whole = reading.kept_whole(model, dtype)
    if quantised:
        quantise.prepare(model, quantised)
    for name, tensor in tensors:
        path, _, leaf = name.rpartition(".")
        layer = model.get_submodule(path)
        if leaf == "weight" and isinstance(layer, quantise.Quantised):
            layer.take(tensor.to(device))
        else:
            exact = any(word in name.split(".") for word in whole)
            put(layer, leaf, tensor.to(device, torch.float32 if exact else dtype, copy=True))
    return model.requires_grad_(False).eval()


def put(layer: nn.Module, leaf: str, tensor: Tensor) -> None:
    """Give a module a weight or a buffer in place of the one without memory."""
    if leaf in layer._buffers:
        layer._buffers[leaf] = tensor
    else:
        layer._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)


def published(model: Any, path: Path, family: str, part: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a publisher's file by the class's names; refused before the first when they are not its own."""
    header = headers.read(path)
    headers.refuse_rounded(header)
    found = mapped(model, header, LAYOUTS[family].weights[part])
    return ((name, found.pop(name)) for name in list(found))


def mapped(
    model: Any, header: headers.Header, how: Written, there: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The tensors of a publisher's file by the class's names, mapped; refused where they are not the class's own.

    there  the part's tensors by the file's names, where they are mapped already
    """
    names = reading.names(header, how)
    if there is None:
        with reading.opened(header.path) as file:
            there = {full: file.get_tensor(full) for full in names.values()}
    found = reading.named(model, {name: there[full] for name, full in names.items()}, how)
    reading.check(model, {name: tuple(tensor.shape) for name, tensor in found.items()}, header.path)
    return found


def shards(model: Any, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a folder in diffusers' layout, file by file; refused before the first when they are not its own.

    Of two precisions side by side the plain one is read.
    """
    there = sorted(folder.glob(f"{STEM}*{headers.WEIGHTS}"))
    plain = [path for path in there if ".fp16." not in path.name]
    files = [headers.read(path) for path in plain or there]
    shapes: dict[str, tuple[int, ...]] = {}
    for header in files:
        headers.refuse_rounded(header)
        if twice := sorted(shapes.keys() & header.shapes.keys()):
            raise PortraitistError(
                f"{folder} has {len(twice)} weights in two files, such as {twice[0]}", "Leave one set of files in it."
            )
        shapes |= header.shapes
    reading.check(model, shapes, folder)
    return (pair for header in files for pair in opened(header))


def opened(header: headers.Header) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, one after the other."""
    with reading.opened(header.path) as file:
        for name in header.shapes:
            yield name, file.get_tensor(name)
