"""Adapters made anew of one or several: added, thinned out and merged as peft does, cut to other ranks.

What is lost is told for every layer. Sums of factors are exact before ranks are cut; peft's ways of merging work on the
changes multiplied out. Held to sums of weights and to peft by tests/integration/test_workshop.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from portraitist.adapters import changes, factoring, ranks
from portraitist.adapters.changes import Change
from portraitist.adapters.dialects import ALPHA, DIFFERENCES, DORA, DOWN, MAGNITUDE, UP
from portraitist.adapters.fused import Parts
from portraitist.adapters.layered import Layer, Row, mean, settled
from portraitist.adapters.products import rank as rank_of
from portraitist.adapters.ranks import Ranks
from portraitist.adapters.understanding import Understood
from portraitist.dataset.draws import number
from portraitist.errors import PortraitistError

ROUNDING = 1e-10
"""A sum whose energy is below this share of its parts' is what rounding leaves of nothing."""

How = Literal["sum", "ties", "dare", "dare-ties", "prune"]

BROADER = 3  # times the mean rank that a file's size allows: the most ranks of one layer that are looked at


@dataclass(frozen=True, slots=True)
class Mixed:
    """How several become one.

    weights  of each, which may be negative
    how      "sum": the weighted sum, exactly; the others are peft's (arXiv 2306.01708, 2311.03099): "ties" keeps the
             largest entries and those of the sign that prevails, "dare" keeps entries by chance and scales them up,
             "dare-ties" both, "prune" keeps the largest
    density  share of entries that those keep, in (0, 1]
    seed     of the chance
    """

    weights: tuple[float, ...]
    how: How = "sum"
    density: float = 0.5
    seed: int = 0


Weight = Callable[[str], Tensor | None]
"""The base's weight of a module, for DoRA; None where there is no base at hand."""


@dataclass(frozen=True, eq=False)
class Remade:
    """Parts by canonical modules, and what became of each layer."""

    parts: Mapping[str, Parts]
    layers: tuple[Layer, ...]

    @property
    def kept(self) -> float:
        """The share of the change's energy that is held."""
        energy = sum(layer.energy for layer in self.layers)
        return 1 - sum(layer.left for layer in self.layers) / energy if energy else 1.0


def remade(
    given: Sequence[Understood],
    mixed: Mixed,
    asked: Ranks,
    dtype: torch.dtype,
    weight: Weight = lambda _: None,
    tell: Callable[[int, int], None] = lambda _, __: None,
) -> Remade:
    """One adapter of several of the same family, or of one.

    asked   without a rank, a share or a size, a sum keeps all that it has, and other ways as many as the largest has
    dtype   of the factors; biases and differences stay float32
    Raises PortraitistError for files of several families, and for kinds whose change is no sum.
    """
    if strange := next((one for one in given if one.family != given[0].family), None):
        raise PortraitistError(
            f"{given[0].path} is of {given[0].family}, {strange.path} of {strange.family}", "Merge files of one family."
        )
    modules = [one.modules() for one in given]
    names = list(dict.fromkeys(name for each in modules for name in each))
    rows: list[Row] = []
    found: dict[str, Parts] = {}
    tree = given[0].tree
    most = BROADER * mean([tree[name] for name in names], asked, dtype)
    for done, name in enumerate(names):
        parts = [each.get(name, {}) for each in modules]
        own = [changes.change(name, part, tree[name], weight(name)) if part else None for part in parts]
        found[name] = changes.beside(parts, mixed.weights)
        there = [(one, w) for one, w in zip(own, mixed.weights, strict=True) if one is not None]
        if there and all(not part or changes.is_difference(part) for part in parts):
            whole = changes.added([one for one, _ in there], [w for _, w in there]).dense()
            found[name] = {**found[name], "diff": whole.reshape(tree[name])}
        elif there:
            one = blended(name, [one for one, _ in there], [w for _, w in there], mixed)
            largest = max(max(one.rank for one, _ in there), 1)
            made = row(name, one, tree[name], asked, dtype, min(most, kept_ranks(one, asked, largest)))
            if made.energy > ROUNDING * sum(w * w * changes.inner(part, part) for part, w in there):
                rows.append(made)
        tell(done + 1, len(names))
    taken = settled(rows, asked, dtype)
    for one_row in rows:
        if rank := taken[one_row.module]:
            found[one_row.module] = {**found[one_row.module], **roles(one_row, rank)}
    return Remade(
        {name: parts for name, parts in found.items() if parts},
        tuple(one.layer(taken[one.module]) for one in rows if one.energy > 0),
    )


