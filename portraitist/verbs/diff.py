"""diff: where and by how much two adapters of one family differ."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import families


@dataclass(frozen=True, slots=True)
class DiffResult:
    """How two adapters compare.

    cosine     between their changes as a whole, in [-1, 1]: 1 is the same direction, 0 is nothing in common
    sizes      Frobenius norms of both changes
    distance   norm of their difference
    only       modules that one of them alone changes, for each file
    farthest   the five modules that both change and whose changes agree least
    each       every module: both norms and the cosine
    """

    family: str
    cosine: float
    sizes: tuple[float, float]
    distance: float
    modules: int
    only: dict[str, str]
    farthest: dict[str, str]
    each: list[dict[str, Any]]


def diff(one: Path, other: Path, base: Path | None = None, family: str = "") -> DiffResult:
    """Compare two adapter files of one family, whatever their dialects, kinds and ranks; no picture is drawn.

    base  the model that they were trained on, which DoRA alone needs
    Raises PortraitistError for files of two families.
    """
    from portraitist.adapters.remaking import compared
    from portraitist.adapters.understanding import understood

    known = understood(one, family), understood(other, family)
    found = compared(*known, families.weights_of(base, known[0].family))
    energies = sum(x.one for x in found), sum(x.other for x in found)
    both = sum(x.cosine * math.sqrt(x.one * x.other) for x in found if not math.isnan(x.cosine))
    shared = sorted((x for x in found if not math.isnan(x.cosine)), key=lambda x: x.cosine)
    norm = math.sqrt(energies[0] * energies[1])
    alone = {str(one): [x.module for x in found if x.one and not x.other]}
    alone |= {str(other): [x.module for x in found if x.other and not x.one]}
    return DiffResult(
        family=known[0].family,
        cosine=round(both / norm, 6) if norm else 0.0,
        sizes=(round(math.sqrt(energies[0]), 6), round(math.sqrt(energies[1]), 6)),
        distance=round(math.sqrt(max(0.0, energies[0] + energies[1] - 2 * both)), 6),
        modules=len(shared),
        only={name: f"{len(modules)} modules, such as {modules[0]}" for name, modules in alone.items() if modules},
        farthest={x.module: f"cosine {x.cosine:.3f}" for x in shared[:5]},
        each=[{"module": x.module, "norms": [math.sqrt(x.one), math.sqrt(x.other)], "cosine": x.cosine} for x in found],
    )
