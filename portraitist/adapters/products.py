"""Changes that are products of small matrices: LoHa's by entries (arXiv 2108.06098), LoKr's by Kronecker
(arXiv 2212.10650), in the parts and names of LyCORIS.

Held to peft's layers by tests/integration/test_kinds.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from portraitist.adapters.dialects import LOHA, LOKR

ROLES = (*LOHA[:4], *(role for role in LOKR if role not in ("lokr_t1", "lokr_t2")))
"""Parts of a module's change, by the ends of their names; cores of convolutions (Tucker's) are not trained here."""


@dataclass(frozen=True, eq=False)
class Product:
    """One module's change: its parts by role, and their scale.

    LoHa: scale * (w1_a @ w1_b) * (w2_a @ w2_b), each a (out, rank) and b (rank, in * kh * kw). LoKr: scale * w1 (x) w2,
    w1 (out_l, in_m), and w2 (out_k, in_n) or (out_k, in_n, kh, kw), whole or as w2_a @ w2_b.
    """

    parts: Mapping[str, Tensor]
    scale: float

    def delta(self, shape: torch.Size) -> Tensor:
        """The change of a weight of this shape; the order of operations is peft's, so that it is equal to the bit."""
        if "hada_w1_a" in self.parts:
            one, two = (self.parts[f"{w}_a"] @ self.parts[f"{w}_b"] for w in ("hada_w1", "hada_w2"))
            return ((one * two) * torch.tensor(self.scale)).reshape(shape)
        one, two = whole(self.parts, "lokr_w1"), whole(self.parts, "lokr_w2").contiguous()
        if two.ndim == 4:
            one = one[:, :, None, None]
        return (torch.kron(one, two) * self.scale).reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        """Whether the change is one of a weight of this shape."""
        rest = shape[1:].numel()
        if "hada_w1_a" in self.parts:
            found = {(self.parts[f"{w}_a"].shape[0], self.parts[f"{w}_b"].shape[1]) for w in ("hada_w1", "hada_w2")}
            return found == {(shape[0], rest)}
        one, two = (extent(self.parts, name) for name in ("lokr_w1", "lokr_w2"))
        return (one[0] * two[0], one[1] * two[1]) == (shape[0], rest)


def whole(parts: Mapping[str, Tensor], name: str) -> Tensor:
    """A matrix that is stored as it is, or as two factors."""
    return parts[name] if name in parts else parts[f"{name}_a"] @ parts[f"{name}_b"]


def extent(parts: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    """Rows, and entries per row, of such a matrix."""
    if name in parts:
        return parts[name].shape[0], parts[name].shape[1:].numel()
    return parts[f"{name}_a"].shape[0], parts[f"{name}_b"].shape[1]


def lacks(parts: Mapping[str, Tensor]) -> str:
    """What keeps these parts from being a change; "" when nothing does."""
    names = ("hada_w1", "hada_w2") if any(role.startswith("hada") for role in parts) else ("lokr_w1", "lokr_w2")
    wanted = set()
    for name in names:
        pair = {name} if name in parts and name.startswith("lokr") else {f"{name}_a", f"{name}_b"}
        if missing := sorted(pair - parts.keys()):
            return f"it lacks {missing[0]}"
        factors = [parts[role] for role in sorted(pair)]
        if len(factors) == 2 and (any(f.ndim != 2 for f in factors) or factors[0].shape[1] != factors[1].shape[0]):
            return f"the halves of {name} do not fit"
        if any(f.ndim not in (2, 4) or 0 in f.shape for f in factors):
            return f"{name} is of no shape that it can have"
        wanted |= pair
    extra = sorted(parts.keys() - wanted)
    return f"{extra[0]} is one too many" if extra else ""


def rank(parts: Mapping[str, Tensor]) -> int:
    """Of a change's factors; 0 when LoKr stores both its matrices whole: everyone then reads a scale of 1."""
    return next((int(parts[role].shape[0]) for role in ("hada_w1_b", "lokr_w2_b", "lokr_w1_b") if role in parts), 0)


def shape(layer: Any) -> torch.Size:
    """Of a linear or convolutional layer's weight, also where the weight is held in another form."""
    if isinstance(layer, nn.Linear):
        return torch.Size((layer.out_features, layer.in_features))
    found: torch.Size = layer.weight.shape
    return found


def added(product: Product, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A layer's output with its part of the adapter; the change is computed anew each time, as while training."""
    delta = product.delta(shape(layer))
    hidden = given[0].to(delta.dtype)
    if isinstance(layer, nn.Conv2d):
        part = functional.conv2d(hidden, delta, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    else:
        part = functional.linear(hidden, delta)
    return (output + part).to(given[0].dtype)
