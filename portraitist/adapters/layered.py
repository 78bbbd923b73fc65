"""Layers' factors and what is known of them, before and after their ranks are settled."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from portraitist.adapters import ranks
from portraitist.adapters.files import ALPHA, DOWN, UP
from portraitist.adapters.ranks import Ranks
from portraitist.errors import PortraitistError

CHECKED = 50
"""Of so many factored layers one is held against the best there is: two per cent."""

BROADER = 3  # times the mean rank that a file's size allows: the most ranks of one layer that are looked at


@dataclass(frozen=True, slots=True)
class Layer:
    """What became of one layer's change.

    energy  of the change: the sum of its entries' squares
    left    of that, what the factors do not hold, as they are stored
    least   what the best factors of that rank would leave, before rounding; None where it was not looked at
    """

    module: str
    rank: int
    energy: float
    left: float
    least: float | None = None

    @property
    def kept(self) -> float:
        """The share of the energy that the factors hold."""
        return 1 - self.left / self.energy

    @property
    def excess(self) -> float | None:
        """By how much of the least error there is the factors err more."""
        return None if not self.least else math.sqrt(self.left / self.least) - 1


@dataclass(frozen=True, eq=False)
class Row:
    """One layer's factors before ranks are settled: ranks in the order of their sizes, and what rounding each loses.

    least  what the best factors would leave, by rank; empty where it was not looked at
    peak   the largest entry of the change, where sd-scripts' way asks for it
    left   what is left, where it is measured and not known from the sizes
    """

    module: str
    shape: tuple[int, ...]
    energy: float
    up: Tensor
    down: Tensor
    sizes: Sequence[float]
    lost: Sequence[float]
    least: Sequence[float] = ()
    peak: float = 0.0
    left: float | None = None

    def layer(self, rank: int) -> Layer:
        """What its first ranks come to."""
        held = sum(size * size for size in self.sizes[:rank])
        left = max(0.0, self.energy - held) + sum(self.lost[:rank]) if self.left is None else self.left
        return Layer(self.module, rank, self.energy, left, self.least[rank - 1] if self.least else None)

    def tensors(self, rank: int) -> dict[str, Tensor]:
        """Its first ranks by canonical names; the alpha is the rank, for a scale of 1."""
        up = self.up[:, :rank].reshape(self.shape[0], rank, *(1 for _ in self.shape[2:])).contiguous()
        down = self.down[:rank].reshape(rank, *self.shape[1:]).contiguous()
        return {self.module + UP: up, self.module + DOWN: down, self.module + ALPHA: torch.tensor(float(rank))}


def settled(rows: Sequence[Row], asked: Ranks, dtype: torch.dtype, beside: int = 0) -> dict[str, int]:
    """Ranks by layer: all that were found, or those of a file's size, of which `beside` bytes are taken already."""
    if not asked.size:
        return {row.module: len(row.sizes) for row in rows}
    costs = {row.module: (row.shape[0] + prod(row.shape[1:])) * dtype.itemsize for row in rows}
    header = 400 * len(rows)  # names, shapes and places of three tensors
    budget = int(asked.size * 1e6) - header - beside
    if budget < min(costs.values()):
        raise PortraitistError(f"{asked.size:g} MB hold no rank beside names, biases and norms", "Say a larger --size.")
    return ranks.within({row.module: row.sizes for row in rows}, costs, budget)


def bound(shapes: Iterable[Sequence[int]], asked: Ranks, dtype: torch.dtype) -> int:
    """The most ranks of one layer where a file's size chooses: thrice what weights of these shapes have room for."""
    if not asked.size:
        return 1024
    each = sum((shape[0] + prod(shape[1:])) * dtype.itemsize for shape in shapes)
    return max(4, math.ceil(BROADER * asked.size * 1e6 / max(each, 1)))


def number(module: str) -> int:
    """A number that is a function of a module's name, for a choice that is the same in every run."""
    return sum((i + 1) * ord(char) for i, char in enumerate(module))


def certified(layer: Layer) -> dict[str, Any]:
    """One layer's certificate: the energy of its change, what is left of it, and, where it was held against the best,
    by what share its error is larger."""
    facts = {"module": layer.module, "rank": layer.rank, "energy": layer.energy, "left": layer.left}
    return facts | ({} if layer.excess is None else {"excess": layer.excess})