def kept_ranks(one: Change, asked: Ranks, largest: int) -> int:
    """The most ranks of a layer where nobody says: of a sum all that it has, else as the largest of the given."""
    return 1 << 20 if asked.linear or asked.chosen else (one.rank or largest)


def blended(name: str, there: Sequence[Change], weights: Sequence[float], mixed: Mixed) -> Change:
    """One layer's changes as one, in the way that is asked for."""
    if mixed.how == "sum":
        return changes.added(there, weights)
    from peft.utils import merge_utils

    dense, scales = [one.dense() for one in there], torch.tensor(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(mixed.seed, f"merge {name}", 0) >> 1)
        if mixed.how == "ties":
            return Change(whole=merge_utils.ties(dense, scales, mixed.density))
        if mixed.how == "dare":
            return Change(whole=merge_utils.dare_linear(dense, scales, mixed.density))
        if mixed.how == "dare-ties":
            return Change(whole=merge_utils.dare_ties(dense, scales, mixed.density))
        return Change(whole=merge_utils.magnitude_prune(dense, scales, mixed.density))


def row(module: str, one: Change, shape: Sequence[int], asked: Ranks, dtype: torch.dtype, most: int) -> Row:
    """One layer's factors, as many as may be needed."""
    limit = min(most, shape[0], prod(shape[1:]))
    if asked.linear or asked.chosen:
        limit = min(limit, asked.of(shape))
    found = one.split(limit)
    if asked.energy:
        limit = min(limit, ranks.enough(found.sizes.tolist(), found.energy, asked.energy))
    there = max(1, min(limit, int((found.sizes > 0).sum())))
    cut = factoring.Split(found.up[:, :there], found.down[:there], found.sizes[:there], found.energy)
    up, down, lost = cut.rounded(dtype)
    return Row(module, tuple(shape), found.energy, up, down, cut.sizes.tolist(), lost.tolist())


def roles(one: Row, rank: int) -> dict[str, Tensor]:
    """A layer's first ranks by role."""
    up, down, alpha = one.tensors(rank).values()
    return {UP: up, DOWN: down, ALPHA: alpha}


def rescaled(one: Understood, factor: float) -> dict[str, Parts]:
    """The same adapter at another strength: alphas and differences are multiplied, factors stay to the bit.

    Raises PortraitistError for DoRA, whose magnitudes no factor scales, and for LoKr without factors, whose readers
    take no alpha.
    """
    found: dict[str, Parts] = {}
    for name, parts in one.modules().items():
        scaled = {r: part * factor if r in DIFFERENCES else part for r, part in parts.items()}
        if not changes.is_difference(parts):
            ranks_there = len(parts[DOWN]) if DOWN in parts else rank_of(parts)
            if DORA in parts or MAGNITUDE in parts or not ranks_there:
                raise PortraitistError(
                    f"{name} has a strength that no alpha states", "Make it a plain LoRA first: portraitist resize."
                )
            alpha = float(parts[ALPHA]) if ALPHA in parts else float(ranks_there)
            scaled[ALPHA] = torch.tensor(alpha * factor, dtype=torch.float32)
        found[name] = scaled
    return found


@dataclass(frozen=True, slots=True)
class Likeness:
    """How two adapters' changes of one module compare: their energies, and the cosine between them in [-1, 1].

    cosine  nan where one of them has nothing there
    """

    module: str
    one: float
    other: float
    cosine: float


def compared(one: Understood, other: Understood, weight: Weight = lambda _: None) -> tuple[Likeness, ...]:
    """How two adapters of one family compare, module by module."""
    if one.family != other.family:
        raise PortraitistError(
            f"{one.path} is of {one.family}, {other.path} of {other.family}", "Compare files of one family."
        )
    mine, theirs, found = one.modules(), other.modules(), []
    for name in dict.fromkeys((*mine, *theirs)):
        pair = [
            changes.change(name, each[name], one.tree[name], weight(name)) if name in each else None
            for each in (mine, theirs)
        ]
        sizes = [changes.inner(part, part) if part is not None else 0.0 for part in pair]
        a, b = pair
        both = changes.inner(a, b) if a is not None and b is not None else 0.0
        norm = (sizes[0] * sizes[1]) ** 0.5
        found.append(Likeness(name, sizes[0], sizes[1], both / norm if norm else float("nan")))
    return tuple(found)
