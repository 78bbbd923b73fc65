"""Layers' factors and what is known of them, before and after their ranks are settled."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.adapters import ranks
from portraitist.adapters.files import ALPHA, DOWN, UP
from portraitist.adapters.ranks import Ranks
from portraitist.errors import PortraitistError

CHECKED = 100
"""Of so many factored layers one is held against the best there is: one per cent, or a few where there are few."""


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

    def worth(self, rank: int, dtype: torch.dtype) -> float:
        """Energy per byte of one of its ranks."""
        return self.sizes[rank] ** 2 / cost(self.shape, dtype) if len(self.sizes) else 0.0

    def tensors(self, rank: int) -> dict[str, Tensor]:
        """Its first ranks by canonical names; the alpha is the rank, for a scale of 1."""
        up = self.up[:, :rank].reshape(self.shape[0], rank, *(1 for _ in self.shape[2:])).contiguous()
        down = self.down[:rank].reshape(rank, *self.shape[1:]).contiguous()
        return {self.module + UP: up, self.module + DOWN: down, self.module + ALPHA: torch.tensor(float(rank))}


def settled(rows: Sequence[Row], asked: Ranks, dtype: torch.dtype, beside: int = 0) -> dict[str, int]:
    """Ranks by layer: all that were found, or those of a file's size, of which `beside` bytes are taken already."""
    if not asked.size:
        return {row.module: len(row.sizes) for row in rows}
    costs = {row.module: cost(row.shape, dtype) for row in rows}
    header = 400 * len(rows)  # names, shapes and places of three tensors
    budget = int(asked.size * 1e6) - header - beside
    if budget < min(costs.values()):
        raise PortraitistError(f"{asked.size:g} MB hold no rank beside names, biases and norms", "Say a larger --size.")
    return ranks.within({row.module: row.sizes for row in rows}, costs, budget)


def cost(shape: Sequence[int], dtype: torch.dtype) -> int:
    """Bytes of one rank of a layer."""
    return (shape[0] + prod(shape[1:])) * dtype.itemsize


def worthless(rows: Sequence[Row], asked: Ranks, dtype: torch.dtype) -> float:
    """Energy per byte up to which no rank is taken, whatever others are still to be found: what is worth more fills
    the file already, but for what its last bytes have room for. 0 while there is room."""
    worth = np.concatenate([np.square(row.sizes) / cost(row.shape, dtype) for row in rows] or [np.zeros(0)])
    costs = np.concatenate([np.full(len(row.sizes), cost(row.shape, dtype)) for row in rows] or [np.zeros(0)])
    order = np.argsort(-worth, kind="stable")
    full = np.searchsorted(costs[order].cumsum(), asked.size * 1e6)
    return float(worth[order][full]) if full < len(order) else 0.0


def mean(shapes: Iterable[Sequence[int]], asked: Ranks, dtype: torch.dtype) -> int:
    """The rank of all layers that a file's size has room for, at least 4; the most there are where none is asked."""
    if not asked.size:
        return 1024
    each = sum(cost(shape, dtype) for shape in shapes)
    return max(4, math.ceil(asked.size * 1e6 / max(each, 1)))


def number(module: str) -> int:
    """A number that is a function of a module's name, for a choice that is the same in every run."""
    return sum((i + 1) * ord(char) for i, char in enumerate(module))


def certified(layer: Layer) -> dict[str, Any]:
    """One layer's certificate: the energy of its change, what is left of it, and, where it was held against the best,
    by what share its error is larger."""
    facts = {"module": layer.module, "rank": layer.rank, "energy": layer.energy, "left": layer.left}
    return facts | ({} if layer.excess is None else {"excess": layer.excess})
