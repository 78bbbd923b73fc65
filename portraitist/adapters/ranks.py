"""How many ranks each layer gets: as many for all, as many as hold a share of its change, or what a file's size allows.

Loads no torch.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from portraitist.errors import PortraitistError

USUAL, MOST = 64, 256
"""Ranks of every layer, and the most of one where each gets its own."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """What a person asked for.

    linear       ranks of a linear layer or a 1x1 convolution; with `energy` or `size` the most of one; 0 is the usual
    convolution  the same of larger convolutions; 0 is as `linear`
    energy       share of each layer's change to be held, in (0, 1); 0 asks for none
    size         of the file, megabytes of 1e6 bytes; 0 asks for none
    """

    linear: int = 0
    convolution: int = 0
    energy: float = 0.0
    size: float = 0.0

    @property
    def chosen(self) -> bool:
        """Whether each layer gets its own."""
        return self.energy > 0 or self.size > 0

    def of(self, shape: Sequence[int]) -> int:
        """The most ranks of a layer by its weight's shape."""
        usual = self.linear or (MOST if self.chosen else USUAL)
        asked = self.convolution if self.convolution and prod(shape[2:]) > 1 else usual
        return min(asked, shape[0], prod(shape[1:]))

    def check(self) -> None:
        """Refuse what no adapter has."""
        for name, rank in (("rank", self.linear), ("conv-rank", self.convolution)):
            if not 0 <= rank <= 1024:
                raise PortraitistError(
                    f"--{name} {rank} is not from 1 to 1024", "64 is usual for SDXL, 16 to 32 for the others."
                )
        if self.energy and not 0 < self.energy < 1:
            raise PortraitistError(f"--energy {self.energy:g} is not between 0 and 1", "Say a share, such as 0.9.")
        if self.size < 0:
            raise PortraitistError(f"--size {self.size:g} is no size", "Say megabytes, such as 200.")
        if self.energy and self.size:
            raise PortraitistError("--energy and --size both choose the ranks", "Give one.")


def enough(sizes: Sequence[float], energy: float, share: float) -> int:
    """The fewest ranks that hold a share of a layer's energy; one more than there are where all do not.

    sizes  singular values, the largest first
    """
    held = 0.0
    for i, size in enumerate(sizes):
        held += size * size
        if held >= share * energy:
            return i + 1
    return len(sizes) + 1


def within(sizes: Mapping[str, Sequence[float]], costs: Mapping[str, int], budget: int) -> dict[str, int]:
    """Ranks by layer that hold the most energy within a budget: the one that holds most per byte first.

    sizes  each layer's singular values, the largest first
    costs  bytes of one rank of each
    budget bytes
    A layer's ranks come in the order of their worth, so no choice of as many bytes holds more, but for what the one
    rank would that was the first not to fit (Dantzig 1957); smaller ones may still take its bytes.
    """
    found = dict.fromkeys(sizes, 0)
    waiting = [(-(values[0] ** 2) / costs[name], name) for name, values in sizes.items() if len(values)]
    heapq.heapify(waiting)
    while waiting:
        _, name = heapq.heappop(waiting)
        if costs[name] > budget:
            continue
        budget -= costs[name]
        found[name] += 1
        if found[name] < len(sizes[name]):
            heapq.heappush(waiting, (-(sizes[name][found[name]] ** 2) / costs[name], name))
    return found
