"""Which part of which published base a file holds, by the names and shapes in its header: nothing else of it is read.

Held to the published models' classes by tests/integration/test_inspect_bases.py.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from math import prod
from typing import Any

import torch

from portraitist.bases import layouts, reading
from portraitist.bases.forms import FORMS
from portraitist.bases.headers import SHARD, Header
from portraitist.bases.layouts import UNREAD, Layout, Written
from portraitist.bases.prediction import ZERO, V
from portraitist.tensorfile import WHOLE

Sizes = Mapping[str, tuple[int, ...]]
UNMET = (LookupError, ArithmeticError, AttributeError, ValueError, TypeError, RuntimeError)
"""What converters raise on names or shapes that they are not for."""


@dataclass(frozen=True, slots=True)
class Known:
    """A part of a family's published base, and its class as library.Class."""

    family: str
    part: str
    kind: str

    @property
    def layout(self) -> Layout:
        """How its publisher writes it. Raises KeyError for a family whose files are not known."""
        found = layouts.of(self.family)
        if found is None:
            raise KeyError(self.family)
        return found

    @property
    def written(self) -> Written:
        """The same of this part."""
        return self.layout.weights[self.part]

    @property
    def facts(self) -> tuple[str, str]:
        """Class and configuration, as JSON: what tells sizes."""
        return self.kind, json.dumps(dict(self.layout.config(self.part)), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a base in a file.

    families  whose part of this name it is; several where all is alike
    prefix    what stands before its names in the file
    own       whether the names are those of diffusers' or transformers' class, or else its publisher's
    tensors   of it in the file, by the file's names
    of, fit   tensors of the class, and those of them that are there in their size
    lacks, over, sized  by the class's names: those not there, those it has no place for, those of another size
    """

    part: str
    families: tuple[str, ...]
    prefix: str
    own: bool
    tensors: int
    of: int
    fit: int
    lacks: tuple[str, ...]
    over: tuple[str, ...]
    sized: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int, int]:
        """The higher, the better a part it is of what stands in the file."""
        return self.fit, -len(self.lacks), -len(self.over)

    def likely(self, shard: bool) -> bool:
        """Whether it is this part at all, in one of several files or not: half of what is there fits, and of the part
        half is there. What lacks some and has others, such as a ControlNet, is another model made of the same layers.
        """
        much = 9 * len(self.lacks) <= self.fit or not (self.lacks and self.over)
        return self.fit >= max(1, len(self.sized) + len(self.over)) and much and (shard or 2 * self.fit >= self.of)


def recognise(header: Header, known: Iterable[Known]) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """The parts in a file, and the names of the tensors that are of none.

    What stands behind one prefix is one part: of the likely ones the one that fits best, by names and sizes.
    """
    known, shard = tuple(known), bool(SHARD.search(header.path.stem))
    if sum(map(prod, header.shapes.values())) > 2 * header.path.stat().st_size:
        return (), tuple(header.shapes)  # its sizes are made up
    parts, strangers = [], []
    for prefix, sizes in groups(header.shapes, {one.written.inside for one in known}).items():
        able = [one for one in known if prefix in ("", WHOLE, one.written.inside)]
        fitting = [found for one in able if (found := read(one, prefix, sizes)).likely(shard)]
        if not fitting:
            strangers += [prefix + name for name in sizes if prefix + name not in (V, ZERO)]
            continue
        best = max(fitting, key=lambda found: found.rank)
        alike = [f.families[0] for f in fitting if (f.rank, f.part) == (best.rank, best.part)]
        parts.append(replace(best, families=tuple(dict.fromkeys(alike))))
    return tuple(parts), tuple(strangers)


def groups(sizes: Sizes, prefixes: Iterable[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Tensors by what stands before their names, the longest that fits, and that taken off."""
    order = sorted({WHOLE, "", *prefixes}, key=len, reverse=True)
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in sizes.items():
        prefix = next(prefix for prefix in order if name.startswith(prefix))
        found.setdefault(prefix, {})[name.removeprefix(prefix)] = shape
    return found


def read(one: Known, prefix: str, sizes: Sizes) -> Found:
    """Tensors taken for a known part, by its class's names or by its publisher's, whichever fit better."""
    how, ways = one.written, [sizes]
    if prefix == how.inside != "" or not how.signs or any(sign in sizes for sign in how.signs):
        ways += turned(sizes, one)
    return max((compared(one, prefix, sizes, names) for names in ways), key=lambda found: found.rank)


def compared(one: Known, prefix: str, sizes: Sizes, names: Sizes) -> Found:
    """Tensors of a file held against those of a known part; `names` has them by its class's names."""
    wanted = sizes_of(*one.facts)
    return Found(
        part=one.part,
        families=(one.family,),
        prefix=prefix,
        own=all(name in names or idle(name) for name in sizes),
        tensors=len(sizes),
        of=len(wanted),
        fit=sum(names.get(name) == shape for name, shape in wanted.items()),
        lacks=tuple(name for name in wanted if name not in names),
        over=tuple(name for name in names if name not in wanted and not idle(name)),
        sized=tuple(
            f"{name} {names[name]}, not {shape}" for name, shape in wanted.items() if names.get(name, shape) != shape
        ),
    )


def idle(name: str) -> bool:
    """Whether a tensor is no weight: a mark, or what files carry along."""
    return name.endswith(UNREAD) or name in (V, ZERO)


def turned(sizes: Sizes, one: Known) -> list[Sizes]:
    """Sizes by the class's names, where they stand by its publisher's; none for what only looks like those."""
    form: Callable[..., Mapping[str, Any]] = (
        FORMS[one.written.form] if isinstance(one.written.form, str) else one.written.form
    )
    try:
        blank = {name: torch.empty((), dtype=torch.uint8).expand(shape) for name, shape in sizes.items()}
        return [{name: tuple(tensor.shape) for name, tensor in form(blank, built(*one.facts)).items()}]
    except UNMET:
        return []


@lru_cache(maxsize=64)
def built(kind: str, config: str) -> Any:
    """An empty model of a class, and a configuration as JSON."""
    library, _, name = kind.partition(".")
    return reading.empty(getattr(import_module(library), name), json.loads(config))


@lru_cache(maxsize=64)
def sizes_of(kind: str, config: str) -> Sizes:
    """The shapes of its tensors."""
    return {name: tuple(tensor.shape) for name, tensor in built(kind, config).state_dict().items()}
