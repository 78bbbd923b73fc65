"""A part of a base as it lies on disk: its tensors by its class's names, a few at a time, and let go again.

Nothing is held but what was asked for last: of a model of many gigabytes there is never more in memory than the tensors
at hand. Held to the classes by tests/integration/test_stored.py.
"""

import math
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from portraitist import durable, tensorfile
from portraitist.adapters import dialects, inject, trees
from portraitist.adapters.factoring import Room
from portraitist.bases import headers, layouts, reading, streaming
from portraitist.bases.layouts import UNREAD, Written
from portraitist.errors import PortraitistError

EIGHT_BITS = ("F8",)
"""Types that are values as they stand; files that go with scales have these as tensors of no class, and are refused."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tensor's bytes lie in a file, in one piece."""

    path: Path
    begin: int
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Stored:
    """A part's tensors on disk.

    model   of its class, without memory for weights
    spans   by the class's names, of the tensors whose bytes lie in one piece
    single  of a publisher's file: its header, and how it is written
    """

    model: Any
    spans: Mapping[str, Span]
    single: tuple[headers.Header, Written] | None = None

    def take(self, name: str) -> Tensor:
        """A tensor by the class's name."""
        span = self.spans.get(name)
        if span is None:  # made of others, or turned; of a folder every tensor has one
            assert self.single is not None
            return streaming.mapped(self.model, *self.single)[name]
        found = torch.empty(span.shape, dtype=span.dtype)
        for _ in durable.read_pieces(span.path, span.begin, found.nbytes, memoryview(tensorfile.raw(found))):
            pass
        return found

    def pieces(self, name: str, numbers: int, room: Room) -> Iterator[Tensor]:
        """A tensor by the class's name, flat, so many numbers at a time: each is gone when the next is taken.

        It is read, and not mapped: threads that meet new pages wait for each other.
        """
        span = self.spans.get(name)
        if span is None:
            yield from torch.split(self.take(name).reshape(-1), numbers)
            return
        size = span.dtype.itemsize
        if 0 in span.shape:
            yield torch.empty(0, dtype=span.dtype)
        place = room.take("piece", numbers * size, dtype=torch.uint8)
        for piece in durable.read_pieces(span.path, span.begin, math.prod(span.shape) * size, place.numpy().data):
            yield place[: len(piece)].view(span.dtype)

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
        with reading.opened(place) as file:
            there = {name: file.get_tensor(name) for name in reading.names(header, how).values()}
            found = streaming.mapped(model, header, how, there)
            return Stored(model, dict(spans(header, there, found)), (header, how))
    said = durable.read_json(place / "config.json")
    model = reading.empty(class_of(said, family, place), said)
    own = set(model.state_dict())
    places: dict[str, Span] = {}
    for header in map(headers.read, shards(place)):
        headers.refuse_rounded(header, but=EIGHT_BITS)
        with reading.opened(header.path) as file:
            there = {name: file.get_tensor(name) for name in header.shapes}
            for full, span in spans(header, there, there):
                short = full.removeprefix("text_model.")  # a level that transformers' fifth version gave up
                name = short if full not in own and short in own else full
                if name in places:
                    raise PortraitistError(f"{place} has {full} in two files", "Leave one set of files in it.")
                if name in own or not full.endswith(UNREAD):
                    places[name] = span
    reading.check(model, {name: span.shape for name, span in places.items()}, place)
    return Stored(model, places)


def spans(
    header: headers.Header, there: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> Iterator[tuple[str, Span]]:
    """Where tensors lie that are a file's own, or pieces of these; nothing of others.

    there  the file's tensors, mapped; found: what was made of them without copying
    """
    starts = sorted((tensor.data_ptr(), tensor.nbytes, header.begins[name]) for name, tensor in there.items())
    for name, tensor in found.items():
        begin, size, at = starts[bisect(starts, (tensor.data_ptr(), math.inf)) - 1]
        off = tensor.data_ptr() - begin
        if tensor.is_contiguous() and 0 <= off <= size - tensor.nbytes:
            yield name, Span(header.path, at + off, tuple(tensor.shape), tensor.dtype)


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
