"""A part of a base as it lies on disk: its tensors by its class's names, a few at a time, and let go again.

Nothing is held but what was asked for last: files are mapped for one asking, so that of a model of many gigabytes there
are never more pages in memory than of the tensors at hand. Held to the classes by tests/integration/test_stored.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import transformers
from safetensors import safe_open
from torch import Tensor

from portraitist import durable
from portraitist.adapters import dialects, inject, trees
from portraitist.bases import headers, layouts, reading, streaming
from portraitist.bases.layouts import UNREAD, Written
from portraitist.errors import PortraitistError

EIGHT_BITS = ("F8",)
"""Types that are values as they stand; files that go with scales have these as tensors of no class, and are refused."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A part's tensors on disk.

    model   of its class, without memory for weights
    places  of a folder: by the class's names, the file of each tensor and its name there
    single  of a publisher's file: its header, and how it is written
    """

    model: Any
    places: Mapping[str, tuple[Path, str]]
    single: tuple[headers.Header, Written] | None = None

    def take(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Some tensors by the class's names, mapped."""
        if self.single is not None:
            found = streaming.mapped(self.model, *self.single)
            return {name: found[name] for name in names}
        with ExitStack() as stack:
            paths = {self.places[name][0] for name in names}
            files = {path: stack.enter_context(safe_open(path, "pt")) for path in paths}
            return {name: files[self.places[name][0]].get_tensor(self.places[name][1]) for name in names}

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every parameter, by the class's names."""
        return {name: tuple(tensor.shape) for name, tensor in self.model.named_parameters()}

    @cached_property
    def layers(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of its linear and convolutional weights, by path."""
        return inject.layers(self.model)


def stored(place: Path, family: str, part: str) -> Stored:
    """A part where it lies: a publisher's file of the family's, or a folder in diffusers' layout, of one file or more.

    Weights may be in 8-bit floats. Raises PortraitistError for what is damaged, lacks weights or has others.
    """
    if place.is_file():
        layout = layouts.of(family)
        if layout is None:
            raise PortraitistError(f"No part of {family} is read out of a file", "Give it as a folder.")
        header = headers.read(place)
        headers.refuse_rounded(header, but=EIGHT_BITS)
        said, how = dict(layout.config(part)), layout.weights[part]
        model = reading.empty(class_of(said, family, place), said)
        streaming.mapped(model, header, how)
        return Stored(model, {}, (header, how))
    said = durable.read_json(place / "config.json")
    model = reading.empty(class_of(said, family, place), said)
    own = set(model.state_dict())
    places: dict[str, tuple[Path, str]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for header in map(headers.read, shards(place)):
        headers.refuse_rounded(header, but=EIGHT_BITS)
        for full, shape in header.shapes.items():
            short = full.removeprefix("text_model.")  # a level that transformers' fifth version gave up
            name = short if full not in own and short in own else full
            if name in own or not full.endswith(UNREAD):
                places[name], shapes[name] = (header.path, full), shape
    reading.check(model, shapes, place)
    return Stored(model, places)


def class_of(said: Mapping[str, Any], family: str, place: Path) -> Any:
    """The class that a part's config.json names, or that of the family's denoiser where it names none."""
    kind = str(said.get("_class_name") or next(iter(said.get("architectures") or [""])))
    if not kind:
        return type(trees.denoiser(dialects.tree_of(family)))
    found = getattr(diffusers, kind, None) or getattr(transformers, kind, None)
    if found is None:
        raise PortraitistError(f"{place} is of no class that is known: {kind!r}", "Copy this part of the base again.")
    return found


def shards(folder: Path) -> list[Path]:
    """The files of a part's folder; of two precisions side by side the plain one."""
    there = sorted(path for stem in (streaming.STEM, "model") for path in folder.glob(f"{stem}*{headers.WEIGHTS}"))
    return [path for path in there if ".fp16." not in path.name] or there
