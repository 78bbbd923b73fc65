"""A recovery adapter in closed form, layer by layer as the weights are read.

L2QER (arXiv 2402.02446), with the scales for which QERA (arXiv 2410.06040) shows it to leave least of a layer's error
where features do not go together.

With `s` the root mean square of each feature that a layer is given, the factors of rank r are those that leave least
of (W - W rounded) diag(s) in Frobenius' norm (Eckart & Young 1936), with 1 / s taken back into the inner one: a feature
that is large where the base works counts for more. Held to that theorem by tests/integration/test_packing.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.factoring import split
from portraitist.bases import streaming
from portraitist.family import Base
from portraitist.learn import memory, quantise
from portraitist.learn.quantise import Quantised
from portraitist.learn.recovery import INNER, OUTER

QUIET = 1e-3
"""Of a layer's features, those smaller than this share of their common root mean square count as that small: what was
never heard must not become a division by zero."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was given back of one layer's error: energies of (W - W rounded) diag(s), before and after."""

    layer: str
    energy: float
    left: float

    @property
    def kind(self) -> str:
        """The layer's path without the numbers of its blocks."""
        return re.sub(r"\.\d+(?=\.)", "", self.layer)


def factors(error: Tensor, sizes: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """What gives most of a weight's error back: inner (rank, in) and outer (out, rank), bfloat16.

    error  (out, in): the weight less the rounded one
    sizes  (in,): root mean squares of the layer's input
    """
    loud = loudness(sizes).to(error.device, torch.float64)
    found = split(error.double() * loud, min(rank, *error.shape), "exact")
    return (found.down.double() / loud).bfloat16(), found.up.bfloat16()


def loudness(sizes: Tensor) -> Tensor:
    """Root mean squares (in,) that can be divided by; all alike where nothing was heard."""
    usual = sizes.square().mean().sqrt()
    return sizes.clamp_min(QUIET * float(usual)) if usual > 0 else torch.ones_like(sizes)


def left(error: Tensor, sizes: Tensor) -> float:
    """The energy of an error as far as it is heard: of error @ diag(s)."""
    return float((error * loudness(sizes).to(error)).square().sum(dtype=torch.float64))


def distilled(
    base: Base,
    kind: Any,
    part: str,
    sizes: Mapping[str, Tensor],
    rank: int,
    tell: Callable[[Given, int, int], None],
) -> dict[str, Tensor]:
    """The tensors of a recovery adapter for a base that is held as it says; its weights are read one by one and let go.

    kind   the denoiser's class, and `part` what it is in the base
    sizes  by layer, root mean squares of its input (`learn.recovery.Heard`); layers without count all features alike
    tell   is told of each layer: what was given back, how many are done, and of how many
    Raises PortraitistError as `streaming.read` does.
    """
    device = memory.place(base.device)
    device = device if device.type == "cuda" else torch.device("cpu")  # Apple's devices have no float64
    quantise.available(base.quantised, device)
    model, tensors = streaming.opening(base, kind, part)
    names = set(quantise.prepare(model, base.quantised))
    found: dict[str, Tensor] = {}
    done = 0
    for full, weight in tensors:
        name = full.removesuffix(".weight")
        if name not in names or name == full:
            continue
        whole = weight.to(device)
        error = lost(whole, base)
        heard = sizes.get(name, torch.ones(whole.shape[1]))
        inner, outer = factors(error, heard, rank)
        found[name + INNER], found[name + OUTER] = inner.cpu(), outer.cpu()
        done += 1
        after = left(error - outer.float() @ inner.float(), heard)
        tell(Given(name, left(error, heard), after), done, len(names))
    return found


def lost(weight: Tensor, base: Base) -> Tensor:
    """What a weight (out, in) loses when it is held as a base says, float32."""
    layer = Quantised(nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta"), base.quantised)
    layer.take(weight)
    return weight.float() - layer.rebuilt(getattr(torch, base.dtype)).float()


def by_kind(given: Sequence[Given]) -> dict[str, tuple[float, int]]:
    """Share of the errors' energy that is given back, and number of layers, by kind of layer; "all" is all of them."""
    groups: dict[str, list[Given]] = {"all": list(given)}
    for one in given:
        groups.setdefault(one.kind, []).append(one)
    found = {}
    for kind, each in groups.items():
        energy = sum(one.energy for one in each)
        found[kind] = 1 - sum(one.left for one in each) / energy if energy else 1.0, len(each)
    return found
