"""What an adapter file says, layer by layer, whatever its dialect; and the same said in another.

A conversion renames tensors and moves rows of them; it never computes with their values. Where layers are fused (qkv
in FLUX's own layout), factors are taken apart and put together by rows and ranks, and what this cannot do exactly is
refused. Held to diffusers' converters by tests/integration/test_dialects.py.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from portraitist.adapters.dialects import ALPHA, DOWN, Dialect, Entry, cut, of
from portraitist.adapters.fused import Parts, apart, kind, same, together
from portraitist.adapters.trees import Shapes
from portraitist.errors import PortraitistError

METADATA = "lora_adapter_metadata"  # where diffusers keeps ranks and alphas, as JSON in the header


@dataclass(frozen=True, eq=False)
class Layer:
    """What a file says of one layer.

    name     as in the file, without suffixes
    entry    what the name means
    """

    name: str
    entry: Entry
    tensors: Parts


@dataclass(frozen=True, eq=False)
class Content:
    """An adapter file, understood: its layers in the file's order, and the tensors that belong to none."""

    layers: tuple[Layer, ...]
    strangers: tuple[str, ...]


def read(tensors: Mapping[str, Tensor], words: Mapping[str, Entry]) -> Content:
    """Sort a file's tensors by layer.

    words  what names mean, from `dialects.lexicon`
    Raises PortraitistError when two tensors are the same part of one layer.
    """
    found: dict[str, dict[str, Tensor]] = {}
    strangers = []
    for name, tensor in tensors.items():
        module, role, _ = cut(name)
        if not role or module not in words:
            strangers.append(name)
        elif role in found.setdefault(module, {}):
            raise PortraitistError(f"The file says twice what {module} is: {name}", "Use a file with one adapter.")
        else:
            found[module][role] = tensor
    return Content(tuple(Layer(name, words[name], parts) for name, parts in found.items()), tuple(strangers))


def explicit(content: Content, metadata: Mapping[str, str]) -> Content:
    """The content with the alphas that only diffusers' header states put beside their factors.

    Nobody else reads them there. Raises PortraitistError for a header that cannot be understood, and for
    rank-stabilised scales, alpha / sqrt(rank), that are no fraction.
    """
    try:
        stated: dict[str, Any] = json.loads(metadata.get(METADATA) or "{}")
        if not isinstance(stated, dict):
            raise ValueError("it is no table")
        layers = tuple(with_alpha(layer, stated) for layer in content.layers)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, re.error) as error:
        raise PortraitistError(
            f"The file's {METADATA} cannot be understood: {error}", "Save it again with diffusers."
        ) from error
    return Content(layers, content.strangers)


def with_alpha(layer: Layer, stated: Mapping[str, Any]) -> Layer:
    """A layer with the alpha that diffusers' header states for it, when that is not its rank."""
    part, _, module = layer.name.partition(".")
    down = layer.tensors.get(DOWN)
    if down is None or down.ndim == 0 or ALPHA in layer.tensors or f"{part}.lora_alpha" not in stated:
        return layer
    from peft.utils.other import get_pattern_key

    pattern = stated.get(f"{part}.alpha_pattern") or {}
    alpha = float(pattern.get(get_pattern_key(pattern.keys(), module), stated[f"{part}.lora_alpha"]))
    if not math.isfinite(alpha):
        raise ValueError(f"lora_alpha = {alpha}")
    rank = len(down)
    if stated.get(f"{part}.use_rslora"):
        if math.isqrt(rank) ** 2 != rank:
            raise PortraitistError(
                f"{layer.name} is scaled by alpha / sqrt({rank}), which no alpha states exactly",
                "Train with use_rslora off, or with a rank that is a square, such as 16.",
            )
        alpha *= math.isqrt(rank)
    if alpha == rank:
        return layer
    return Layer(layer.name, layer.entry, {**layer.tensors, ALPHA: torch.tensor(alpha, dtype=torch.float32)})


def write(content: Content, dialect: Dialect, shapes: Shapes) -> dict[str, Tensor]:
    """The content by a dialect's names.

    shapes  of the family's weights, by canonical name
    Raises PortraitistError for what the dialect has no name for, and for what it cannot hold exactly.
    """
    said: dict[str, Parts] = {}
    loose: dict[str, Parts] = {}
    for layer in content.layers:
        places = [dialect.place(module) for module in layer.entry.modules]
        first = places[0]
        if first and len(places) == first.parts and first.swapped == layer.entry.swapped:
            if first.name in said:
                raise twice(first.name)
            said[first.name] = layer.tensors
            continue
        for module, parts in apart(layer.name, layer.entry, layer.tensors, shapes).items():
            if module in loose:
                raise twice(module)
            loose[module] = parts
    groups: dict[str, dict[int, str]] = {}
    for module in loose:
        place = dialect.place(module)
        if place is None:
            raise PortraitistError(
                f"{dialect.name} has no name for {module} of {dialect.family}", f"Choose {others(dialect)}."
            )
        groups.setdefault(place.name, {})[place.part] = module
    for name, modules in groups.items():
        if name in said:
            raise twice(name)
        said[name] = together({part: loose[module] for part, module in modules.items()}, name, dialect, shapes)
    return {
        name + suffix(dialect, name, role): tensor for name, parts in said.items() for role, tensor in parts.items()
    }


def suffix(dialect: Dialect, name: str, role: str) -> str:
    """What a part is called in a dialect; refused when it has no name for it."""
    if role not in dialect.suffixes:
        able = [row.name for row in of(dialect.family) if row.written and role in row.suffixes]
        remedy = f"Choose one of: {', '.join(able)}." if able else "Use the file as it is."
        raise PortraitistError(f"{dialect.name} cannot hold {name}: it is {kind((role,))}", remedy)
    return dialect.suffixes[role]


def others(dialect: Dialect) -> str:
    """The other dialects that are written for a family."""
    return " or ".join(row.name for row in of(dialect.family) if row.written and row.name != dialect.name)


def twice(name: str) -> PortraitistError:
    """The refusal of a file that changes one layer in two ways."""
    return PortraitistError(f"The file says twice what {name} is, by two names", "Use a file in one dialect.")


def lost(before: Content, after: Content, shapes: Shapes) -> str:
    """The first module that two contents do not say the same of, to the bit; "" when there is none."""
    one, other = (
        {(layer.entry.modules, layer.entry.swapped): layer for layer in content.layers} for content in (before, after)
    )
    alike = {key for key in one.keys() & other.keys() if equal(one[key].tensors, other[key].tensors)}
    mine, theirs = (
        {
            module: parts
            for key, layer in layers.items()
            if key not in alike
            for module, parts in apart(layer.name, layer.entry, layer.tensors, shapes).items()
        }
        for layers in (one, other)
    )
    return next((m for m in {**mine, **theirs} if not equal(mine.get(m, {}), theirs.get(m, {}))), "")


def equal(one: Parts, other: Parts) -> bool:
    """Whether two layers' parts are the same to the bit."""
    return one.keys() == other.keys() and all(same(one[role], other[role]) for role in one)
