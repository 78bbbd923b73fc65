"""Where an adapter acts: how much it adds to each layer, in how many directions, and the same summed over blocks.

Norms are of the change that a layer's factors come to, scale included, so that files of other alphas and ranks compare.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portraitist.adapters import changes
from portraitist.adapters.understanding import Understood

FULL = 0.9
"""Of its ranks a layer uses so many, as directions count, where it is told to have no room left."""

PARTS = r"\.(?:attentions|resnets|\w+samplers)\.\d+"
BLOCK = re.compile(rf"^mid_block{PARTS}|^(?:.*?\.)??(?:\w*blocks?|layers?|\w*refiner)\.\d+(?:{PARTS})?")
LARGEST = 64
"""Directions that are looked at in a change that is no product of factors."""


@dataclass(frozen=True, slots=True)
class Acting:
    """What an adapter adds to one layer.

    norm       of the change, Frobenius'
    rank       of its factors; 0 of a whole change
    effective  in how many directions it acts: e to the entropy of its singular values' shares (Roy & Vetterli 2007)
    """

    module: str
    norm: float
    rank: int
    effective: float

    @property
    def block(self) -> str:
        """The block that the layer is of; "" for one outside."""
        found = BLOCK.match(self.module)
        return found[0] if found else ""

    @property
    def kind(self) -> str:
        """What the layer is within its block."""
        return self.module.removeprefix(self.block).lstrip(".") or self.module

    @property
    def full(self) -> bool:
        """Whether nearly all its ranks are in use: a larger rank might hold more."""
        return self.rank > 1 and self.effective > FULL * self.rank


def acting(known: Understood) -> tuple[Acting, ...]:
    """What an adapter adds, layer by layer, in the denoiser's order; of DoRA without its sizes.

    Raises PortraitistError for kinds whose change is no sum.
    """
    found = []
    modules = known.modules()
    for module, parts in ((name, modules[name]) for name in known.tree if name in modules):
        plain = {role: part for role, part in parts.items() if role not in ("dora_scale", "magnitude")}
        one = changes.change(module, plain, known.tree[module])
        if one is None:
            continue
        whole = one.split(LARGEST)
        found.append(Acting(module, math.sqrt(whole.energy), one.rank, directions(whole.sizes.tolist())))
    return tuple(found)


def directions(sizes: Sequence[float]) -> float:
    """e to the entropy of the shares of singular values: n where n are alike, near 1 where one outweighs the rest."""
    total = sum(sizes)
    shares = [size / total for size in sizes if size > 0] if total else []
    return math.exp(-sum(share * math.log(share) for share in shares)) if shares else 0.0


def shares(found: Sequence[Acting]) -> Mapping[str, float]:
    """The share of the change's energy by block, in their order; what lies outside is "other layers"."""
    energy: dict[str, float] = {}
    for one in found:
        energy[one.block or "other layers"] = energy.get(one.block or "other layers", 0.0) + one.norm**2
    total = sum(energy.values())
    return {block: value / total if total else 0.0 for block, value in energy.items()}


def grid(found: Sequence[Acting]) -> tuple[tuple[str, ...], tuple[str, ...], Mapping[tuple[str, str], Acting]]:
    """Blocks, kinds of layers, and what acts where."""
    inside = [one for one in found if one.block]
    blocks, kinds = (tuple(dict.fromkeys(getattr(one, what) for one in inside)) for what in ("block", "kind"))
    return blocks, kinds, {(one.block, one.kind): one for one in inside}
