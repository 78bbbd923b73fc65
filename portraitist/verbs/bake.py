"""bake: an adapter put into a model's file for good, for programs that load no adapters."""

import time
from dataclasses import dataclass
from pathlib import Path

from portraitist.errors import PortraitistError
from portraitist.events import Emit, Factored, Finished, Started, ignore


@dataclass(frozen=True, slots=True)
class BakeResult:
    """The new model.

    layers  of the file that were changed
    lost    share of the change's energy that rounding to the file's type lost
    """

    file: str
    family: str
    strength: float
    layers: int
    lost: float
    megabytes: float
    seconds: float


def bake(
    file: Path,
    base: Path,
    out: Path,
    strength: float = 1.0,
    family: str = "",
    overwrite: bool = False,
    emit: Emit = ignore,
) -> BakeResult:
    """Write a copy of a publisher's model file with an adapter in it: weight + strength * change, of the same type.

    Read and written tensor by tensor. Raises PortraitistError for a base in folders or in 8 bits or fewer, for an
    adapter on layers that it lacks or on FLUX's text encoders, and for a disk that has no room.
    """
    from portraitist.adapters import files
    from portraitist.adapters.understanding import understood
    from portraitist.bases import baking

    began = time.monotonic()
    files.refuse_place(out, overwrite)
    if not base.is_file():
        raise PortraitistError(f"{base} is no file", "Name the publisher's .safetensors file: --base")
    if out.exists() and out.samefile(base):
        raise PortraitistError(f"{out} is the base itself", "Choose another name.")
    known = understood(file, family)
    emit(Started(verb="bake"))
    made = baking.bake(known, base, out, strength, lambda done, of: emit(Factored(what="tensors", done=done, total=of)))
    seconds = round(time.monotonic() - began, 1)
    emit(Finished(verb="bake", seconds=seconds))
    lost = float(f"{made.lost / made.energy:.3g}") if made.energy else 0.0
    size = round(out.stat().st_size / 1e6, 3)
    return BakeResult(str(out), known.family, strength, made.layers, lost, size, seconds)
